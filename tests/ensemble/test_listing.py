"""What keys are, and which half-written files may go."""

import pytest

from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.listing import Keys, Listing, sweep
from lsg_ray.ensemble.location import locate

from .synthetic import fill, make_spec


@pytest.fixture
def store(tmp_path):
    fill(tmp_path / "s", make_spec(), blocks=[0, 2])
    return tmp_path / "s"


@pytest.mark.parametrize(
    ("key", "owner", "staged"),
    [
        ("weights/c.2.0", ("weights", 2), False),
        ("loss/c.1", ("loss", 1), False),
        ("loss/c.01", None, False),
        ("loss/c.1.0", None, False),
        ("nothing/c.1", None, False),
        ("ledger/00000012.json", ("ledger", 12), False),
        ("ledger/00000012.json#1", None, True),
        ("weights/c.2.0#7", None, True),
        ("zarr.json#1", None, True),
        ("notes.txt#1", None, False),
        (f"loss/c.1.{'0' * 32}.partial", None, True),
        (f"mine/c.1.{'0' * 32}.partial", None, False),
    ],
)
def test_keys_are_told_apart(store, key, owner, staged):
    keys = Keys(read_header(locate(store)))
    assert (keys.parsed(key), keys.is_staged(key)) == (owner, staged)


def test_a_listing_says_what_stands_where(store):
    location = locate(store)
    (store / "ledger" / "00000002.json").unlink()
    (store / "loss" / "c.3").write_bytes(b"")
    (store / "loss" / "c.9").write_bytes(b"")
    (store / "notes.txt").write_text("mine")
    listing = Listing(location, read_header(location))
    assert listing.of("ledger").nonzero()[0].tolist() == [0]
    assert listing.without_record() == [2, 3]
    assert listing.chunks(3) == ["loss/c.3"]
    assert dict(listing.chunks_beyond) == {9: ["loss/c.9"]}
    assert (listing.foreign, listing.n_foreign) == (["notes.txt"], 1)


def test_half_written_files_of_blocks_that_are_done_are_swept(store):
    for key in ("weights/c.0.0#1", "weights/c.1.0#1", "zarr.json#1"):
        (store / key).write_bytes(b"half")
    assert sweep(store) == 2
    assert [path.name for path in store.rglob("*#1")] == ["c.1.0#1"]
