"""Overlaps of replicas: plain sums, trees that are ultrametric, nulls that are met by chance."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.statistics import overlap_nulls as products_module
from lsg_ray.statistics.rsb import lattice_edges, over_realisations, replica_overlaps
from lsg_ray.statistics.ultrametric import QUANTITIES


def spins(seed, rows, m):
    uniform = np.random.default_rng(seed).random((rows, len(m)))
    return np.where(uniform < (1 + m) / 2, 1, -1).astype(np.int8)


def tree(seed, n, rates=(0.2, 0.1, 0.05), branches=(3, 3, 4)):
    """Leaves of a tree of three levels: at each, so many copies with a share of spins flipped."""
    rng = np.random.default_rng(seed)
    rows = [rng.choice([-1, 1], n)]
    for rate, count in zip(rates, branches, strict=True):
        rows = [np.where(rng.random(n) < rate, -row, row) for row in rows for _ in range(count)]
    return rng.permutation(np.array(rows))


def plain(q):
    """Statistics of a matrix of overlaps, a triple at a time."""
    m = len(q)
    pairs = q[np.triu_indices(m, 1)]
    gaps = []
    for a in range(m):
        for b in range(a):
            for c in range(b):
                low, middle, _ = sorted([q[a, b], q[a, c], q[b, c]])
                gaps.append(middle - low)
    d = (1 - q) / 2
    below = d.copy()  # the subdominant ultrametric: the least of the largest steps of any path
    for k in range(m):
        below = np.minimum(below, np.maximum(below[:, k, None], below[k]))
    upper = np.triu_indices(m, 1)
    rammal = (d[upper] - below[upper]).sum() / d[upper].sum()
    return {
        "mean": pairs.mean(), "std": pairs.std(), "mean_abs": np.abs(pairs).mean(),
        "second_moment": (pairs**2).mean(), "rammal": rammal,
        "binder": (3 - (pairs**4).mean() / (pairs**2).mean() ** 2) / 2,
        "ultrametricity": np.mean(gaps) / pairs.std(),
        "excess": (d[upper] - below[upper]).mean() / d[upper].std(),
    }  # fmt: skip


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("real", [False, True])
def test_data__are_those_of_plain_sums(real, centered):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(11, 60)) + rng.normal(size=60) if real else spins(0, 11, np.full(61, 0.3))
    result = replica_overlaps(x, centered=centered, draws=2)
    y = x - x.mean(axis=0) if centered else x.astype(float)
    lengths = np.linalg.norm(y, axis=1)
    q = y @ y.T / np.outer(lengths, lengths)
    np.testing.assert_allclose(result["q"], q, atol=1e-6)
    for name, value in plain(q).items():
        assert float(result[name]) == pytest.approx(value, abs=2e-6), name
    widths = (result["right"] - result["left"]).values
    assert (result["density"].values * widths).sum() == pytest.approx(1)
    assert result["K_density"].values.sum() * 0.1 == pytest.approx(1, abs=0.02)
    assert sorted(result["leaf_order"].values.tolist()) == list(range(11))


def test_errors__are_those_of_replicas_left_out():
    x = tree(0, 400)[:14]
    result = replica_overlaps(x, draws=2)
    fewer = [plain(np.delete(x, r, 0) @ np.delete(x, r, 0).T / 400) for r in range(14)]
    for name in set(QUANTITIES) - {"rammal", "excess"}:
        values = np.array([one[name] for one in fewer])
        error = np.sqrt(13 / 14 * ((values - values.mean()) ** 2).sum())
        assert float(result[f"{name}_stderr"]) == pytest.approx(error, rel=1e-6), name


def test_tree__is_ultrametric_and_its_nulls_are_not():
    """K of a tree is of the order of the noise 1/√N over σ, 0.05 at N = 2000; of nulls 0.7."""
    result = replica_overlaps(tree(1, 2000), draws=10)
    assert float(result["ultrametricity"]) < 0.12
    assert result["ultrametricity_null"].min() > 0.7
    assert result["ultrametricity_z"].max() < -20
    assert float(result["excess"]) < 0.3
    assert result["excess_null"].min() > 1
    assert result["std_z"].min() > 20
    # Levels: (1 − 2·0.05)² and so on; with few values between them.
    assert result.attrs["modes"] == 3
    order = result["leaf_order"].values
    groups = result["q"].values[np.ix_(order, order)][0] > 0.7
    assert groups[:4].all()
    assert not groups[4:].any()


@pytest.mark.parametrize("kind", ["signs", "normal", "centered"])
def test_nulls__are_met_by_independent_weights(kind):
    """z-scores of σ, K and the excess against both nulls, 12 sets: no mean beyond 4 errors.

    The independent null's variances are estimates, which widens q by 1/(M − 1) of its width: 2.5 %,
    about half of its spread.  One false alarm in 1,000 runs, at most.
    """
    z = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        m = rng.uniform(-0.8, 0.8, 300)
        x = spins(seed + 100, 40, m) if kind == "signs" else m + rng.normal(size=(40, 300))
        result = replica_overlaps(x, centered=kind == "centered", draws=12, seed=seed)
        names = ("std_z", "ultrametricity_z", "excess_z")
        z.append([result[name].values for name in names])
        mean = result["mean_z"].values
        assert not np.isfinite(mean[0]) or abs(mean[0]) < 5 or kind == "centered"
    assert np.abs(np.mean(z, axis=0)).max() < 4 * 1.3 / np.sqrt(12)


def test_shuffled__keeps_each_weight():
    x = np.random.default_rng(0).normal(size=(6, 500)).astype(np.float32)
    draws = [products_module.Draw("shuffled", n) for n in range(3)]
    result = products_module.products(
        products_module_source(x), np.arange(6), draws, centered=False
    )
    # Σ_a w_a² of each weight is what it was, and so is the sum of all products.
    for matrix in result[1:]:
        assert np.trace(matrix) == pytest.approx(np.trace(result[0]), rel=1e-5)
        assert matrix.sum() == pytest.approx(result[0].sum(), rel=1e-4)
        assert not np.allclose(matrix, result[0])


def products_module_source(x):
    from lsg_ray.statistics.configurations import as_configurations

    return as_configurations(x)


def test_ranges_of_columns__add_up(monkeypatch):
    x = np.random.default_rng(0).normal(size=(9, 1000)) + 5
    whole = replica_overlaps(x, centered=True, draws=3)
    small = products_module.ProductsConfig(9 * 64, 8 * 1000 * 2, 9 * 10)
    monkeypatch.setattr(products_module, "PRODUCTS", small)
    cut = replica_overlaps(x, centered=True, draws=3)
    np.testing.assert_allclose(whole["q"], cut["q"], atol=1e-6)
    assert float(whole["std_null"][1]) == pytest.approx(float(cut["std_null"][1]), rel=0.2)


def test_flips__count_both_signs_and_take_moduli():
    rng = np.random.default_rng(0)
    x = tree(2, 500)
    flipped = x * rng.choice([-1, 1], len(x))[:, None]
    one, other = (replica_overlaps(y, flip="symmetric", draws=2) for y in (x, flipped))
    for name in ("density", "ultrametricity", "excess", "mean_abs", "std", "mean"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-12)
    np.testing.assert_allclose(one["density"], one["density"][::-1], atol=1e-12)
    np.testing.assert_allclose(one["left"], -one["right"][::-1], atol=1e-12)
    folded = replica_overlaps(flipped, flip="modulo", draws=2)
    assert float(folded["left"][0]) > -1 / 500 - 1e-9
    assert float(folded["mean"]) == pytest.approx(float(one["mean_abs"]))
    selected = replica_overlaps(flipped, draws=2)
    assert float(selected["ultrametricity"]) > 3 * float(one["ultrametricity"])


def test_seeds__decide_all_and_ensembles_are_read(ensemble_of):
    x = spins(0, 30, np.zeros(40))
    one, same, other = (replica_overlaps(ensemble_of(x), draws=3, seed=s) for s in (5, 5, 6))
    assert one.drop_attrs().identical(same.drop_attrs())
    assert not np.array_equal(one["density_null"], other["density_null"])
    some = replica_overlaps(ensemble_of(x, block_size=7), configurations=9, draws=2)
    rows = some["row"].values
    assert some.attrs["statistic"] == "replica overlaps"
    np.testing.assert_allclose(some["q"], x[rows].astype(float) @ x[rows].T / 40)


def test_realisations__are_averaged():
    parts = [
        replica_overlaps(spins(s, 12, np.zeros(20)), bins=lattice_edges(20), draws=3)
        for s in range(4)
    ]
    result = over_realisations(parts)
    values = np.array([float(part["std"]) for part in parts])
    assert float(result["std"]) == pytest.approx(values.mean())
    assert float(result["std_stderr"]) == pytest.approx(values.std(ddof=1) / 2)
    assert result.attrs["realisations"] == 4
    assert over_realisations(parts[:1]) is parts[0]
    with pytest.raises(InputError, match="different bins"):
        over_realisations([parts[0], replica_overlaps(spins(0, 12, np.zeros(20)), draws=3)])


@pytest.mark.parametrize("n", [8, 9, 64, 255, 256])
def test_lattice_edges__hold_every_value(n):
    q = (2 * np.arange(n + 1) - n) / n
    edges = lattice_edges(n)
    counts = np.histogram(q, edges)[0]
    assert counts.sum() == n + 1
    assert len(counts) <= 51
    np.testing.assert_array_equal(counts, counts[::-1])
    np.testing.assert_allclose(counts / np.diff(edges), n / 2)


def test_extremes__give_numbers():
    result = replica_overlaps(np.ones((5, 7), np.int8), draws=2)
    assert (float(result["mean"]), float(result["std"]), float(result["rammal"])) == (1, 0, 0)
    assert result.attrs["modes"] == 1


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.ones((3, 5)), {}, "3 configurations selected"),
        (np.ones((4001, 2)), {}, "pass configurations=4,000"),
        (np.ones((5, 5)), {"centered": True}, "is the mean of all"),
        (np.r_[np.zeros((1, 5)), np.full((5, 5), 0.5)], {}, "configuration 0 has only zeros"),
        (np.ones((5, 5)), {"nulls": ("rnd",)}, "choose among independent, shuffled"),
        (np.ones((5, 5)), {"draws": 1}, "draws 1"),
        (np.ones((5, 5)), {"triples": 0}, "triples 0"),
        (np.ones((5, 5)), {"bins": 0}, "bins 0"),
        (np.ones((5, 5)), {"bins": [1, 0]}, "ascend"),
        (np.ones((5, 5)), {"flip": "both"}, "keep, symmetric, modulo"),
        (np.ones((5, 5)), {"seed": -1}, "seed -1"),
    ],
)
def test_misfits__are_refused(x, options, message):
    with pytest.raises(InputError, match=message):
        replica_overlaps(x, **options)
