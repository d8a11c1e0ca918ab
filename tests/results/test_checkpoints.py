"""Checkpoints of a computation: saved, used again, never mixed up."""

from typing import NamedTuple

import numpy as np
import pytest

from lsg_ray.errors import StoreError
from lsg_ray.ising.model import IsingModel
from lsg_ray.results.checkpoints import _digest, checkpoint_folder, remove_checkpoints, run_tasks
from lsg_ray.spec import Spec

DONE = []


class Square(NamedTuple):
    number: np.ndarray
    square: np.ndarray


def work(shared, number, _options=None):
    DONE.append(number)
    return Square(np.array([number]), np.array([number**2 * int(shared[0])]))


def other_work(shared, number):
    return work(shared, number)


NUMBERS = [(number,) for number in range(6)]


@pytest.fixture(autouse=True)
def done():
    DONE.clear()
    return DONE


def test_checkpoints__are_computed_once(done, tmp_path):
    calls = []
    first = run_tasks(work, np.ones(3), NUMBERS, Square, tmp_path / "p")
    files = sorted((tmp_path / "p").rglob("*.npz"))
    assert len(files) == 6
    files[2].write_bytes(files[2].read_bytes()[:50])  # cut by a full disk
    files[4].unlink()
    again = run_tasks(work, np.ones(3), NUMBERS, Square, tmp_path / "p", lambda *n: calls.append(n))
    assert len(done) == 8
    assert calls[-1] == (6, 6)
    for n, (one, two) in enumerate(zip(first, again, strict=True)):
        assert one.number[0] == two.number[0] == n
        assert one.square[0] == two.square[0] == n * n


def test_checkpoints_of_anything_else__are_not_used(done, tmp_path):
    run_tasks(work, np.ones(3), NUMBERS, Square, tmp_path / "p")
    done.clear()
    output = run_tasks(work, np.full(3, 2.0), NUMBERS, Square, tmp_path / "p")
    assert len(done) == 6
    assert [result.square[0] for result in output] == [2 * n * n for n in range(6)]
    run_tasks(other_work, np.ones(3), NUMBERS, Square, tmp_path / "p")
    run_tasks(work, np.ones(3), [(n, "option") for (n,) in NUMBERS], Square, tmp_path / "p")
    assert len(done) == 18
    # Tasks that are the same in a longer list are not done again.
    run_tasks(work, np.ones(3), [*NUMBERS, (6,)], Square, tmp_path / "p")
    assert len(done) == 19


def test_digests__tell_values_apart():
    J = np.zeros((2, 2))
    values = [
        None, 0, 0.0, False, "0", b"0", (), (0,), ((0,),), (0, 0), np.zeros(1), np.zeros(2),
        np.zeros((1, 1)), np.zeros(1, np.float32), np.float64(0), {"a": 0}, {"b": 0},
        Spec(), Spec(name="other"), IsingModel(J, np.zeros(2)), IsingModel(J, np.ones(2)),
        Square(np.zeros(1), np.zeros(1)), Square(np.zeros(1), np.ones(1)), ("a", "bc"), ("ab", "c"),
    ]  # fmt: skip
    assert len({_digest(value) for value in values}) == len(values)
    for value in values:
        assert _digest(value) == _digest(value)
    for value in (object(), work, lambda: 0):
        with pytest.raises(TypeError):
            _digest(value)


def test_folder__is_hidden_beside_the_result_and_removed(tmp_path):
    folder = checkpoint_folder(tmp_path / "scan.zarr")
    assert folder.parent == tmp_path
    assert folder.name.startswith(".")
    run_tasks(work, np.ones(3), NUMBERS, Square, folder)
    remove_checkpoints(tmp_path / "scan.zarr")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="could not be written"):
        run_tasks(work, np.ones(3), NUMBERS, Square, tmp_path / "file" / "p")
    assert len(run_tasks(work, np.ones(3), NUMBERS, Square)) == 6


def test_another_run_that_is_finished__removes_the_folder_and_this_one_goes_on(done, tmp_path):
    folder = checkpoint_folder(tmp_path / "r.zarr")

    def finished(n_done, _total):
        if n_done == 2:
            remove_checkpoints(tmp_path / "r.zarr")

    output = run_tasks(work, np.ones(3), NUMBERS, Square, folder, finished)
    assert [result.square[0] for result in output] == [n * n for n in range(6)]
    assert len(done) == 6
    assert all(path.suffix == ".npz" for path in folder.iterdir())
