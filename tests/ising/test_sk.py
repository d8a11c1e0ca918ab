"""SK: exact for few spins, what is known above and below the transition."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel, enumerate_model
from lsg_ray.ising.model_replicas import choose_ladder, draw_replicas
from lsg_ray.ising.sk import realisation_seed, sk_couplings, sk_model, sk_replicas
from lsg_ray.statistics.rsb import lattice_edges, over_realisations, replica_overlaps

from .test_model import couplings


def test_couplings__are_normal_with_variance_one_over_n():
    """Variance of N(N−1)/2 = 44,850 squares: 0.67 % error; mean 1/√44,850."""
    n = 300
    J = sk_couplings(n, 3)
    upper = J[np.triu_indices(n, 1)] * np.sqrt(n)
    assert (J == J.T).all()
    assert not np.diag(J).any()
    assert upper.var() == pytest.approx(1, abs=0.03)
    assert upper.mean() == pytest.approx(0, abs=0.02)
    assert not np.array_equal(J, sk_couplings(n, 4))
    model = sk_model(n, 0.5, 3)
    np.testing.assert_array_equal(model.J, J / 0.5)


def test_few_spins__have_the_averages_of_enumeration():
    """Energy and ⟨q²⟩ = Σ C_ij²/N² at three temperatures, 12 z-scores: none beyond 4.5."""
    n, temperatures = 10, [0.3, 0.7, 1.5]
    result = sk_replicas(
        n, temperatures, replicas=64, realisations=2, burn_in=100, draws=100, seed=2
    )
    assert result.attrs["converged"] == 1
    for r in range(2):
        model = IsingModel(sk_couplings(n, realisation_seed(2, r)), np.zeros(n))
        for t, temperature in enumerate(temperatures):
            exact = enumerate_model(model, 1 / temperature)
            drawn = result.isel(realisation=r, temperature=t)
            e, q2 = exact.energy / n, (exact.C**2).mean()
            assert abs(drawn["energy_mean"] - e) < 4.5 * drawn["energy_mean_stderr"]
            assert abs(drawn["q2"] - q2) < 4.5 * drawn["q2_stderr"]
            energies = model.energy(drawn["spins"].values) / n
            np.testing.assert_allclose(drawn["energy"], energies, atol=1e-6)


@pytest.fixture(scope="module")
def realisations():
    return sk_replicas(
        64, (0.3, 1.5), replicas=24, realisations=8, burn_in=600, draws=100, thin=4, seed=1
    )


def test_above_the_transition__overlaps_are_small(realisations):
    """N = 64, T = 1.5: ⟨q²⟩ = 1/(N(1 − β²)) to 1/N, e = −β/2 to 1/N; P(q) has one peak, at 0."""
    result = realisations.sel(temperature=1.5)
    beta, n = 1 / 1.5, 64
    assert float(result["q2"].mean()) == pytest.approx(1 / (n * (1 - beta**2)), rel=0.15)
    assert float(result["energy_mean"].mean()) == pytest.approx(-beta / 2, abs=0.03)
    one = replica_overlaps(
        result["spins"].values[0], flip="symmetric", bins=lattice_edges(n), draws=4
    )
    assert one.attrs["modes"] == 1
    assert abs(float(one["ultrametricity_z"].mean())) < 8
    centre = (one["left"] + one["right"]).values / 2
    assert abs(centre[one["density"].values.argmax()]) < 0.1


def test_below__overlaps_are_broad_and_triples_ultrametric(realisations):
    """N = 64, T = 0.3: ⟨|q|⟩ → 1 − T = 0.7, whose spread over J is 0.11; e of a finite size."""
    result = realisations.sel(temperature=0.3)
    assert realisations.attrs["converged"] == 1
    assert float(result["q_abs"].mean()) == pytest.approx(0.7, abs=0.15)
    assert -0.76 < float(result["energy_mean"].mean()) < -0.62
    every = over_realisations(
        [
            replica_overlaps(x, flip="symmetric", bins=lattice_edges(64), draws=4)
            for x in result["spins"].values
        ]
    )
    centre = (every["left"] + every["right"]).values / 2
    density = every["density"].values
    assert 0.75 < abs(centre[density.argmax()]) <= 1
    assert density[np.abs(centre) < 0.3].mean() > 0.03
    assert float(every["std"]) > 0.5
    assert float(every["ultrametricity"]) < 0.5
    assert every["ultrametricity_null"].min() > 0.6


def test_identity__holds_in_equilibrium_and_breaks_before(realisations):
    """e = −(β/2)(1 − ⟨q²⟩) over J: within 4 errors; six sweeps from random spins it is not."""
    z = np.abs(realisations["identity"] / realisations["identity_stderr"])
    assert z.max() < 4
    assert realisations.attrs["identity_tested"] == 1
    young = sk_replicas(200, (0.3,), replicas=4, realisations=8, burn_in=2, draws=4, thin=1)
    assert young.attrs["converged"] == 0
    assert float(young["identity"][0]) > 4 * float(young["identity_stderr"][0])


def test_both_signs__occur(realisations):
    spins = realisations["spins"].sel(temperature=0.3).values
    q = np.einsum("rai,rbi->rab", spins.astype(float), spins) / 64
    assert (q > 0.5).any()
    assert (q < -0.5).any()


def test_seeds__decide_all():
    options = {"replicas": 4, "burn_in": 10, "draws": 4}
    one, same, other = (sk_replicas(20, (0.5,), seed=s, **options) for s in (0, 0, 1))
    assert one.identical(same)
    assert (one["spins"] != other["spins"]).any()


def test_ladder__holds_what_is_wanted():
    model = IsingModel(*couplings(30, scale=0.2))
    ladder = choose_ladder(model, [0.5, 1.0, 2.0])
    assert (np.diff(ladder) > 0).all()
    assert {0.5, 1.0, 2.0} <= set(ladder.tolist())
    assert ladder[0] <= 0.25
    calls = []
    result = draw_replicas(
        model, [0.5, 2.0], replicas=5, burn_in=20, draws=10, progress=lambda *n: calls.append(n)
    )
    assert result["spins"].shape == (2, 5, 30)
    assert calls[-1] == (70, 70)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"temperatures": []}, "temperatures"),
        ({"temperatures": [0.0]}, "temperatures"),
        ({"temperatures": [1.0, 1.0]}, "each once"),
        ({"realisations": 0}, "realisations 0"),
        ({"replicas": 1}, "replicas 1"),
        ({"draws": 1}, "draws 1"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_misfits__are_refused(options, says):
    with pytest.raises(InputError, match=says):
        sk_replicas(8, **options)
    with pytest.raises(InputError, match="n 1"):
        sk_couplings(1)
    with pytest.raises(InputError, match="temperature"):
        sk_model(4, 0)
    with pytest.raises(InputError, match="not in the ladder"):
        draw_replicas((np.zeros((3, 3)), np.zeros(3)), [1.0], ladder=[0.5, 2.0])
