"""The opener of stores on mutated bytes and on documents that claim other things."""

import json
from functools import lru_cache

from hypothesis import given
from hypothesis import strategies as st

from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.query import query
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import missing_blocks
from lsg_ray.errors import LsgError, SpecError
from lsg_ray.spec import parse_spec
from tests.ensemble.synthetic import fill, make_real_spec, make_spec
from tests.fuzz.made import bounded, changed, clean, fuzz, mutated


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
