"""The loader of specifications on odd trees, mutated bytes and merges."""

from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsg_ray.errors import SpecError
from lsg_ray.spec import Spec, as_yaml, load_spec, override, parse_spec
from tests.ensemble.synthetic import make_real_spec
from tests.fuzz.made import ODD, TREES, bounded, clean, fuzz, mutated

SECTIONS = {
    name: [*field.annotation.model_fields]
    for name, field in Spec.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}
PATHS = [f"{name}.{field}" for name, fields in SECTIONS.items() for field in fields] + ["name"]
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(
            st.dictionaries(st.sampled_from(fields), TREES, max_size=4),
            st.fixed_dictionaries({}, optional=dict.fromkeys(fields, ODD)),
        )
        for name, fields in SECTIONS.items()
    },
)
YAML_TOKENS = st.lists(
    st.sampled_from(
        [
            *("dataset", "network", "widths", "ensemble", "count", "name", "schema_version"),
            *(": ", "\n", "\n  ", "- ", "[", "]", "{", "}", ", ", "&a ", "*a", "<<: ", "? ", "| "),
            *("!!int ", "!!bool ", "!!timestamp ", "!!binary ", "!!omap ", "!!set ", "!!null "),
            *("!!python/name:os.system ", "!!pairs ", "!!float ", "!x ", "%YAML 1.1\n", "---\n"),
            *(
                "1",
                "0x",
                "1e999",
                ".nan",
                "-.inf",
                "1:59",
                "010",
                "1e6",
                "2001-99-99",
                "null",
                "~",
                "=",
                "'",
                '"',
            ),
            *("#", "@", "`", "\t", "\x00", "\x85", "\ufeff", "é", "\\", "relu", "digits", "...\n"),
        ]
    ),
    max_size=40,
).map("".join)


@lru_cache(maxsize=1)
def quickstart() -> bytes:
    spec = make_real_spec(widths=(64, 5, 10))
    return as_yaml(spec).encode()


def try_to_load(file, data: bytes) -> None:
    file.write_bytes(data)
    with bounded():
        try:
            spec = load_spec(file)
        except SpecError as error:
            clean(error)
        else:
            assert parse_spec(spec.model_dump(mode="json")) == spec
            assert spec.block_size >= 1


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "spec.yaml"


@fuzz(200)
@given(data=st.data())
def test_text_that_is_almost_yaml(file, data):
    text = data.draw(st.one_of(YAML_TOKENS, st.text(max_size=60)))
    try_to_load(file, text.encode(errors="surrogatepass"))


@fuzz(200)
@given(data=st.data())
def test_specifications_with_mutated_bytes(file, data):
    try_to_load(file, data.draw(mutated(quickstart())))


@fuzz(400)
@given(st.one_of(TREES, KNOWN))
def test_trees_of_odd_values(tree):
    with bounded():
        try:
            spec = parse_spec(tree)
        except SpecError as error:
            clean(error)
        else:
            assert parse_spec(spec.model_dump(mode="json")).hash == spec.hash
            assert spec.n_blocks >= 1


@fuzz(200)
@given(st.one_of(st.sampled_from(PATHS), st.text(max_size=15)), YAML_TOKENS)
def test_overrides(path, value):
    with bounded():
        try:
            parse_spec(override({"name": "x"}, [f"{path}={value}"]))
        except SpecError as error:
            clean(error)


@st.composite
def merging(draw):
    """YAML of mappings that merge one another, themselves and lists, some of many keys."""
    keys = draw(st.sampled_from([1, 3, 300]))
    lines = ["a0: &a0 {" + ", ".join(f"k{n}: {n}" for n in range(keys)) + "}"]
    for n in range(1, draw(st.integers(2, 12))):
        names = draw(st.lists(st.integers(0, n), min_size=1, max_size=4))
        sources = ", ".join(f"*a{name}" for name in names)
        sources = ", ".join([sources] * draw(st.sampled_from([1, 1, 2, 40])))
        form = draw(st.sampled_from(["<<: [{}]", "<<: {}", "<<: [[{}]]", "x: [{}]", "? {}"]))
        lines.append(f"a{n}: &a{n} {{{form.format(sources)}, y{n}: 1}}")
    return "\n".join(lines)


@fuzz(100)
@given(data=st.data())
def test_merges(file, data):
    try_to_load(file, data.draw(merging()).encode())
