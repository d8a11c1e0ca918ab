"""Formula and density of independent weights against published values and samples."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.neuron_spins.bonds import glass_temperature
from lsg_ray.neuron_spins.theory import bulk_density, bulk_edge, untrained_melting_temperature

from .conftest import dense, random_bonds

#: Dossier, Sec. 1.2: derived, and compared with samples there.
TABLE = [
    ((300,) * 2, 1, 1.0000), ((300,) * 3, 1, 1.1892), ((300,) * 4, 1, 1.2720),
    ((200,) * 5, 1, 1.3161), ((784, 256, 128, 10), 1, 0.9673),
    ((784, 256, 256, 256, 10), 1, 1.2169), ((784, 512, 512, 10), 1, 1.1359),
    ((784, 256, 10), 1, 0.7776), ((784, 256, 128, 10), 2, 1.3680),
    ((100, 400, 200, 50), (1, 2, 0.5), 1.5665),
]  # fmt: skip


@pytest.mark.parametrize(("widths", "variances", "expected"), TABLE)
def test_untrained_temperature__is_that_of_the_table(widths, variances, expected):
    assert round(untrained_melting_temperature(widths, variances), 4) == expected


@pytest.mark.parametrize("layers", [1, 2, 3, 7])
@pytest.mark.parametrize("C", [1.0, 2.0])
def test_equal_layers__have_the_published_temperature(layers, C):
    T = untrained_melting_temperature((50,) * (layers + 1), C)
    assert pytest.approx(np.sqrt(2 * C * np.cos(np.pi / (layers + 2)))) == T


@pytest.mark.parametrize(
    ("widths", "variances"),
    [((300, 90, 210), 1.0), ((150, 400, 80, 60), (0.5, 2.0, 1.0)), ((64, 200, 200, 10), 2.0)],
)
def test_other_widths__agree_with_samples_within_a_percent(widths, variances):
    """The mean of 3 samples, whose deviations are 0.3 % each or so: 1 % is over 5 σ."""
    rng = np.random.default_rng(1)
    C = np.broadcast_to(variances, len(widths) - 1)
    samples = []
    for _ in range(3):
        bonds = random_bonds(widths, seed=rng.integers(2**31))
        scaled = [np.sqrt(c) * w for c, w in zip(C, bonds.couplings, strict=True)]
        samples.append(glass_temperature(bonds._replace(couplings=tuple(scaled))))
    assert np.mean(samples) == pytest.approx(
        untrained_melting_temperature(widths, variances), rel=0.01
    )


@pytest.mark.parametrize(
    ("layers", "edge"), [(1, 2.0), (2, 1 + 2**0.5), (3, 1.5 * 3**0.5), (4, 2.6893)]
)
def test_edge__of_equal_layers(layers, edge):
    assert bulk_edge((70,) * (layers + 1)) == pytest.approx(edge, abs=6e-5)


def test_edge__scales_with_the_root_of_the_variance():
    widths = (784, 256, 128, 10)
    assert round(bulk_edge(widths), 4) == 2.0640
    assert bulk_edge(widths, 4.0) == pytest.approx(2 * bulk_edge(widths), rel=1e-6)
    assert bulk_edge(widths, 0.0) == 0


def test_density__is_that_of_samples():
    """Shares of 900 eigenvalues in a range; their spread is a few eigenvalues."""
    widths, n = (150, 50, 100), 300
    points = np.linspace(0, 3, 600)
    density = bulk_density(widths, 1.0, points, width=1e-3)
    values = np.concatenate(
        [np.linalg.eigvalsh(dense(random_bonds(widths, seed=seed))) for seed in range(3)]
    )
    for low, high in ((0.05, 0.6), (0.6, 1.2), (1.2, 3.0)):
        inside = (points >= low) & (points < high)
        share = np.trapezoid(density[inside], points[inside])
        assert share == pytest.approx(((values >= low) & (values < high)).mean(), abs=8 / n)


@pytest.mark.parametrize(
    ("widths", "variances", "says"),
    [
        ((10,), 1.0, "two layers or more"),
        ((10, 0), 1.0, "two layers or more"),
        ((10, 5), (1.0, 2.0), "one number, or 1"),
        ((10, 5), -1.0, "from zero on"),
        ((10, 5), np.nan, "from zero on"),
    ],
)
def test_bad_input__is_refused(widths, variances, says):
    with pytest.raises(InputError, match=says):
        untrained_melting_temperature(widths, variances)
