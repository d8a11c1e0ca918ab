"""Specifications: the papers' numbers, one identity per run, and one readable line per fault."""

import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.errors import InputError, SpecError
from lsg_ray.spec import DATASET_SHAPES, RELU_DEFAULTS, Spec, load_spec, override, parse_spec

JOBS = Path(__file__).resolve().parent.parent / "jobs" / "specs"


def faults_of(tree, source="spec") -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        parse_spec(tree, source)
    return caught.value.faults


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "s.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


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


seeds = st.integers(0, 2**128 - 1)
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
                "seed": seeds,
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
    text = yaml.safe_dump(spec.model_dump(mode="json"))
    again = parse_spec(yaml.safe_load(text))
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
        assert {field: about["default"] for field, about in section["properties"].items()} == value
        assert all("description" in about for about in section["properties"].values())
    count = schema["$defs"]["EnsembleSpec"]["properties"]["count"]
    assert count["exclusiveMinimum"] == 0


# Faults

BAD = {
    "ensemble.count": [0, -1, 1.5, "many", None, [], {"a": 1}, 10**30, float("nan"), float("inf")],
    "ensemble.threshold": [-0.1, 1.1, float("nan"), float("inf"), "high", None],
    "ensemble.draws": [0],
    "ensemble.selection": ["all", None, 3],
    "ensemble.block_size": [0, "x"],
    "ensemble.seed": [-1, 2**128],
    "ensemble.frozen_parts": ["ITR", 3],
    "ensemble.frozen_field": [0, -1],
    "ensemble.store_fields": ["perhaps"],
    "ensemble.give_up_after": [0],
    "dataset.name": ["imagenet", None, 7],
    "dataset.components": [0, 785, "all"],
    "dataset.validation_examples": [-1],
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
    for name, (pixels, classes) in DATASET_SHAPES.items():
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


# ReLU networks


def relu(network=None, **sections):
    return {"network": {"family": "relu", **(network or {})}, **sections}


@pytest.mark.parametrize("section", list(RELU_DEFAULTS))
def test_relu__fields_left_open_are_the_papers(section):
    tree = parse_spec(relu()).model_dump(mode="json")
    for field, value in RELU_DEFAULTS[section].items():
        assert tree[section][field] == (list(value) if isinstance(value, tuple) else value)


relu_fields = st.fixed_dictionaries(
    {},
    optional={
        "dataset": st.fixed_dictionaries(
            {}, optional={"train_examples": st.none() | st.integers(1, 60000), "seed": seeds}
        ),
        "network": st.fixed_dictionaries(
            {"family": st.just("relu")},
            optional={
                "widths": st.lists(st.integers(1, 2000), min_size=1, max_size=3).map(
                    lambda hidden: [784, *hidden, 10]
                ),
                "biases": st.booleans(),
                "leaky_slope": st.floats(0, 1),
            },
        ),
        "training": st.fixed_dictionaries(
            {},
            optional={
                "optimizer": st.sampled_from(["adam", "sgd"]),
                "learning_rate": st.floats(1e-6, 1e6),
                "epochs": st.integers(1, 1000),
                "batch_fraction": st.none() | st.floats(0, 1, exclude_min=True),
                "target_loss": st.none() | st.floats(1e-9, 10),
                "stack": st.none() | st.integers(1, 100),
            },
        ),
        "ensemble": st.fixed_dictionaries(
            {}, optional={"count": st.integers(1, 10**6), "threshold": st.floats(0, 1)}
        ),
    },
)


@settings(deadline=None)
@given(relu_fields)
def test_relu__what_is_given_is_kept_and_the_rest_filled(fields):
    given_tree = relu() | fields
    spec = parse_spec(given_tree)
    tree = spec.model_dump(mode="json")
    fraction = given_tree.get("training", {}).get("batch_fraction")
    for section, defaults in RELU_DEFAULTS.items():
        expected = {**defaults, **given_tree.get(section, {})}
        if section == "training" and fraction:
            expected["batch_size"] = None
        for field, value in expected.items():
            assert tree[section][field] == (list(value) if isinstance(value, tuple) else value)
    assert parse_spec(tree) == spec
    assert parse_spec(json.loads(spec.canonical_json())).hash == spec.hash
    assert spec.block_size == min(spec.stack, spec.ensemble.count)
    assert 1 <= spec.stack <= max(8, spec.training.stack or 0)
    assert 1 <= spec.training.batch(60_000) <= 60_000


@settings(deadline=None)
@given(relu_fields, st.data())
def test_relu__misfits_are_refused_each_with_its_line(fields, data):
    misfits = {
        ("training", "engine"): ("numba", "'numba' given; relu networks have 'torch'"),
        ("training", "initial_std"): (0.1, "0.1 given; relu networks have 0.0"),
        ("ensemble", "draws"): (100, "100 given; relu networks have 1"),
        ("ensemble", "store_fields"): (True, "True given; relu networks have False"),
        ("dataset", "labels"): ("parity", "'parity' given; relu networks learn 'class' labels"),
    }
    chosen = data.draw(st.lists(st.sampled_from(sorted(misfits)), min_size=1, unique=True))
    tree = {name: dict(values) for name, values in (relu() | fields).items()}
    for section, field in chosen:
        tree.setdefault(section, {})[field] = misfits[section, field][0]
    lines = faults_of(tree)
    for section, field in chosen:
        says = f"{section}.{field}: {misfits[section, field][1]}"
        assert [line for line in lines if line.startswith(says)], (says, lines)
    assert len(lines) == len(chosen) + (("dataset", "labels") in chosen)  # its widths are named too


@pytest.mark.parametrize(
    ("tree", "lines"),
    [
        (
            relu(ensemble={"frozen_parts": ["LB"]}),
            ["ensemble.frozen_parts: ('LB',) given; relu networks have (): leave it out"],
        ),
        (
            relu({"widths": [784, 10]}),
            ["network.widths: [784, 10] given; relu networks have hidden layers"],
        ),
        (
            relu(dataset={"name": "digits"}),
            ["network.widths: first width 784 given; pixels of digits need 64"],
        ),
        (
            relu({"widths": [784, 130_000, 10]}),
            ["network.widths: 103220000 weights; at most 100000000"],
        ),
        (
            relu(training={"batch_size": 50, "batch_fraction": 0.1}),
            ["training.batch_fraction: 0.1 and batch_size 50 given; set one of them to null"],
        ),
        (
            relu(training={"batch_fraction": 0}),
            ["training.batch_fraction: 0 given; input should be greater than 0"],
        ),
        (
            relu(training={"batch_fraction": 1.5}),
            ["training.batch_fraction: 1.5 given; input should be less than or equal to 1"],
        ),
        (
            relu(training={"target_loss": 0}),
            ["training.target_loss: 0 given; input should be greater than 0"],
        ),
        (
            relu(training={"stack": 0}),
            ["training.stack: 0 given; input should be greater than 0"],
        ),
        (
            relu(training={"stack": True}),
            ["training.stack: true given; a number is needed"],
        ),
        (
            {"network": {"biases": True}, "training": {"target_loss": 0.1, "stack": 4}},
            [
                "network.biases: True given; only relu networks have it (network.family)",
                "training.target_loss: 0.1 given; only relu networks have it (network.family)",
                "training.stack: 4 given; only relu networks have it (network.family)",
            ],
        ),
    ],
)
def test_relu__contradictions_are_named(tree, lines):
    assert list(faults_of(tree)) == lines


def test_relu__biases_are_the_last_column_of_each_layer():
    network = parse_spec(relu({"biases": True, "widths": [784, 5, 10]})).network
    assert network.shapes == ((5, 785), (10, 6))
    assert network.n_weights == 5 * 785 + 60
    assert network.parts == {"LB": slice(0, 3925), "RB": slice(3925, 3985)}


@pytest.mark.parametrize(
    ("width", "stack"), [(64, 8), (128, 8), (256, 5), (512, 2), (1024, 1), (5000, 1)]
)
def test_relu__stacks_are_bounded_by_networks_and_bytes(width, stack):
    spec = parse_spec(relu({"widths": [784, width, 10]}))
    assert spec.stack == stack == spec.block_size
    assert stack == 1 or 4 * stack * spec.network.n_weights <= 4 << 20


@pytest.mark.parametrize(
    ("training", "batch"),
    [
        ({}, 256),
        ({"batch_fraction": 0.1}, 100),
        ({"batch_fraction": 1e-9}, 1),
        ({"batch_fraction": 1}, 1000),
        ({"batch_size": None}, 1000),
        ({"batch_size": 5000}, 1000),
    ],
)
def test_relu__batches_fit_the_examples(training, batch):
    assert parse_spec(relu(training=training)).training.batch(1000) == batch


# Files


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "---\n", "null"])
def test_empty_file__is_the_defaults(tmp_path, text):
    assert load_spec(write(tmp_path, text)) == Spec()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n- b", "a mapping of sections is needed"),
        ("hello", "a mapping of sections is needed"),
        (b"\x80\x81\xff", "not a UTF-8 text file"),
        (b"a: \x00", "not valid YAML"),
        ("a: [1,", "not valid YAML"),
        ("a:\n\t- b", "not valid YAML"),
        ("name: a\n---\nname: b", "not valid YAML"),
        ("name: a\nname: b", "'name' is given twice"),
        ("ensemble: {count: 5, seed: 1, count: 6}", "'count' is given twice"),
        ("[1, 2]: 3", "unhashable key"),
        ("name: 2020-13-45", "month must be"),
        ("name: 2020-01-02", "name: datetime.date(2020, 1, 2) given"),
        ("2020-01-02: 1", "keys should be strings"),
        ("&a {ensemble: *a}", "ensemble.ensemble: unknown field"),
        ("&a {name: *a}", "name: "),
        ("ensemble: {seed: " + "9" * 5000 + "}", "not valid YAML"),
        ("ensemble: {count: " + "9" * 400 + "}", "ensemble.count: "),
        ("name: " + "[" * 600 + "]" * 600, "not valid YAML"),
        ("ensemble: {threshold: .nan}", "ensemble.threshold: nan given"),
        ("training: {learning_rate: .inf}", "training.learning_rate: inf given"),
    ],
    ids=lambda value: str(value)[:24].encode("unicode_escape").decode(),
)
def test_bad_file__gives_one_line(tmp_path, text, says):
    file = write(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        load_spec(file)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{file}: ")
    assert says in line
    assert len(line) < 1000


def test_missing_file_and_folder__are_named(tmp_path):
    for path, reason in [
        (tmp_path / "none.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / ("x" * 300), "File name too long"),
    ]:
        with pytest.raises(SpecError, match=f"cannot be read: {reason}"):
            load_spec(path)
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec("a\0b")


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch {}']",
        "name: !!python/object/apply:os.system ['touch {}']",
        "name: !!python/object/new:os.system ['touch {}']",
        "name: !!python/name:os.system",
        "name: !!python/object/apply:subprocess.call [[touch, '{}']]",
    ],
)
def test_python_tags__are_refused_and_not_run(tmp_path, text):
    trace = tmp_path / "ran"
    text = text.format(trace)
    with pytest.raises(SpecError, match="not valid YAML: could not determine a constructor"):
        load_spec(write(tmp_path, text))
    with pytest.raises(SpecError, match="could not determine a constructor"):
        load_spec(write(tmp_path, ""), [f"name={text}"])
    assert not trace.exists()


def test_nested_aliases__are_not_expanded(tmp_path):
    """Nine levels of nine aliases are 9⁹ elements, were they ever written out."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for last, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]")
    lines.append("network: {widths: *i}")
    with pytest.raises(SpecError) as caught:
        load_spec(write(tmp_path, "\n".join(lines)), ["ensemble.count=3"])
    assert all(len(fault) < 500 for fault in caught.value.faults)


# --set


@pytest.mark.parametrize(
    ("assignment", "section", "field", "value"),
    [
        ("ensemble.count=5", "ensemble", "count", 5),
        (" ensemble.count = 5", "ensemble", "count", 5),
        ("network.widths=[20, 10]", "network", "widths", (20, 10)),
        ("network={widths: [20, 5, 10]}", "network", "widths", (20, 5, 10)),
        ("training.batch_size=null", "training", "batch_size", None),
        ("training.batch_size=", "training", "batch_size", None),
        ("training.gamma=1e-3", "training", "gamma", 1e-3),
        ("ensemble.frozen_parts=[ITR]", "ensemble", "frozen_parts", ("ITR",)),
        ("ensemble.store_fields=yes", "ensemble", "store_fields", True),
    ],
)
def test_set__takes_yaml_values(tmp_path, assignment, section, field, value):
    spec = load_spec(write(tmp_path, "name: a\nensemble: {seed: 4}"), [assignment])
    assert getattr(getattr(spec, section), field) == value
    assert spec.ensemble.seed == 4
    assert spec.name == "a"


def test_set__the_last_one_wins_and_the_tree_is_left_alone():
    tree = {"ensemble": {"count": 4}, "name": "a"}
    result = override(tree, ["ensemble.count=5", "ensemble.count=6", "name=b", "training.epochs=1"])
    assert result == {"ensemble": {"count": 6}, "name": "b", "training": {"epochs": 1}}
    assert tree == {"ensemble": {"count": 4}, "name": "a"}


def test_set__changes_one_of_two_sections_that_share_an_anchor(tmp_path):
    file = write(tmp_path, "dataset: &s {seed: 1}\nensemble: *s")
    spec = load_spec(file, ["ensemble.seed=2"])
    assert (spec.dataset.seed, spec.ensemble.seed) == (1, 2)


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("ensemble.count", "write section.field=value"),
        ("", "write section.field=value"),
        ("=5", "write section.field=value"),
        ("ensemble..count=5", "write section.field=value"),
        (".count=5", "write section.field=value"),
        ("ensemble.=5", "write section.field=value"),
        ("ensemble.count.x=5", "--set: ensemble.count.x: '5' given; 'count' is a value, not a sec"),
        ("name.x=5", "'name' is a value, not a section"),
        ("ensemble.count=[", "--set: ensemble.count: '[' given; not valid YAML"),
        ("ensemble.count=*x", "undefined alias"),
        ("ensemble.count={a: 1, a: 2}", "'a' is given twice"),
        ("ensemble.count=" + "9" * 5000, "not valid YAML"),
        ("ensemble.count=" + "[" * 600, "not valid YAML"),
        ("name=2020-13-45", "month must be"),
        ("a\nb=[", "not valid YAML"),
        ("ensemble.count=many", "ensemble.count: 'many' given"),
        ("ensemble.threshold=.nan", "ensemble.threshold: nan given"),
        ("ensemble.oops=1", "ensemble.oops: unknown field"),
        ("oops.count=1", "oops: unknown field"),
        ("network.widths=20,10", "network.widths: '20,10' given"),
        ("network.widths.0=20", "network.widths: {'0': 20} given"),
        ("ensemble=null", "ensemble: None given"),
    ],
    ids=lambda value: value[:24].encode("unicode_escape").decode(),
)
def test_set__bad_forms_give_one_line(tmp_path, assignment, says):
    file = write(tmp_path, "name: a\nensemble: {count: 4}")
    with pytest.raises(SpecError) as caught:
        load_spec(file, [assignment])
    (line,) = str(caught.value).splitlines()
    assert says in line
    assert line.startswith(("--set: ", f"{file}: "))
    assert line.isprintable()
    assert len(line) < 600


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_set__never_fails_otherwise(path, value):
    try:
        parse_spec(override({"name": "a"}, [f"{path}={value}"]))
    except SpecError as error:
        faults = error.faults
    else:
        faults = ()
    assert all(fault.isprintable() for fault in faults)


def test_spec_error__survives_pickling():
    import pickle

    error = SpecError(["a", "b"], "file")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.faults, again.source) == (str(error), ("a", "b"), "file")


def test_load__does_not_change_the_file(tmp_path):
    file = write(tmp_path, "name: a")
    before = os.stat(file).st_mtime_ns
    load_spec(file, ["ensemble.count=3"])
    assert (file.read_text(), os.stat(file).st_mtime_ns) == ("name: a", before)


@pytest.mark.parametrize("path", ["training.epochs", "ensemble.count", "dataset.seed"])
def test_truth_values__are_no_integers(path):
    section, field = path.split(".")
    with pytest.raises(SpecError) as caught:
        parse_spec({section: {field: True}})
    assert caught.value.faults == (f"{path}: true given; a number is needed",)
