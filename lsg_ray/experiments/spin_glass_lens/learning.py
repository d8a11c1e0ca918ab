"""Fig. A4: learning curves over width.

"Iterations" of the paper are taken as epochs, as its curves have one point for each.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped
from lsg_ray.experiments.experiment import SPIN_GLASS_LENS, Experiment
from lsg_ray.experiments.spin_glass_lens.measures import slope
from lsg_ray.statistics.learning_curves import fluctuation
from lsg_ray.typing import Floats

#: Hidden units, of which the first is that of the main ensemble; epochs after which is compared.
WIDTHS = (64, 256, 1024)
EARLY = 5


def _accuracies(results: Results) -> list[Floats]:
    """Return the test accuracy of networks by epoch, (network, epoch), by width."""
    return [results.steps[f"curves-{n}"]["test_accuracy"].values for n in WIDTHS]


def largest_gap(curves: list[Floats], epoch: int) -> Measured:
    """Return by how much networks are below their best test accuracy after an epoch, in percent.

    The mean over networks, and of that the largest over widths; ``epoch`` counts from 1.
    """

    def largest(*groups: Floats) -> float:
        return float(100 * max((g.max(axis=1) - g[:, epoch - 1]).mean() for g in groups))

    means = "; ".join(f"{100 * (g.max(axis=1) - g[:, epoch - 1]).mean():.2f}" for g in curves)
    return bootstrapped(largest, *curves, note=f"by width: {means}")


def early_gap(results: Results) -> Measured:
    """Return `largest_gap` after five epochs."""
    return largest_gap(_accuracies(results), EARLY)


def final_gap(results: Results) -> Measured:
    """Return `largest_gap` at the end."""
    curves = _accuracies(results)
    return largest_gap(curves, curves[0].shape[1])


def growth_of_fluctuations(results: Results) -> Measured:
    """Return the slope of the log fluctuation in the log width."""

    def growth(*groups: Floats) -> float:
        return slope(np.log(WIDTHS), np.log([max(fluctuation(g), 1e-9) for g in groups]))

    curves = _accuracies(results)
    sizes = ", ".join(f"{100 * fluctuation(g):.3f}" for g in curves)
    return bootstrapped(growth, *curves, note=f"fluctuations by width (%): {sizes}")


EXPERIMENT = Experiment(
    "sg-figA4",
    SPIN_GLASS_LENS,
    "A4",
    "Learning curves over width",
    spec={
        "dataset": {"name": "mnist"},
        "network": {"family": "relu", "widths": [784, WIDTHS[0], 10]},
        "training": {"epochs": 30},
        "ensemble": {"count": 8},
        "beside": {f"n-{n}": {"network": {"widths": [784, n, 10]}} for n in WIDTHS[1:]},
        "study": {
            f"curves-{n}": {
                "stage": "learning",
                "solutions": "ensemble" if n == WIDTHS[0] else f"n-{n}",
            }
            for n in WIDTHS
        },
    },
    scales={
        "toy": {
            "dataset": {"name": "digits"},
            "network": {"widths": [64, 8, 10]},
            "training": {"batch_size": 64, "epochs": 12},
            "ensemble": {"count": 4},
            "beside": {f"n-{n}": {"network": {"widths": [64, n // 16, 10]}} for n in WIDTHS[1:]},
        },
        "paper": {"training": {"epochs": 100}, "ensemble": {"count": 200}},
    },
    claims=(
        Claim(
            "In about five epochs all networks are not much different from their own optimum.",
            "App. A.4.2, Fig. A4",
            "mean gap to the best test accuracy after five epochs (%), largest over widths",
            early_gap,
            Within(high=1.0),
        ),
        Claim(
            "Networks with more hidden nodes fluctuate more at later epochs.",
            "App. A.4.2, Fig. A4",
            "slope of the log fluctuation of the test accuracy in log n",
            growth_of_fluctuations,
            Within(low=0.0),
        ),
        Claim(
            "At the end of training all networks reach optimal performance.",
            "App. A.4.2, Fig. A4",
            "mean gap to the best test accuracy at the end (%), largest over widths",
            final_gap,
            Within(high=0.5),
        ),
    ),
    minutes=15,
)
