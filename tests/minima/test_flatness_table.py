"""The table of flatness: its columns, rank correlations against SciPy, errors of the bootstrap."""

import numpy as np
import pytest
from scipy import stats

from lsg_ray.errors import InputError
from lsg_ray.minima.flatness_table import (
    correlation_words,
    flatness_table,
    kendall_matrix,
    spearman_matrix,
    with_errors,
)
from lsg_ray.minima.hessian import hessian
from lsg_ray.minima.local_entropy import local_entropy
from lsg_ray.minima.spherical_local_entropy import spherical_local_entropy
from lsg_ray.report.figures.flat_minima import table_caption, table_figure


def test_rank_correlations__are_those_of_scipy():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((30, 3))
    values[:, 1] += values[:, 0]
    values[:, 2] = np.round(values[:, 2])  # ties
    rho, tau = spearman_matrix(values), kendall_matrix(values)
    for a in range(3):
        for b in range(3):
            assert rho[a, b] == pytest.approx(stats.spearmanr(values[:, a], values[:, b])[0])
            assert tau[a, b] == pytest.approx(stats.kendalltau(values[:, a], values[:, b])[0])


def test_values_that_are_missing__leave_their_row_out():
    values = np.array([[1.0, 1, 5], [2, 4, 5], [3, np.nan, 5], [4, 3, 5]])
    rho = spearman_matrix(values)
    assert rho[0, 1] == pytest.approx(stats.spearmanr([1, 2, 4], [1, 4, 3])[0])
    assert np.isnan(rho[0, 2])  # no variation
    assert np.isnan(kendall_matrix(values)[2]).all()


def test_bootstrap_errors__are_the_spread_over_data():
    rng = np.random.default_rng(1)

    def draw(n=40):
        x = rng.standard_normal(n)
        return np.stack([x, x + 1.5 * rng.standard_normal(n)], axis=1)

    spread = np.std([spearman_matrix(draw())[0, 1] for _ in range(200)])
    errors = [with_errors(draw(), np.zeros(40, np.int64), 150, rng)[0][1][0, 1] for _ in range(5)]
    assert np.mean(errors) == pytest.approx(spread, rel=0.3)


def test_words_of_a_correlation():
    assert correlation_words(0.9, 0.1, 20) == "0.900 ± 0.1"
    assert correlation_words(0.1, 0.1, 20).endswith("undetermined")
    assert correlation_words(1.0, 0.0, 4).endswith("undetermined")  # of four rows
    assert correlation_words(np.nan, 0.1, 20) == "none: no variation"


def test_table_of_two_algorithms(committees, focused):
    table = flatness_table(committees, focused, gammas=[6, 25], draws=20, samples=30)
    # Both trials of focusing end in one fixed point.
    assert table.attrs["rows"] == table.sizes["row"] == 5
    assert table.attrs["repeats"] == 1
    assert table["algorithm"].values.tolist() == ["committees", "focused"]
    names = table["quantity"].values.tolist()
    assert names[:3] == ["local_entropy_25", "local_entropy_6", "top_eigenvalue"]
    top = hessian(committees, eigenvalues=1)["eigenvalue"].values[:, 0]
    np.testing.assert_allclose(table["value"][:4, 2], top)
    volume = spherical_local_entropy(committees, gammas=[25, 6], theory=False)
    np.testing.assert_allclose(table["value"][:4, :2], volume["local_entropy"])
    np.testing.assert_allclose(table["mean"][0, 2], top.mean())
    assert table["mean"][1, 1] > table["mean"][0, 1]  # focusing is flatter
    assert np.isnan(table["stderr"][1]).all()
    assert np.isnan(table["spearman"].sel(quantity="errors")).all()
    assert table["spearman"].sel(quantity="trace", quantity_="trace") == pytest.approx(1)
    assert len(table_figure(table).axes) == 3
    assert "5 configurations of 2 ensembles" in table_caption(table)[0]


def test_table_of_signs__with_errors_has_no_volume(perceptrons):
    table = flatness_table(perceptrons, draws=10, samples=10)
    assert table["quantity"].values[0] == "local_entropy_2"
    assert np.isnan(table["value"].sel(quantity="local_entropy_2")).all()
    assert (table["value"].sel(quantity="errors") > 0).all()
    assert table_figure(table).axes


def test_table_of_signs__takes_their_weight_enumerator(machines, machine_spec):
    training = {"algorithm": "focusing-bp"}
    ensemble = machines(machine_spec("perceptron", n=101, alpha=0.3, count=1, training=training))
    table = flatness_table(ensemble, draws=10, samples=5, sign_gammas=[1.0, 2.0])
    around = local_entropy(ensemble, gammas=[1.0, 2.0], theory=False)
    expected = (around["entropy"] - around["bound"]).sel(gamma=2.0).item()
    assert table["value"].sel(quantity="local_entropy_2").item() == pytest.approx(expected)
    assert -0.3 < expected < 1e-3


def test_same_names__are_numbered(committees):
    table = flatness_table(committees, committees, gammas=[25], draws=5, samples=5)
    assert table["algorithm"].values.tolist() == ["committees", "committees (2)"]


def test_other_patterns__are_refused(committees, machines, machine_spec):
    other = machines(machine_spec(count=1, alpha=0.4))
    with pytest.raises(InputError, match="other networks or patterns"):
        flatness_table(committees, other)
