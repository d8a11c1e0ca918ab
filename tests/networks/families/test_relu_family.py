"""Ensembles of ReLU networks: a configuration is a function of the specification and its index."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lsg_ray.cluster.sample import sample
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.errors import AcceptanceError, InputError
from lsg_ray.networks.families.relu import example_set
from lsg_ray.networks.first_layer import SparseInputs
from lsg_ray.networks.relu_network import evaluate
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.networks.solvers import descent
from lsg_ray.networks.solvers.descent import StackConfig
from lsg_ray.spec import parse_spec


def spec_of(count=10, *, dataset=None, network=None, ensemble=None, **training):
    return parse_spec(
        {
            "dataset": {"name": "digits", "train_examples": 300, **(dataset or {})},
            "network": {"family": "relu", "widths": [64, 12, 10], **(network or {})},
            "training": {"epochs": 2, "batch_size": 64, "stack": 4, **training},
            "ensemble": {"count": count, "seed": 3, **(ensemble or {})},
        }
    )


#: Every network is trained to a loss: each takes epochs of its own, and some a second trial.
HARD = {"epochs": 7, "target_loss": 1.7, "learning_rate": 4e-3}


def drawn(spec, start, rows, **options):
    return sample_configurations(
        spec, prepare(spec, load_dataset(spec.dataset)), start, rows, **options
    )


def stored(spec, url, **options):
    sample(spec, url, workers=0, **options)
    assert verify(url).ok
    return open_ensemble(url)


@pytest.mark.parametrize("training", [{}, HARD], ids=["every", "hard"])
def test_configurations_do_not_depend_on_blocks(training):
    """Also across the border of two stacks, and of blocks that lie inside one."""
    spec = spec_of(ensemble={"give_up_after": 50}, **training)
    whole = drawn(spec, 0, 10)
    blocks = [drawn(spec, start, rows) for start, rows in ((0, 3), (3, 2), (5, 5))]
    for name in ("weights", *whole.columns):
        given, *parts = ((one.weights if name == "weights" else one.columns[name])
                         for one in (whole, *blocks))  # fmt: skip
        np.testing.assert_array_equal(given, np.concatenate(parts), err_msg=name)
    assert len(whole.missed) == sum(len(part.missed) for part in blocks)
    assert (len(whole.missed) > 0) == bool(training)
    assert len(np.unique(whole.weights[:, :5], axis=0)) == 10


def test_configurations_do_not_depend_on_the_threads_of_torch():
    spec, before = spec_of(4), torch.get_num_threads()
    try:
        result = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            result.append(drawn(spec, 0, 4))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(result[0].weights, result[1].weights)


def test_stores_do_not_depend_on_block_size_count_or_order(tmp_path):
    spec = spec_of(ensemble={"give_up_after": 50}, **HARD)
    whole = stored(spec, tmp_path / "whole.zarr")
    assert whole.block_size == 4
    for size in (3, 10):
        other = stored(spec.replace(ensemble={"block_size": size}), tmp_path / f"{size}.zarr")
        assert other.info()["content_hash"] == whole.info()["content_hash"]
    few = stored(spec.replace(ensemble={"count": 5, "block_size": 4}), tmp_path / "few.zarr")
    np.testing.assert_array_equal(few.numpy(), whole.numpy(5))
    # It grows into the same: the short last block is made again.
    sample(spec.replace(ensemble={"block_size": 4}), tmp_path / "few.zarr", workers=0)
    grown = open_ensemble(tmp_path / "few.zarr")
    assert grown.complete
    assert grown.info()["content_hash"] == whole.info()["content_hash"]


def test_missing_blocks_are_resumed(tmp_path):
    spec = spec_of()
    whole = stored(spec, tmp_path / "s.zarr").info()["content_hash"]
    (tmp_path / "s.zarr" / "weights_1" / "c.1.0.0").unlink()
    verify(tmp_path / "s.zarr", repair=True)
    assert open_ensemble(tmp_path / "s.zarr").missing_blocks.tolist() == [1]
    result = sample(spec, tmp_path / "s.zarr", workers=0)
    assert (result.rows, result.resumed) == (4, 6)
    assert open_ensemble(tmp_path / "s.zarr").info()["content_hash"] == whole


@pytest.mark.parametrize("selection", ["test", "train", "validation"])
def test_what_is_stored_is_true(selection):
    spec = spec_of(dataset={"validation_examples": 100}, ensemble={"selection": selection})
    data, result = load_dataset(spec.dataset), drawn(spec, 2, 5)
    for columns, examples in (
        (("accuracy", "loss"), data.examples(selection)),
        (("train_accuracy", "train_loss"), data.train),
        (("test_accuracy", "test_loss"), data.test),
    ):
        inputs, y = example_set(examples).on("cpu")
        expected = evaluate(spec.network, result.weights, inputs, y)
        np.testing.assert_array_equal(result.columns[columns[0]], expected.accuracy)
        np.testing.assert_allclose(result.columns[columns[1]], expected.loss, rtol=1e-6)
    assert result.columns["epochs"].tolist() == [2] * 5
    assert result.columns["trial"].tolist() == [0] * 5
    assert result.columns["curve_test_loss"].shape == (5, 2)
    np.testing.assert_allclose(
        result.columns["curve_test_loss"][:, -1], result.columns["test_loss"], rtol=1e-6
    )


def test_threshold_is_kept_and_what_misses_it_is_counted():
    spec = spec_of(ensemble={"threshold": 0.2, "give_up_after": 50}, epochs=4)
    message = []
    result = drawn(spec, 0, 10, on_trial=message.append)
    assert (result.columns["accuracy"] >= 0.2).all()
    assert len(result.missed) == result.columns["trial"].sum() > 0
    assert (result.missed < 0.2).all()
    assert (message.count(True), message.count(False)) == (10, len(result.missed))


def test_threshold_out_of_reach_says_what_was_reached():
    spec = spec_of(ensemble={"threshold": 1.0})
    with pytest.raises(AcceptanceError) as caught:
        drawn(spec, 0, 10)
    assert "ensemble.threshold = 1: 0." in str(caught.value)
    assert "lower ensemble.threshold" in str(caught.value)


def test_examples_travel_sparse_where_they_are_mostly_zero():
    """Raw digits are half black, their components never; zeros of our own making are skipped."""
    data = load_dataset(spec_of().dataset)
    rows = replace(data.train, x=np.where(data.train.x > 0.9, data.train.x, 0))
    given, sparse = example_set(data.train), example_set(rows)
    assert isinstance(given.x, np.ndarray)
    assert not given.x.flags.writeable
    assert isinstance(sparse.x, SparseInputs)
    inputs, y = sparse.on("cpu")
    np.testing.assert_array_equal(inputs.dense(), rows.x)
    np.testing.assert_array_equal(y, rows.y)


def test_stacks_beyond_memory_are_refused(monkeypatch):
    data = load_dataset(spec_of().dataset)
    for training in ({"stack": 2**31 - 1}, {"epochs": 2**31 - 1}):
        with pytest.raises(InputError, match=r"training.stack: .* GiB of memory; at most 16"):
            prepare(spec_of(**training), data)
    monkeypatch.setattr(descent, "STACKS", StackConfig(max_bytes=10**5))
    with pytest.raises(InputError, match=r"training.stack: 4 networks together take"):
        prepare(spec_of(), data)
