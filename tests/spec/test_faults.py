"""One readable line per fault."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.errors import InputError, SpecError
from lsg_ray.registry import DATA_SETS
from lsg_ray.spec import parse_spec
from tests.spec.made import faults_of

BAD = {
    "ensemble.count": [0, -1, 1.5, "many", None, [], {"a": 1}, 10**30, float("nan"), float("inf")],
    "ensemble.threshold": [-0.1, 1.1, float("nan"), float("inf"), "high", None],
    "ensemble.draws": [0],
    "ensemble.selection": ["all", None, 3],
    "ensemble.block_size": [0, "x"],
    "ensemble.seed": [-1, 2**128],
    "ensemble.frozen_parts": ["ITR", 3],
    "ensemble.frozen_field": [0, -1, True],
    "ensemble.store_fields": ["perhaps"],
    "ensemble.give_up_after": [0],
    "dataset.name": ["imagenet", None, 7],
    "dataset.components": [0, 785, "all"],
    "dataset.validation_examples": [-1, True],
    "network.family": ["ising"],
    "network.widths": [[], [20], 20, "20-10", {"a": 1}, None],
    "network.leaky_slope": [-0.1, 1.1],
    "training.learning_rate": [0, -1, float("inf")],
    "training.momentum": [1, -0.1],
    "training.decay_factor": [1],
    "training.epochs": [0, 2**31],
    "training.optimizer": ["lbfgs"],
    "name": ["", "a b", "../x", "a\n", "x" * 65, 5, None, "\x1b[31m"],
    "schema_version": [2, "1"],
    "ensemble": [None, [], 3],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [(path, value) for path, values in BAD.items() for value in values],
    ids=lambda value: str(value)[:20].encode("unicode_escape").decode(),
)
def test_bad_field__gives_one_line_with_path_value_and_what_is_allowed(path, value):
    *sections, field = path.split(".")
    tree = {sections[0]: {field: value}} if sections else {field: value}
    (line,) = faults_of(tree)
    assert line.startswith(f"{path}: ")
    given_text, _, allowed = line.removeprefix(f"{path}: ").partition(";")
    if value not in ([], [20]):  # these say "[20] has no layer"
        assert given_text.endswith(" given")
    assert allowed
    assert line.isprintable()
    assert len(line) < 250


@pytest.mark.parametrize(
    ("tree", "path", "seen"),
    [
        ({"network": {"widths": [20, 0, 10]}}, "network.widths.1", "0"),
        ({"ensemble": {"frozen_parts": ["LB", "XX"]}}, "ensemble.frozen_parts.1", "'XX'"),
    ],
)
def test_bad_element__is_named_by_its_place(tree, path, seen):
    (line,) = faults_of(tree)
    assert line.startswith(f"{path}: {seen} given; ")


@pytest.mark.parametrize(
    ("tree", "lines"),
    [
        (
            {"network": {"widths": [21, 15, 10]}},
            ["network.widths: first width 21 given; dataset.components need 20"],
        ),
        (
            {"dataset": {"components": None}},
            ["network.widths: first width 20 given; pixels of mnist need 784"],
        ),
        (
            {"network": {"widths": [20, 11]}},
            ["network.widths: last width 11 given; class labels of mnist need 10"],
        ),
        (
            {"dataset": {"name": "cifar100"}},
            ["network.widths: last width 10 given; class labels of cifar100 need 100"],
        ),
        (
            {"dataset": {"labels": "parity"}},
            ["network.widths: last width 10 given; parity labels of mnist need 1"],
        ),
        (
            {"dataset": {"name": "digits", "components": 65}},
            ["dataset.components: 65 given; digits has 64 pixels"],
        ),
        (
            {"network": {"widths": [20, 10]}, "ensemble": {"frozen_parts": ["ITR"]}},
            ["ensemble.frozen_parts: 'ITR' given; this network has LB, RB"],
        ),
        (
            {"ensemble": {"frozen_parts": ["RB", "LB", "ITR"]}},
            ["ensemble.frozen_parts: every part is frozen; leave one to be trained"],
        ),
        (
            {"ensemble": {"selection": "validation"}},
            [
                "ensemble.selection: 'validation' given; "
                "set dataset.validation_examples above 0 to have such a set"
            ],
        ),
        (
            {"network": {"widths": [5, 5]}, "ensemble": {"selection": "validation"}},
            ["network.widths: first", "network.widths: last", "ensemble.selection"],
        ),
    ],
)
def test_contradiction__between_sections_is_named(tree, lines):
    faults = faults_of(tree)
    assert len(faults) == len(lines)
    for fault, line in zip(faults, lines, strict=True):
        assert fault.startswith(line.replace("this network has LB, RB", "this network has LB"))


def test_contradiction__none_in_fitting_sections():
    for name in (name for name in DATA_SETS.names() if DATA_SETS[name].config is None):
        pixels, classes = DATA_SETS[name].n_pixels, DATA_SETS[name].n_classes
        raw = {"name": name, "components": None}
        parse_spec({"dataset": raw, "network": {"widths": [pixels, classes]}})
        parity = {**raw, "labels": "parity"}
        assert parse_spec({"dataset": parity, "network": {"widths": [pixels, 1]}}).loss == "hinge"
    aside = {"dataset": {"validation_examples": 5}, "ensemble": {"selection": "validation"}}
    assert parse_spec(aside).ensemble.selection == "validation"


@pytest.mark.parametrize(
    ("tree", "line"),
    [
        ({"ensembel": 1}, "ensembel: unknown field; allowed are schema_version, name, dataset,"),
        ({"training": {"lr": 1}}, "training.lr: unknown field; allowed are optimizer, learning_ra"),
        ({"network": {"x": {"y": 1}}}, "network.x: unknown field; allowed are family, widths, lea"),
        ({"a\nb\x1b": 1}, r"'a\nb\x1b': unknown field; allowed are schema_version"),
        ({1: 2}, "1: "),
    ],
)
def test_unknown_field__names_the_known(tree, line):
    (fault,) = faults_of(tree)
    assert fault.startswith(line)
    assert fault.isprintable()


def test_several_faults__one_line_each_in_front_the_source():
    tree = {"network": {"leaky_slope": -1}, "ensemble": {"count": 0, "draws": "x", "oops": 1}}
    with pytest.raises(SpecError) as caught:
        parse_spec(tree, "file.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert all(line.startswith("file.yaml: ") for line in lines)
    assert isinstance(caught.value, InputError)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("tree", [[], "x", None, 3, ["ensemble"]])
def test_not_a_mapping__is_refused(tree):
    (line,) = faults_of(tree)
    assert line.endswith("given; a mapping of sections is needed")


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    ),
)


@settings(deadline=None)
@given(
    junk
    | st.dictionaries(
        st.sampled_from(["name", "dataset", "network", "training", "ensemble"]),
        junk
        | st.dictionaries(st.sampled_from(["count", "widths", "epochs", "frozen_parts"]), junk),
    )
)
def test_anything__parses_or_is_refused_in_printable_lines(tree):
    try:
        spec = parse_spec(tree)
    except SpecError as error:
        faults = error.faults
    else:
        faults = ()
        assert parse_spec(json.loads(spec.canonical_json())) == spec
    assert all(fault.isprintable() and len(fault) < 1000 for fault in faults)
