"""The papers' numbers, and one identity per run."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.spec import Spec, as_yaml, load_spec, parse_spec
from tests.spec.made import SEEDS, write

JOBS = Path(__file__).resolve().parents[2] / "jobs" / "specs"


# The papers' numbers


def test_defaults__are_the_papers_numbers():
    """Liquid-like paper, Sec. II and App. A, D, F; authors' runs for epochs and draws."""
    expected = {
        "dataset": {"name": "mnist", "components": 20, "train_examples": None, "labels": "class"},
        "network": {"family": "binary", "widths": [20, 15, 15, 10], "leaky_slope": 0.1},
        "training": {
            "optimizer": "adam",
            "learning_rate": 0.3,
            "beta1": 0.9,
            "beta2": 0.999,
            "epsilon": 1e-8,
            "batch_size": 200,
            "epochs": 50,
            "gamma": 1e-5,
            "initial_std": 0.1,
            "decay_steps": None,
            "decay_factor": 10,
        },
        "ensemble": {
            "count": 2_000_000,
            "threshold": 0.80,
            "draws": 100,
            "selection": "test",
            "frozen_parts": [],
            "frozen_field": 10,
        },
    }
    tree = Spec().model_dump(mode="json")
    for section, fields in expected.items():
        assert {name: tree[section][name] for name in fields} == fields
    assert Spec().network.n_weights == 675
    assert Spec().network.parts == {
        "LB": slice(0, 300),
        "ITR": slice(300, 525),
        "RB": slice(525, 675),
    }


def test_over_parametrised__is_of_the_first_images_in_file_order():
    for name in ("deep-over", "fashion-over"):
        spec = load_spec(JOBS / f"{name}.yaml")
        assert (spec.dataset.subset, spec.dataset.train_examples) == ("first", 500)
        assert spec.dataset.train_examples < spec.network.n_weights


@pytest.mark.parametrize(
    ("name", "count", "n_weights"),
    [
        ("deep-under", 2_000_000, 675),
        ("deep-over", 1_000_000, 675),
        ("shallow", 500_000, 200),
        ("fashion-over", 1_000_000, 675),
    ],
)
def test_published_specs__have_the_published_counts(name, count, n_weights):
    spec = load_spec(JOBS / f"{name}.yaml")
    assert (spec.name, spec.ensemble.count, spec.network.n_weights) == (name, count, n_weights)


@pytest.mark.parametrize("file", sorted(JOBS.glob("*.yaml")), ids=lambda file: file.stem)
def test_published_specs__load_and_are_named_after_their_files(file):
    assert load_spec(file).name == file.stem


# Identity


def test_hash__is_pinned():
    """Stored ensembles quote it: a change here means that they all look like other runs."""
    assert Spec().hash == "c52627c9683f9ca4a96c00bee8cfaa5f0fd2954dc861d1ae929af2c96cab4ee3"


def test_hash__does_not_depend_on_order_or_formatting(tmp_path):
    flow = "name: a\nensemble: {seed: 3, count: 16}\ntraining: {gamma: 1.0e-5, epochs: 7}\n"
    block = (
        "# x\ntraining:\n  epochs: 7\n  gamma: 1e-5\nensemble:\n  count: 0x10\n  seed: 3\nname: 'a'"
    )
    anchors = "name: a\nensemble: {<<: {seed: 3}, count: 16}\ntraining: &t {epochs: 7}\n"
    as_json = json.dumps(load_spec(write(tmp_path, flow)).model_dump(mode="json"))
    texts = [flow, block, anchors, as_json, "\ufeff" + flow, flow.replace("\n", "\r\n")]
    assert len({load_spec(write(tmp_path, text)).hash for text in texts}) == 1


@settings(deadline=None)
@given(st.permutations(["name", "dataset", "network", "training", "ensemble"]), st.randoms())
def test_hash__does_not_depend_on_key_order(order, random):
    tree = Spec().model_dump(mode="json")
    shuffled = {}
    for key in order:
        value = tree[key]
        if isinstance(value, dict):
            items = list(value.items())
            random.shuffle(items)
            value = dict(items)
        shuffled[key] = value
    assert parse_spec(shuffled).hash == Spec().hash


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        (section, field, value)
        for section, fields in {
            "dataset": {"seed": 1, "train_examples": 600, "validation_examples": 5},
            "network": {"leaky_slope": 0.2, "widths": [20, 10]},
            "training": {"epochs": 51, "gamma": 0, "engine": "torch", "batch_size": None},
            "ensemble": {"seed": 1, "count": 5, "block_size": 7, "frozen_parts": ["ITR"]},
        }.items()
        for field, value in fields.items()
    ],
)
def test_hash__sees_every_field(section, field, value):
    assert Spec().replace(**{section: {field: value}}).hash != Spec().hash


specs = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
        "network": st.lists(st.integers(1, 5000), max_size=3).map(
            lambda hidden: {"widths": [20, *hidden, 10]}
        ),
        "training": st.fixed_dictionaries(
            {
                "learning_rate": st.floats(1e-6, 1e6),
                "momentum": st.floats(0, 1, exclude_max=True),
                "batch_size": st.none() | st.integers(1, 2**31 - 1),
                "optimizer": st.sampled_from(["adam", "sgd"]),
            }
        ),
        "ensemble": st.fixed_dictionaries(
            {
                "count": st.integers(1, 2**31 - 1),
                "threshold": st.floats(0, 1),
                "seed": SEEDS,
                "block_size": st.none() | st.integers(1, 2**31 - 1),
                "store_fields": st.booleans(),
            }
        ),
    }
)


@settings(deadline=None)
@given(specs)
def test_round_trip__through_json_and_yaml(tree):
    spec = parse_spec(tree)
    assert Spec.model_validate_json(spec.canonical_json()) == spec
    again = parse_spec(yaml.safe_load(as_yaml(spec)))
    assert again == spec
    assert again.hash == spec.hash


@settings(deadline=None)
@given(specs)
def test_blocks__cover_the_ensemble_and_no_more(tree):
    spec = parse_spec(tree)
    size, n_blocks, count = spec.block_size, spec.n_blocks, spec.ensemble.count
    assert (n_blocks - 1) * size < count <= n_blocks * size
    if spec.ensemble.block_size is None:
        assert 1 <= size <= 1000
        assert n_blocks >= min(count, 32)  # small ensembles still have work for many workers


@pytest.mark.parametrize(
    ("count", "size", "n_blocks"), [(1, 1, 1), (64, 1, 64), (65, 2, 33), (2_000_000, 1000, 2000)]
)
def test_block_size__of_defaults(count, size, n_blocks):
    spec = Spec().replace(ensemble={"count": count})
    assert (spec.block_size, spec.n_blocks) == (size, n_blocks)


def test_spec__is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Spec().ensemble.count = 3


def test_json_schema__names_every_field_with_its_default_and_limits():
    schema = Spec.model_json_schema()
    assert schema["additionalProperties"] is False
    for name, value in Spec().model_dump(mode="json").items():
        if not isinstance(value, dict):
            continue
        section = schema["$defs"][f"{name.capitalize()}Spec"]
        later = {
            "algorithm": None,
            "options": {},
            "snapshots": None,
            "classes": None,
            "train_per_class": None,
            "subset": "random",
            "binarize": None,
            "shuffle_pixels": False,
            "standardize": False,
            "label_noise": 0.0,
        }  # no part of what a run is unless given
        defaults = {field: about["default"] for field, about in section["properties"].items()}
        assert defaults == {k: v for k, v in later.items() if k in defaults} | value
        assert all("description" in about for about in section["properties"].values())
    count = schema["$defs"]["EnsembleSpec"]["properties"]["count"]
    assert count["exclusiveMinimum"] == 0
