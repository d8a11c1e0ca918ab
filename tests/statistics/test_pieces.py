"""Pieces of a computation: kept, found again, never mixed up."""

from typing import NamedTuple

import dask
import numpy as np
import pytest

from lsg_ray.errors import StoreError
from lsg_ray.statistics.pieces import compute_pieces, forget_pieces, pieces_of


class Piece(NamedTuple):
    number: np.ndarray
    square: np.ndarray


@pytest.fixture
def leaves():
    done = []

    def leaf(number):
        done.append(number)
        return Piece(np.array([number]), np.array([number**2]))

    make = dask.delayed(leaf, pure=False)
    return [make(number) for number in range(6)], done


def test_pieces__are_computed_once(leaves, tmp_path):
    graph, done = leaves
    told = []
    first = compute_pieces(graph, Piece, tmp_path / "p", (np.ones(3), "a"), None)
    files = sorted((tmp_path / "p").rglob("*.npz"))
    assert len(files) == 6
    files[2].write_bytes(files[2].read_bytes()[:50])  # cut by a full disk
    files[4].unlink()
    again = compute_pieces(
        graph, Piece, tmp_path / "p", (np.ones(3), "a"), lambda *n: told.append(n)
    )
    assert sorted(done) == [0, 1, 2, 2, 3, 4, 4, 5]
    assert told[-1] == (6, 6)
    for n, (one, two) in enumerate(zip(first, again, strict=True)):
        assert one.number[0] == two.number[0] == n
        assert two.square[0] == n * n
    compute_pieces(graph, Piece, tmp_path / "p", (np.full(3, 2.0), "a"))
    assert len(done) == 14


def test_places__are_hidden_beside_the_result_and_removed(leaves, tmp_path):
    folder = pieces_of(tmp_path / "scan.zarr")
    assert folder.parent == tmp_path
    assert folder.name.startswith(".")
    compute_pieces(leaves[0], Piece, folder, ("a",))
    forget_pieces(tmp_path / "scan.zarr")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="could not be written"):
        compute_pieces(leaves[0], Piece, tmp_path / "file" / "p", ("a",))
    assert len(compute_pieces(leaves[0], Piece, None, ())) == 6
