"""Ensembles beside the one of a specification: what differs, what is refused, what stays."""

import pytest
import yaml

from lsg_ray.spec import as_yaml, load_spec, parse_spec
from lsg_ray.spec.reading import load_readable_spec
from tests.spec.made import faults_of

TREE = {
    "name": "machines",
    "dataset": {"name": "random-patterns", "patterns": 20, "inputs": 45},
    "network": {"family": "spherical-committee", "widths": [45, 3, 1]},
    "training": {"algorithm": "elastic-sgd", "options": {"replicas": 5}, "epochs": 70},
    "ensemble": {"count": 3},
    "beside": {
        "least": {"training": {"algorithm": "least-action"}, "ensemble": {"count": 2}},
        "other": {"dataset": {"seed": 7}},
    },
    "study": {
        "both": {"stage": "flatness-table", "second": "least"},
        "around": {"stage": "spherical-local-entropy", "solutions": "least"},
    },
}


def test_an_ensemble_beside__differs_in_the_fields_that_are_named():
    spec = parse_spec(TREE)
    least, other = spec.others.values()
    assert (least.name, other.name) == ("machines-least", "machines-other")
    assert least.training.epochs == 70
    assert least.training.options == {}  # they were those of another algorithm
    assert other.training.options == {"replicas": 5}
    assert other.dataset.seed == 7
    assert other.dataset.options == spec.dataset.options
    assert least.study is None
    assert not least.beside
    assert spec.study["around"].inputs == {"solutions": "least"}


def test_ensembles_beside__are_no_part_of_the_identity_and_are_written_down():
    spec = parse_spec(TREE)
    alone = parse_spec({k: v for k, v in TREE.items() if k not in ("beside", "study")})
    assert spec.hash == alone.hash
    again = parse_spec(yaml.safe_load(as_yaml(spec)))
    assert again == spec
    assert again.others == spec.others
    assert spec.replace(ensemble={"count": 9}).others["other"].ensemble.count == 9


def test_unreadable_steps__leave_those_of_ensembles_beside(tmp_path):
    study = {**TREE["study"], "gone": {"stage": "gone"}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({**TREE, "study": study}))
    spec, reasons = load_readable_spec(tmp_path / "s.yaml")
    assert list(reasons) == ["gone"]
    assert set(spec.study) == {"both", "around"}
    changed = load_spec(tmp_path / "s.yaml", ["beside.least.ensemble.count=5", "study=null"])
    assert changed.others["least"].ensemble.count == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beside": {"ensemble": {}}}, "beside: ensemble is taken; give the store another name"),
        ({"beside": {"a": {}, "A": {}}}, "beside: A is taken; give the store another name"),
        ({"beside": {f"e{i}": {} for i in range(33)}}, "beside: 33 ensembles given; at most 32"),
        ({"beside": {"../x": {}}}, "beside: '../x' is no name"),
        ({"beside": {"a": {"study": {}}}}, "beside.a.study: unknown section; there are dataset"),
        ({"beside": {"a": {"training": {"epoch": 1}}}}, "beside.a.training.epoch: unknown field"),
        ({"beside": {"a": {"training": 5}}}, "beside.a.training: 5 given"),
        ({"beside": {"a": 5}}, "beside.a: 5 given"),
        (
            {"beside": {"a": {"training": {"algorithm": "max-sum"}}}},
            "beside.a.training.algorithm: 'max-sum' given",
        ),
        ({"beside": {"both": {}}}, "study: both is taken; give the step another name"),
        ({"beside": {}}, "study.both: second: 'least' given; there is no such step"),
    ],
)
def test_faults__are_one_line_each(changes, message):
    study = {} if message.startswith("beside") else {"study": TREE["study"]}
    faults = faults_of({**TREE, "study": None, **study, **changes})
    assert any(fault.startswith(message) for fault in faults), faults


def test_snapshots__are_those_of_the_ensemble_that_a_step_reads():
    tree = {
        "network": {"family": "relu"},
        "training": {"epochs": 4},
        "ensemble": {"count": 2, "snapshots": [0, 4]},
        "beside": {"long": {"training": {"epochs": 9}, "ensemble": {"snapshots": [0, 9]}}},
    }
    study = {
        name: {"stage": "interpolate", "solutions": name, "snapshot": 9}
        for name in ("ensemble", "long")
    }
    assert parse_spec({**tree, "study": {"a": study["long"]}})
    faults = faults_of({**tree, "study": {"a": study["ensemble"], "b": study["long"]}})
    assert faults == ("study.a: snapshot 9 given; there are, in epochs: 0, 4",)
    study["long"]["snapshot"] = 4
    faults = faults_of({**tree, "study": {"b": study["long"]}})
    assert faults == ("study.b: snapshot 4 of long given; there are, in epochs: 0, 9",)


def test_a_result__is_no_ensemble_and_an_ensemble_no_result():
    faults = faults_of({**TREE, "study": {"scan": {"stage": "scan", "model": "least"}}})
    assert faults == ("study.scan: model: least given, an ensemble; a result is needed",)
    study = {"moments": {}, "both": {"stage": "flatness-table", "second": "moments"}}
    (fault,) = faults_of({**TREE, "study": study})
    assert fault.endswith("moments given, a result; an ensemble is needed")


def test_another_family__has_its_own_defaults():
    spec = parse_spec({
        "network": {"family": "relu"}, "training": {"epochs": 7},
        "ensemble": {"count": 5},
        "beside": {"signs": {"network": {"family": "binary", "widths": [20, 15, 10]}},
                   "large": {"training": {"batch_fraction": 0.1}}},
    })  # fmt: skip
    signs, large = (spec.others[name] for name in ("signs", "large"))
    alone = parse_spec({"network": {"widths": [20, 15, 10]}})
    assert signs.training == alone.training.model_copy(update={"epochs": 7})
    assert (signs.ensemble.count, signs.dataset) == (5, alone.dataset)
    assert (large.training.batch_size, large.training.batch_fraction) == (None, 0.1)


def test_options_of_a_data_set__change_one_by_one():
    changed = parse_spec({**TREE, "beside": {"more": {"dataset": {"patterns": 30}}}, "study": None})
    options = changed.others["more"].dataset.options
    assert options == {**changed.dataset.options, "patterns": 30}


def test_another_family__keeps_the_data_set_or_has_its_own():
    """Patterns have no default, and so no family that learns them has a whole specification."""
    beside = {
        "signs": {"network": {"family": "committee"}},
        "relu": {
            "network": {"family": "relu", "widths": [64, 5, 10]},
            "dataset": {"name": "digits"},
        },
    }
    spec = parse_spec({**TREE, "beside": beside, "study": None})
    signs, relu = (spec.others[name] for name in beside)
    assert (signs.dataset, signs.algorithm) == (spec.dataset, "focusing-bp")
    assert (relu.dataset.labels, relu.dataset.options) == ("class", {})
    assert (relu.training.epochs, relu.ensemble.count) == (70, 3)
