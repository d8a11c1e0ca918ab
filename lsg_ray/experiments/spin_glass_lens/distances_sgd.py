"""Fig. A3: distances between solutions of SGD over width."""

from __future__ import annotations

import numpy as np

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.experiment import SPIN_GLASS_LENS, Experiment, merged
from lsg_ray.experiments.spin_glass_lens.data_sets import MNIST
from lsg_ray.experiments.spin_glass_lens.distances import SIZE, TOY, WIDTHS, beside, clusters, study
from lsg_ray.experiments.spin_glass_lens.measures import accepted_gaussian, halved, slope
from lsg_ray.experiments.spin_glass_lens.peaks import number_of_peaks, peaks
from lsg_ray.statistics.gaussian import PAIR_TESTS, upper
from lsg_ray.typing import Floats

_ORDER = sorted(WIDTHS)


def gaussian(results: Results) -> Measured:
    """Return the smallest p-value of Gaussian distances, of all widths."""
    return accepted_gaussian([clusters(results, width) for width in _ORDER])


def most_peaks(results: Results) -> Measured:
    """Return the largest number of peaks of all widths."""
    matrices = _matrices(results)
    counts = ", ".join(f"{peaks(one):g}" for one in matrices)
    return number_of_peaks(max, *matrices, note=f"peaks by width {counts}")


def growth_of_mean(results: Results) -> Measured:
    """Return the slope of the log mean distance in the log width."""

    def growth(*distances: Floats) -> float:
        return slope(np.log(_ORDER), np.log([upper(d).mean() for d in distances]))

    means = ", ".join(f"{upper(d).mean():.2f}" for d in _matrices(results))
    return halved(growth, *_matrices(results), note=f"means {means}")


def growth_of_deviation(results: Results) -> Measured:
    """Return the slope of the log standard deviation of the distance in the log width."""

    def growth(*distances: Floats) -> float:
        return slope(np.log(_ORDER), np.log([upper(d).std() for d in distances]))

    deviations = ", ".join(f"{upper(d).std():.3f}" for d in _matrices(results))
    return halved(growth, *_matrices(results), note=f"standard deviations {deviations}")


def _matrices(results: Results) -> list[Floats]:
    return [clusters(results, width)["distance"].values for width in _ORDER]


EXPERIMENT = Experiment(
    "sg-figA3",
    SPIN_GLASS_LENS,
    "A3",
    "Distances between solutions of SGD over width",
    spec=merged(
        SIZE,
        {
            "dataset": {"name": MNIST.name},
            "network": MNIST.network(WIDTHS[0]),
            "training": {"optimizer": "sgd", "learning_rate": 0.5, "batch_size": 32},
            "beside": beside(MNIST),
            "study": study(),
        },
    ),
    scales={
        "toy": merged(TOY, {"training": {"target_loss": 0.6}}),
        "paper": {"dataset": {"train_examples": None}},
    },
    claims=(
        Claim(
            "Distances of solutions of SGD roughly conform to a Gaussian.",
            "App. A.4.2, Fig. A3",
            "smallest p-value of all five widths × 5",
            gaussian,
            Within(low=PAIR_TESTS.level),
        ),
        Claim(
            "Clusters as of Adam are not observed with SGD: distances have one peak.",
            "Sec. 4.4, Fig. A3",
            "largest number of peaks of all widths",
            most_peaks,
            Within(high=1.5),
        ),
        Claim(
            "The mean distance increases with the number of hidden nodes.",
            "App. A.4.2, Fig. A3",
            "slope of the log mean in log n",
            growth_of_mean,
            Within(low=0.0),
        ),
        Claim(
            "The standard deviation of the distance decreases with the number of hidden nodes.",
            "App. A.4.2, Fig. A3",
            "slope of the log standard deviation in log n",
            growth_of_deviation,
            Within(high=0.0),
        ),
    ),
    minutes=12,
)
