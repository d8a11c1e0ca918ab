"""Results that strangers may have made, and what is shown of them."""

import json
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsg_ray.ensemble.location import locate
from lsg_ray.errors import LsgError
from tests.fuzz.made import MARKS, STRANGE, bounded, changed, clean, fuzz, mutated


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
