"""Files, and assignments from the command line."""

import os

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.errors import SpecError
from lsg_ray.spec import Spec, as_yaml, load_spec, override, parse_spec, reading
from tests.spec.made import write

# Files


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "---\n", "--- # x\n...\n", "null", "~"]
)
def test_empty_file__is_no_specification(tmp_path, text):
    file = write(tmp_path, text)
    for overrides in ([], ["ensemble.count=5"]):
        with pytest.raises(SpecError, match=r"empty: .* write \{\} for one of all defaults"):
            load_spec(file, overrides)


@pytest.mark.parametrize("name", ["1e6", "010", "08", "0_1", "5", "on", "2001-01-02", "1.5e3", "x"])
def test_what_is_written_is_read_back(tmp_path, name):
    spec = Spec(name=name).replace(ensemble={"seed": 2**128 - 1}, training={"gamma": 1e-30})
    assert load_spec(write(tmp_path, as_yaml(spec))) == spec


def test_empty_mapping__is_the_defaults(tmp_path):
    assert load_spec(write(tmp_path, "{}")) == Spec()


@pytest.mark.parametrize(
    "text",
    ["010", "-010", "+07", "08", "00", "0_1", "1:30", "-1:30", "12:30:45", "1:30.5", "!!int '010'"],
)
def test_numbers_that_may_mean_two_things(tmp_path, text):
    for path in ("ensemble.count", "training.gamma", "ensemble.seed", "name", "network.biases"):
        with pytest.raises(SpecError, match=r"line 1: '.*; write a decimal number") as caught:
            load_spec(write(tmp_path, "{}"), [f"{path}={text}"])
        assert str(caught.value).startswith(f"--set: {path}: ")
        assert len(caught.value.faults) == 1
    for file in (
        f"name: a\nnetwork: {{widths: [20, {text}, 10]}}",
        f"name: a\nensemble:\n  - {{b: [{{c: {text}}}]}}",
        f"name: a\n{text}: b",
    ):
        with pytest.raises(SpecError, match=r"line [23]: '") as caught:
            load_spec(write(tmp_path, file))
        assert len(caught.value.faults) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("10", 10), ("0", 0), ("-0", 0), ("0x10", 16), ("0b11", 3), ("1_000", 1000)),
        *(("1e6", 1e6), ("1E+6", 1e6), ("1.5e3", 1500.0), ("1.e3", 1e3), (".5e1", 5.0)),
        *(("1e-3", 1e-3), ("-2e-3", -2e-3), ("1e30", 10**30), ("1.5e38", 15 * 10**37)),
        *(("1e999", float("inf")), ("010.5", 10.5), ("1e", "1e"), ("e5", "e5"), ("1:75", "1:75")),
        *(("'010'", "010"), ('"1:30"', "1:30"), ("'1e6'", "1e6"), ("1e5_0", "1e5_0")),
    ],
)
def test_numbers_that_mean_one_thing(text, value):
    found = override({}, [f"a={text}"])["a"]
    assert found == value
    assert type(found) is type(value)


def test_counts_and_seeds_with_an_exponent(tmp_path):
    spec = load_spec(
        write(tmp_path, "ensemble: {count: 1e3, seed: 1e38}"), ["training.epochs=2.0e1"]
    )
    assert (spec.ensemble.count, spec.ensemble.seed) == (1000, 10**38)
    assert spec.training.epochs == 20
    with pytest.raises(SpecError, match=r"ensemble\.count: 0\.001 given"):
        load_spec(write(tmp_path, "ensemble: {count: 1e-3}"))


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "true", "False", "ON"])
def test_words_that_are_true_and_false(tmp_path, word):
    for path in ("ensemble.count", "training.gamma", "name", "dataset.name", "training.optimizer"):
        with pytest.raises(SpecError, match="unquoted on, yes, off and no") as caught:
            load_spec(write(tmp_path, "{}"), [f"{path}={word}"])
        assert path in str(caught.value)
        assert len(caught.value.faults) == 1
    assert load_spec(write(tmp_path, "{}"), [f"name='{word}'"]).name == word


@pytest.mark.parametrize("text", ["5", "1e6", "2001-01-02"])
def test_text_that_looks_like_something_else(tmp_path, text):
    with pytest.raises(SpecError, match=r"name: .*; put text in quotes"):
        load_spec(write(tmp_path, f"name: {text}"))
    assert load_spec(write(tmp_path, f"name: '{text}'")).name == text


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
        (tmp_path / "none.yaml", "cannot be read: No such file or directory"),
        (tmp_path, "a directory, and no specification; name a YAML file"),
        (tmp_path / ("x" * 300), "cannot be read: File name too long"),
    ]:
        with pytest.raises(SpecError, match=reason):
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
        load_spec(write(tmp_path, "{}"), [f"name={text}"])
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


STUDY = """
study: {moments: , model: {stage: fit, margin: 0.1}, scan.low: {stage: scan, count: 4}, scan: }
beside: {more: {ensemble: {seed: 5}}, less: {}}
"""


@pytest.mark.parametrize("text", ["null", "~", ""])
def test_set__null_leaves_a_step_or_an_ensemble_out(tmp_path, text):
    file = write(tmp_path, STUDY)
    assert list(load_spec(file).study) == ["moments", "model", "scan.low", "scan"]
    left = [f"study.moments={text}", f"study.scan.low={text}", f"beside.less={text}"]
    spec = load_spec(file, left)
    assert list(spec.study) == ["model", "scan"]
    assert list(spec.beside) == ["more"]
    assert load_spec(file, [f"study={text}"]).study is None
    # Of the options of a step, null is a value, and a step that was left out may be given anew.
    spec = load_spec(file, [f"study.scan={text}", "study.scan.count=5"])
    assert spec.study["scan"].options == {"count": 5}
    assert load_spec(file, ["study.scan={}"]).study["scan"].options == {}


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        (
            "study.momnts=null",
            "a step, and there is no such; there are moments, model, scan.low, scan",
        ),
        ("beside.scan=null", "an ensemble, and there is no such; there are more, less"),
        ("study.model=null", "study: scan.low: model: name the step that makes it; there is none"),
    ],
)
def test_set__null_of_what_is_not_there_or_is_needed(tmp_path, assignment, says):
    with pytest.raises(SpecError, match=says):
        load_spec(write(tmp_path, STUDY), [assignment])
    with pytest.raises(SpecError, match="there is none"):
        load_spec(write(tmp_path, "name: a"), [assignment])


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
        ("ensemble=null", "ensemble: null given"),
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
    (fault,) = caught.value.faults
    assert fault.startswith(f"{path}: true given; a number is needed (in YAML, unquoted on")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 5}",
        "a: &a {x: 1}\nb: &b {x: 2, z: 3}\nc: {<<: [*a, *b], q: 1}\nd: {q: 2, <<: *b}",
        "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, <<: {x: 3}}",
        "a: {=: 3}",
    ],
)
def test_merges__are_those_of_yaml(text):
    assert reading._read_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["a: {<<: 3}", "a: {<<: [3]}", "a: {<<: [[{x: 1}]]}"])
def test_merge_of_no_mapping__is_an_error(text):
    with pytest.raises(ValueError, match="'<<' takes a mapping"):
        reading._read_yaml(text)


@pytest.mark.parametrize("levels", [21, 5000, 100_000])
def test_assignment_of_many_levels__is_one_line(levels):
    with pytest.raises(SpecError, match=rf"{levels:,} levels; write section\.field=value") as told:
        override({}, [f"{'a.' * (levels - 1)}a=1"])
    assert len(str(told.value)) < 300
