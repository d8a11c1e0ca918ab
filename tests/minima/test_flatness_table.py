"""The table of flatness: its columns are those of the measures, and it can be read."""

import numpy as np
import pytest

from lsg_ray.cli.output import table as as_text
from lsg_ray.errors import InputError
from lsg_ray.minima.flatness_table import STAGE, flatness_table
from lsg_ray.minima.hessian import hessian
from lsg_ray.minima.local_entropy import local_entropy
from lsg_ray.minima.spherical_local_entropy import spherical_local_entropy
from lsg_ray.report.figures.flat_minima import table_caption, table_figure


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
    shown = STAGE.shown(table)
    assert list(shown["means"]["trace"]) == ["committees", "focused"]
    assert list(shown["spearman"]["trace"]) == ["with local_entropy_6", "with test_error"]
    assert shown["spearman"]["trace"]["with test_error"].endswith("undetermined")  # of five
    assert max(map(len, as_text(shown).splitlines())) < 100


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
