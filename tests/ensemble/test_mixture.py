"""Synthetic ensembles: the same rows however they are asked for, moments as computed."""

import numpy as np
import pytest

from lsg_ray.ensemble.verify import verify
from lsg_ray.errors import InputError
from tests.ensemble.mixture import mixture, synthetic, synthetic_rows


def test_rows__do_not_depend_on_count_or_blocks(tmp_path):
    one = synthetic(tmp_path / "a", 2500, 50, 3)
    two = synthetic(tmp_path / "b", 1700, 50, 3, block_size=333)
    np.testing.assert_array_equal(one.numpy()[:1700], two.numpy())
    np.testing.assert_array_equal(one.column("accuracy")[:1700], two.column("accuracy"))
    assert verify(one.url).ok
    other = synthetic(tmp_path / "c", 1700, 50, 4)
    assert (other.numpy() != two.numpy()).any()


@pytest.mark.parametrize("n_weights", [1, 2, 3, 8, 13, 200, 675, 3072, 3073, 5003, 20_000])
def test_any_number_of_weights__has_a_network(n_weights):
    ensemble = synthetic(f"memory://n-{n_weights}", 5, n_weights)
    assert ensemble.numpy().shape == (5, n_weights)
    assert ensemble.spec.network.n_weights == n_weights


def test_exact_moments__are_met_by_many_rows():
    """20,000 rows: errors up to 1/√20000 = 0.007 each; 5 of them, over 500 numbers."""
    bits, which = synthetic_rows(30, 2, 500, 20_500)
    weights = 2.0 * np.unpackbits(bits, axis=1, bitorder="little")[:, :30] - 1
    true = mixture(30, 2)
    assert np.abs(weights.mean(axis=0) - true.m).max() < 0.036
    assert np.abs(weights.T @ weights / 20_000 - true.C).max() < 0.036
    assert np.abs(np.bincount(which) / 20_000 - [0.4, 0.3, 0.2, 0.1]).max() < 0.02
    assert np.abs(true.C[np.triu_indices(30, 1)]).max() > 0.3


@pytest.mark.parametrize(("count", "n_weights"), [(0, 5), (5, 0), (-1, 5)])
def test_nothing__is_refused(tmp_path, count, n_weights):
    with pytest.raises(InputError, match="must be 1 or more"):
        synthetic(tmp_path / "s", count, n_weights)
    assert not (tmp_path / "s").exists()
