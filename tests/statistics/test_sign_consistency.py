"""Sign consistency against brute force, in any tiles; errors against repeated draws."""

import itertools

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.statistics import sign_consistency as module
from lsg_ray.statistics.pair_errors import between_error, within_error
from lsg_ray.statistics.sign_consistency import sign_consistency


def brute(a, b):
    both = (a != 0) & (b != 0)
    return np.mean(np.sign(a[both]) == np.sign(b[both])) if both.any() else np.nan


def drawn(rows, weights, zeros=0.0, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(0.2, 1, (rows, weights))
    return np.where(rng.random(values.shape) < zeros, 0.0, values)


@pytest.mark.parametrize("zeros", [0.0, 0.3])
@pytest.mark.parametrize("tile_rows", [3, 1024])
def test_all_pairs__are_those_of_brute_force(zeros, tile_rows, monkeypatch):
    monkeypatch.setattr(module, "CONSISTENCY", module.ConsistencyConfig(tile_rows=tile_rows))
    x, y = drawn(11, 130, zeros), drawn(7, 130, zeros, 1)
    result = sign_consistency(x, matrix=True)
    pairs = [brute(x[i], x[j]) for i, j in itertools.combinations(range(11), 2)]
    table = np.array([[brute(a, b) for b in x] for a in x])
    np.testing.assert_allclose(result["matrix"], table, rtol=1e-6)
    for name, value in (("mean", np.mean(pairs)), ("std", np.std(pairs)), ("n_pairs", 55),
                        ("min", min(pairs)), ("max", max(pairs))):  # fmt: skip
        assert result.attrs[name] == pytest.approx(value), name
    assert int(result["pairs"].sum()) == 55
    between = sign_consistency(x, y, matrix=True)
    table = np.array([[brute(a, b) for b in y] for a in x])
    np.testing.assert_allclose(between["matrix"], table, rtol=1e-6)
    assert between.attrs["mean"] == pytest.approx(table.mean())


def test_a_set_that_is_not_shared__is_read_tile_by_tile(monkeypatch):
    x = drawn(9, 70, 0.2)
    whole = sign_consistency(x)
    sizes = module.ConsistencyConfig(tile_rows=4, shared_bytes=0)
    monkeypatch.setattr(module, "CONSISTENCY", sizes)
    parts = sign_consistency(x)
    np.testing.assert_array_equal(whole["pairs"], parts["pairs"])
    assert whole.attrs["mean_stderr"] == pytest.approx(parts.attrs["mean_stderr"])


def test_signs__are_one_less_the_hamming_distance(ensemble_of):
    rng = np.random.default_rng(3)
    rows = rng.choice([-1, 1], (20, 90)).astype(np.int8)
    result = sign_consistency(ensemble_of(rows, widths=[8, 10, 1]), matrix=True)
    np.testing.assert_allclose(result["matrix"], 1 - (rows[:, None] != rows[None]).mean(axis=2),
                               rtol=1e-6)  # fmt: skip
    layers = [slice(0, 80), slice(80, 90)]
    for number, layer in enumerate(layers):
        some = [brute(rows[i, layer], rows[j, layer])
                for i, j in itertools.combinations(range(20), 2)]  # fmt: skip
        assert float(result["layer_mean"][number]) == pytest.approx(np.mean(some))
        assert float(result["layer_std"][number]) == pytest.approx(np.std(some))


def test_pairs_without_a_common_weight__do_not_count():
    x = np.array([[1.0, 0, 0, 0], [0, 2.0, 0, 0], [3.0, -1, 0, 0]])
    result = sign_consistency(x, matrix=True)
    assert result.attrs["n_pairs"] == 2
    assert result.attrs["mean"] == 0.5
    assert np.isnan(result["matrix"].values[0, 1])


def test_errors__cover_the_spread_of_means():
    """1,000 sets of 12: the standard error is within 10 % (false alarm: below 1e-4)."""
    rng = np.random.default_rng(0)
    means, errors, both = [], [], []
    for _ in range(1000):
        a, e = rng.normal(0, 0.3, 12), np.triu(rng.normal(0, 1, (12, 12)), 1)
        table = (a[:, None] + a) * (1 - np.eye(12)) + e + e.T
        means.append(table.sum() / 132)
        errors.append(within_error(table.sum(axis=1)[:, None], (np.triu(table, 1) ** 2).sum())[0])
        two = rng.normal(0, 0.3, 8)[:, None] + rng.normal(0, 0.2, 9) + rng.normal(0, 1, (8, 9))
        error = between_error(two.sum(axis=1)[:, None], two.sum(axis=0)[:, None],
                              np.array([(two**2).sum()]))  # fmt: skip
        both.append((two.mean(), error[0]))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(means), rel=0.1)
    means, errors = np.array(both).T
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(means), rel=0.1)


def test_related_networks__are_one_unit():
    """Copies of each row: as many independent configurations as there are rows."""

    class Copied(module.Configurations):
        name, n_rows, n_weights, signs = "copies", 24, 40, False

        def rows(self, start, stop):
            return np.repeat(drawn(8, 40), 3, axis=0)[start:stop]

        def groups(self):
            return np.repeat(np.arange(8), 3)

    once = sign_consistency(drawn(8, 40))
    copies = sign_consistency(Copied())
    assert copies.attrs["independent"] == 8
    assert copies.attrs["mean_stderr"] == pytest.approx(once.attrs["mean_stderr"])
    assert copies.attrs["mean"] > once.attrs["mean"]


def test_bad_input__is_one_line():
    with pytest.raises(InputError, match="pairs need at least 2"):
        sign_consistency(np.ones((1, 3)) * 0.5)
    with pytest.raises(InputError, match="same network"):
        sign_consistency(drawn(3, 4), drawn(3, 5))
    with pytest.raises(InputError, match="finite"):
        sign_consistency(np.array([[np.nan, 1.0], [0.5, 2.0]]))


def test_weights_without_a_network__are_counted_by_layer():
    from lsg_ray.ensemble.block import Block
    from lsg_ray.ensemble.reader import open_ensemble
    from lsg_ray.ensemble.writer import create_ensemble, write_block
    from lsg_ray.spec import parse_spec

    spec = parse_spec({"name": "given", "network": {"family": "real-weights", "widths": [9, 7, 2]},
                       "ensemble": {"count": 6, "block_size": 4}})  # fmt: skip
    url, x = "memory://signs-of-weights", drawn(6, 77, 0.2).astype(np.float32)
    create_ensemble(url, spec, dataset_hash="0" * 64)
    for index, rows in enumerate((x[:4], x[4:])):
        block = Block(start=4 * index, weights=rows, columns={}, trials=len(rows))
        write_block(url, index, block)
    result = sign_consistency(open_ensemble(url))
    for layer, some in enumerate((x[:, :63], x[:, 63:])):
        pairs = [brute(a, b) for a, b in itertools.combinations(some, 2)]
        assert float(result["layer_mean"][layer]) == pytest.approx(np.mean(pairs))


def test_a_set_beside_itself__is_refused():
    """Each row would be its own partner, and the mean too large."""
    weights = np.random.default_rng(0).normal(size=(5, 9))
    with pytest.raises(InputError, match="given twice; leave the second out"):
        sign_consistency(weights, weights.copy())
    assert sign_consistency(weights, -weights).attrs["n_pairs"] == 25
