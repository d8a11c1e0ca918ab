"""Whatever is thrown at them, the loader of specifications, the query language and the opener of
stores answer or raise an error of ours: nothing else, in bounded time and memory.

Examples are the same on every run.  ``LSG_FUZZ=1`` tries forty times as many.
"""

import json
import os
import time
import tracemalloc
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lsg_ray.ensemble.expression import compile_expression
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.query import query
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.urls import canonical_url
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import missing_blocks
from lsg_ray.errors import LsgError, QueryError, SpecError, StoreInputError
from lsg_ray.spec import Spec, as_yaml, load_spec, override, parse_spec
from tests.ensemble.synthetic import QUERY_COLUMNS, fill, make_real_spec, make_spec

MANY = bool(os.environ.get("LSG_FUZZ"))
#: Of one input.
SECONDS, MIB = 5.0, 64


def fuzz(examples: int):
    """Settings of a property that is tried on so many inputs."""
    return settings(
        max_examples=examples * 20 if MANY else examples // 2,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


class bounded:  # noqa: N801
    """Fail if what is inside takes long, or (looked at now and then: it is slow) much memory."""

    entered = 0

    def __enter__(self):
        bounded.entered += 1
        self.traced = bounded.entered % 20 == 0
        if self.traced:
            tracemalloc.start()
        self.began = time.monotonic()

    def __exit__(self, kind, error, traceback):
        if self.traced:
            peak = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
            assert peak < MIB, f"{peak:.0f} MiB"
        assert time.monotonic() - self.began < SECONDS


def clean(error: LsgError, printable: bool = True) -> str:
    """Check that an error can be shown: text that says something, in bounded length."""
    text = str(error)
    assert 5 < len(text) < 20_000
    assert not printable or all(mark.isprintable() or mark == "\n" for mark in text)
    return text


# Specifications

SECTIONS = {
    name: [*field.annotation.model_fields]
    for name, field in Spec.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}
PATHS = [f"{name}.{field}" for name, fields in SECTIONS.items() for field in fields] + ["name"]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 3),
    st.sampled_from([10**12, 2**31 - 1, 2**31, 2**63, 2**128, 10**400, -(10**30)]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["digits", "relu", "binary", "torch", "class", "parity", "ITR", "../../etc"]),
    st.binary(max_size=5),
    st.dates(),
)
TREES = st.recursive(
    ODD,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.one_of(st.text(max_size=8), ODD), inner)
    ),
    max_leaves=12,
)
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


@st.composite
def mutated(draw, data: bytes) -> bytes:
    """Bytes with some flipped, left out, doubled or put in."""
    result = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(result)))
        kind = draw(st.integers(0, 5))
        if kind == 0 and position < len(result):
            result[position] ^= 1 << draw(st.integers(0, 7))
        elif kind == 1:
            del result[position : position + draw(st.integers(1, 30))]
        elif kind == 2:
            result[position:position] = result[position : position + draw(st.integers(1, 30))]
        elif kind == 3:
            result[position:position] = draw(st.binary(max_size=8))
        elif kind == 4 and position < len(result):
            result[position] = draw(st.sampled_from(b'0189-+.eE"[]{}:,ntf \\\x00\xff'))
        else:
            result[position:position] = draw(
                st.sampled_from([b"9" * 30, b"1e999", b"null", b"[" * 200, b"NaN", b"-1", b"{}"])
            )
    return bytes(result)


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


# The query language

QUERY_TOKENS = st.lists(
    st.sampled_from(
        [
            *QUERY_COLUMNS,
            *("<", "<=", ">", ">=", "==", "!=", "=", "in", "not", "and", "or", "is", "if", "else"),
            *(
                "+",
                "-",
                "*",
                "/",
                "//",
                "%",
                "**",
                "&",
                "|",
                "~",
                "^",
                "@",
                "<<",
                ":=",
                "->",
                "...",
            ),
            *("(", ")", "[", "]", "{", "}", ",", ".", ":", ";", "\\", "'", '"', "#", "\n", "\t"),
            *("0", "1", "0.82", "1e308", "1e999", "9" * 400, "0x_", "1_0", "1j", "None", "True"),
            *("abs", "lambda", "x", "__import__", "os", "f'{1}'", "b''", "nan", "inf", "\x00", "é"),
            *(
                "\ud800",
                "𝐚",
                "await",
                "yield",
                "for",
                "del",
                "import",
                "exit()",
                "-" * 50,
                "(" * 50,
            ),
        ]
    ),
    max_size=20,
)
NUMBERS = st.sampled_from(["accuracy", "loss", "trial", "0.8", "-1", "1e9", "abs(loss)"])
VALID = st.recursive(
    st.tuples(NUMBERS, st.sampled_from([" < ", " >= ", " == ", " != "]), NUMBERS).map("".join),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join),
        inner.map(lambda text: f"not ({text})"),
    ),
    max_leaves=5,
)
TABLE = {name: np.array([0.0, 0.5, np.nan, 1.0, -3.0]) for name in QUERY_COLUMNS}


def try_to_ask(text: str) -> None:
    with bounded():
        try:
            condition = compile_expression(text, QUERY_COLUMNS)
        except QueryError as error:
            clean(error)
            return
        mask = condition(TABLE)
        assert mask.shape == (5,)
        assert mask.dtype == bool


@fuzz(800)
@given(QUERY_TOKENS, st.sampled_from([" ", ""]))
def test_token_soup(tokens, joint):
    try_to_ask(joint.join(tokens))


@fuzz(300)
@given(st.data())
def test_mutated_conditions(data):
    text = data.draw(VALID)
    try_to_ask(text)
    try_to_ask(data.draw(mutated(text.encode())).decode(errors="replace"))


@fuzz(100)
@given(st.text(max_size=80))
def test_any_text_as_a_condition(text):
    try_to_ask(text)


# Stores


@lru_cache(maxsize=2)
def pristine(family: str) -> dict[str, bytes]:
    """Objects of a small store by key."""
    if family == "binary":
        spec = make_spec(count=10, block_size=4, widths=(5, 3, 1))
    else:
        spec = make_real_spec(count=6, block_size=4, widths=(6, 2, 10), epochs=1)
    url = f"memory://fuzz-pristine-{family}"
    fill(url, spec)
    location = locate(url)
    return {key: bytes(location.read(key)) for key in location.everything()}


def refilled(objects: dict[str, bytes]):
    """The one scratch store of these tests, holding these objects."""
    location = locate("memory://fuzz-scratch")
    for key in location.everything():
        location.delete(key)
    for key, data in objects.items():
        location.write(key, data)
    return location.url


def try_to_read(objects: dict[str, bytes], repair: bool) -> None:
    url = refilled(objects)
    acts = (
        lambda: verify(url, repair=repair).to_dict(),
        lambda: open_ensemble(url).info(),
        lambda: query(open_ensemble(url), "accuracy > 0.8 or trial >= 0", limit=5, sort="loss"),
        lambda: open_ensemble(url).numpy(limit=4),
        lambda: missing_blocks(url),
    )
    with bounded():
        for act in acts:
            try:
                act()
            except LsgError as error:
                clean(error)


@fuzz(100)
@given(st.data(), st.sampled_from(["binary", "relu"]), st.booleans())
def test_stores_with_mutated_bytes(data, family, repair):
    objects = dict(pristine(family))
    keys = st.sampled_from(sorted(objects, key=lambda key: (not key.endswith("json"), key)))
    for _ in range(data.draw(st.integers(1, 2))):
        key = data.draw(keys)
        objects[key] = data.draw(mutated(objects[key]))
    try_to_read(objects, repair)


@st.composite
def changed(draw, tree):
    """A JSON tree with one value, somewhere, replaced by another."""
    if isinstance(tree, dict) and tree and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(tree)))
        return {**tree, key: draw(changed(tree[key]))}
    if isinstance(tree, list) and tree and draw(st.integers(0, 4)):
        position = draw(st.integers(0, len(tree) - 1))
        return [*tree[:position], draw(changed(tree[position])), *tree[position + 1 :]]
    return draw(TREES.filter(_is_json))


def _is_json(tree) -> bool:
    try:
        json.dumps(tree)
    except (TypeError, ValueError):
        return False
    return True


@fuzz(100)
@given(st.data(), st.sampled_from(["binary", "relu"]), st.booleans())
def test_stores_whose_documents_claim_other_things(data, family, repair):
    objects = dict(pristine(family))
    documents = sorted(key for key in objects if key.endswith(".json"))
    key = data.draw(st.one_of(st.just("zarr.json"), st.sampled_from(documents)))
    tree = data.draw(changed(json.loads(objects[key])))
    if key == "zarr.json" and data.draw(st.booleans()):
        tree = _consistent(tree)
    objects[key] = json.dumps(tree).encode()
    try_to_read(objects, repair)


def _consistent(root):
    """Make a changed header agree with itself as far as that goes, so that more is looked at."""
    import hashlib

    try:
        spec = root["attributes"]["spec"]
        text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
        root["attributes"]["spec_hash"] = hashlib.sha256(text.encode()).hexdigest()
        root["attributes"]["count"] = spec["ensemble"]["count"]
        root["attributes"]["n_weights"] = parse_spec(spec).network.n_weights
        root["attributes"].pop("digest", None)
    except (SpecError, KeyError, TypeError, ValueError):
        pass
    return root


# What others may have made


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


#: Obeyed by terminals, or by what reads lines; half a character; bidirectional marks; C1.
MARKS = st.text(
    st.sampled_from("a/$_\\\x1b\x07\x9b\x9d\n\r\t\x85\u2028\u202e\u2066\u200b\ud800\x00\x7f[];0m@"),
    max_size=20,
)
STRANGE = st.recursive(
    st.one_of(
        MARKS,
        st.integers(24, 5000).map(lambda n: 10**n),
        st.sampled_from([10**23, 10**24, -(10**400), True, None, 1e308]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(MARKS, inner, max_size=3)),
    max_leaves=6,
)


@fuzz(200)
@given(STRANGE, MARKS)
def test_what_is_shown_is_on_its_line_and_harmless(value, name):
    from lsg_ray.cli.output import plain, printable, table

    with bounded():
        shown = table({name: value, "x": printable(name)})
        assert len(shown.split("\n")) == 2
        assert all(line.isprintable() for line in shown.split("\n"))
        assert json.dumps(plain(value)).isprintable()


@lru_cache(maxsize=1)
def sealed_result() -> dict[str, bytes]:
    """Objects of a small result by key."""
    from lsg_ray.ising.model import IsingModel

    model = IsingModel(np.array([[0, 0.5], [0.5, 0]]), np.array([1.0, 2.0]), weight=np.arange(2))
    location = locate(model.save("memory://fuzz-sealed-result"))
    return {key: bytes(location.read(key)) for key in location.everything()}


@st.composite
def chunks(draw):
    """A chunk as a stranger may make it: frames, several, within one another, cut, changed."""
    from numcodecs import Blosc, Zstd

    size = draw(st.sampled_from([0, 8, 16, 24, 32, 1000, 2**20, 2**24]))
    data = bytes(size) if size > 32 else np.arange(4.0).tobytes()[:size]
    packed = b""
    for _ in range(draw(st.integers(1, 3))):
        one = bytes(draw(st.sampled_from([Zstd(), Zstd(checksum=True), Blosc()])).encode(data))
        packed += draw(st.sampled_from([one, data[:100], bytes(Zstd().encode(one)), one * 9]))
    return draw(st.one_of(st.just(packed), mutated(packed)))


def try_result(folder, objects: dict[str, bytes]) -> None:
    import shutil
    import warnings

    from lsg_ray.ising.model import load_model
    from lsg_ray.results.seal import UnverifiedWarning

    shutil.rmtree(folder, ignore_errors=True)
    for key, data in objects.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
    with bounded(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UnverifiedWarning)
        warnings.filterwarnings("ignore", module="zarr|xarray")
        try:
            model = load_model(folder)
        except LsgError as error:
            clean(error, printable=False)
        else:
            assert model.n_spins >= 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "result"


def unsealed(objects: dict[str, bytes], inline: bool) -> dict[str, bytes]:
    """Make of a result a foreign one, with or without consolidated metadata."""
    root = json.loads(objects["zarr.json"])
    root["consolidated_metadata"].pop("lsg_seal")
    if not inline:
        del root["consolidated_metadata"]
    rest = {key: data for key, data in objects.items() if key != ".chunks.json"}
    return {**rest, "zarr.json": json.dumps(root).encode()}


@fuzz(100)
@given(st.data(), st.booleans())
def test_results_with_chunks_of_strangers(folder, data, sealed):
    objects = dict(sealed_result()) if sealed else unsealed(sealed_result(), False)
    key = data.draw(st.sampled_from(sorted(key for key in objects if "/c/" in key)))
    objects[key] = data.draw(chunks())
    try_result(folder, objects)


@fuzz(100)
@given(st.data(), st.booleans(), st.booleans())
def test_results_whose_documents_claim_other_things(folder, data, sealed, inline):
    """Also masked arrays, whose ``_FillValue`` and flags are read by xarray."""
    objects = dict(sealed_result()) if sealed else unsealed(sealed_result(), inline)
    names = sorted(key for key in objects if key.endswith("json"))
    key = data.draw(st.sampled_from(names))
    if data.draw(st.booleans()):
        objects[key] = data.draw(mutated(objects[key]))
    else:
        tree = json.loads(objects[key])
        odd = {"_FillValue": 1, "scale_factor": 2, "flag_meanings": "x", "units": "days since 1"}
        if data.draw(st.booleans()) and isinstance(tree, dict):
            name = data.draw(st.sampled_from(sorted(odd)))
            value = data.draw(st.one_of(STRANGE, st.just(odd[name])))
            tree["attributes"] = {**(tree.get("attributes") or {}), name: value}
        else:
            tree = data.draw(changed(tree))
        try:
            objects[key] = json.dumps(tree).encode()
        except ValueError:  # an integer that Python does not print
            return
    try_result(folder, objects)


# Arrays


@st.composite
def foreign_arrays(draw, shape: tuple[int, ...]):
    """Numbers, mostly those of a public argument, in whatever people may hold them in."""
    import dask.array
    import pandas
    import scipy.sparse
    import torch
    import xarray

    size = int(np.prod(shape))
    numbers = st.sampled_from([1.0, -1.0, 1.0, -1.0, 0.0, 0.3, 1e-300, 1e30, 1e308])
    odd = st.sampled_from([np.nan, np.inf, -np.inf, 2.0])
    flat = draw(st.lists(numbers, min_size=size, max_size=size))
    for _ in range(draw(st.integers(0, 1))):
        flat[draw(st.integers(0, size - 1))] = draw(odd)
    if draw(st.booleans()):
        flat = [1.0 if value >= 0 else -1.0 for value in flat]
    x = np.array(flat).reshape(shape)
    mask = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size))).reshape(shape)
    table = pandas.DataFrame if x.ndim == 2 else pandas.Series
    kinds = {
        "plain": lambda: x,
        "list": lambda: x.tolist(),
        "masked": lambda: np.ma.array(x, mask=mask & draw(st.booleans())),
        "masked rows": lambda: [np.ma.array(row, mask=m) for row, m in zip(x, mask, strict=True)],
        "hard mask": lambda: np.ma.array(x, mask=mask, hard_mask=True, fill_value=1),
        "masked Dask": lambda: dask.array.ma.masked_array(dask.array.from_array(x), mask),
        "Dask": lambda: dask.array.from_array(x, chunks=2),
        "xarray": lambda: xarray.DataArray(x).where(~mask),
        "Dataset": lambda: xarray.Dataset({"x": xarray.DataArray(x)}),
        "pandas": lambda: table(x),
        "nullable": lambda: table(x).astype("Float64").mask(mask),
        "categories": lambda: pandas.Series(x.ravel()).astype("category"),
        "gradient": lambda: torch.tensor(x, requires_grad=True),
        "half": lambda: torch.tensor(x, dtype=draw(st.sampled_from([torch.bfloat16, torch.half]))),
        "complex tensor": lambda: torch.tensor(x).to(torch.complex64),
        "sparse tensor": lambda: torch.tensor(x).to_sparse(),
        "elsewhere": lambda: torch.empty(shape, device="meta"),
        "sparse": lambda: scipy.sparse.csr_array(np.atleast_2d(x)),
        "type": lambda: x.astype(draw(st.sampled_from(["U", "S9", "O", "?", "c8", "f2", "M8[s]"]))),
        "integers": lambda: np.sign(np.nan_to_num(x)).astype(draw(st.sampled_from(["i1", "u8"]))),
        "longer": lambda: x.astype(np.longdouble),
        "records": lambda: np.zeros(shape, "i4,f8"),
        "none": lambda: None,
        "text": lambda: draw(st.text(max_size=5)),
        "object": lambda: draw(ODD),
        "ragged": lambda: [x.tolist(), 1.0],
        "shape": lambda: x.ravel() if x.ndim == 2 else x[None, None],
        "empty": lambda: x[:0],
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]()


def array_arguments():
    """Public functions by the shape of an argument, with the others as they should be."""
    import lsg_ray
    from lsg_ray.ising.bp import belief_propagation
    from lsg_ray.networks.permutations import match_weights

    J, h = np.array([[0, 0.2, 0.1], [0.2, 0, 0.3], [0.1, 0.3, 0]]), np.array([0.1, -0.2, 0.3])
    sigma = np.array([[1, -1, 1], [1, 1, -1], [-1, 1, 1], [1, 1, 1]])
    return {
        "moments": ((5, 3), lsg_ray.moments),
        "weights": ((4,), lambda x: lsg_ray.moments(sigma, weights=x)),
        "overlaps": ((5, 3), lsg_ray.overlaps),
        "distances": ((5, 3), lambda x: lsg_ray.distances(sigma, references=x)),
        "J": ((3, 3), lambda x: lsg_ray.IsingModel(x, h)),
        "h": ((3,), lambda x: lsg_ray.IsingModel(J, x)),
        "energy": ((2, 3), lambda x: lsg_ray.IsingModel(J, h).energy(x)),
        "m": ((3,), lambda x: lsg_ray.fit_boltzmann((x, np.eye(3)), method="bp", verify=False)),
        "C": ((3, 3), lambda x: lsg_ray.fit_boltzmann((0 * h, x), method="bp", verify=False)),
        "scan": ((2, 3), lambda x: lsg_ray.entropy_scan((J, h), x, [0, 1])),
        "fields": ((3,), lambda x: lsg_ray.entropy_scan((J, h), sigma[:1], x)),
        "cavity": ((3,), lambda x: belief_propagation((J, h), fields=x, max_sweeps=50)),
        "start": ((3,), lambda x: lsg_ray.sample_model((J, h), start=x, chains=4, draws=8)),
        "match": ((6,), lambda x: match_weights([2, 2, 1], x, np.ones(6))),
        "widths": ((3,), lambda x: match_weights(x, np.ones(6), np.ones(6))),
        "inputs": (
            (4, 2),
            lambda x: lsg_ray.canonicalize(np.ones((3, 6)), network=[2, 2, 1], inputs=x).rows(0, 3),
        ),
        "walk": ((3, 4), lambda x: lsg_ray.random_walk(x, sigma=0.1)),
        "sigma": ((2,), lambda x: lsg_ray.random_walk("memory://none", sigma=x)),
        "alphas": ((3,), lambda x: lsg_ray.interpolate("memory://none", alphas=x)),
    }


@fuzz(400)
@given(st.data())
def test_masked_and_foreign_arrays(data):
    import warnings

    arguments = array_arguments()
    shape, function = arguments[data.draw(st.sampled_from(sorted(arguments)))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = data.draw(foreign_arrays(shape))
        with bounded(), np.errstate(all="raise"):
            try:
                function(given)
            except LsgError as error:
                output = clean(error, printable=False)
            else:
                assert not np.ma.is_masked(given)
                return
    assert len(output.splitlines()) == 1


# URLs


@fuzz(400)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    *("s3://", "gs://", "memory://", "file://", "file:///", "http://", "://"),
                    *(
                        "bucket",
                        "/",
                        "//",
                        "..",
                        ".",
                        "%2e",
                        "%",
                        "@",
                        "?",
                        "#",
                        ":",
                        "[",
                        "]",
                        "~",
                    ),
                    *("\\", "\x00", "\n", "\ud800", " ", "é", "a" * 400, "key:secret@"),
                ]
            ),
            st.text(max_size=4),
        ),
        max_size=8,
    ).map("".join)
)
def test_urls(text):
    with bounded():
        try:
            url = canonical_url(text)
        except StoreInputError as refusal:
            shown = clean(refusal, printable="://" in text)
            if "secret" in shown:
                raise AssertionError(shown) from None
            return
        assert canonical_url(url) == url
        if url.startswith(("s3://", "gs://")):
            assert not {"..", ".", ""} & set(url.split("/")[3:])
            return
        try:
            open_ensemble(url)
        except LsgError as error:  # names of files are shown as they are
            clean(error, printable="://" in url)
