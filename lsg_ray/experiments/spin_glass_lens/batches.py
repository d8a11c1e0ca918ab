"""Figs. 6, A5 and Table A3: minima of small and of large batches, over width.

Both are of equal start and seed, pair by pair.  Flatness along the path is the curvature of the
training loss L(α) at both ends, by second differences of ±`_REACH`; on a path between two minima it
depends on their distance, which is the same for both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped
from lsg_ray.experiments.experiment import SPIN_GLASS_LENS, Experiment, merged
from lsg_ray.experiments.spin_glass_lens.data_sets import (
    CIFAR10,
    CIFAR100,
    DIGITS,
    FASHION,
    MNIST,
    Data,
)
from lsg_ray.experiments.spin_glass_lens.measures import slope
from lsg_ray.typing import Floats, JsonObject

#: Hidden units of Table A3; the last only at paper size.
TABLE = (512, 1024, 2048, 4096)
WIDTHS = TABLE[:3]
#: Sides of a comparison.
SMALL, LARGE = 0, 1
#: How far from the ends of a path its curvature is taken.
_REACH = 0.25


def _widths(results: Results) -> list[int]:
    return [n for n in TABLE if f"large-{n}" in results.ensembles]


def _compared(results: Results) -> list[xarray.Dataset]:
    return [results.steps[f"compare-{n}"] for n in _widths(results)]


def _at(results: Results, measure: str) -> list[Floats]:
    """Return a measure at the minima, (pair, side), by width."""
    return [one[f"{measure}_at"].transpose("minimum", "side").values for one in _compared(results)]


def _described(groups: list[Floats], digits: int = 4) -> str:
    means = (" and ".join(f"{x:.{digits}f}" for x in group.mean(axis=0)) for group in groups)
    return f"small and large batches, by width: {'; '.join(means)}"


def lead(results: Results) -> Measured:
    """Return the smallest mean lead in test accuracy of small batches, over widths."""
    groups = _at(results, "test_accuracy")

    def smallest(*rows: Floats) -> float:
        return float(min((group[:, SMALL] - group[:, LARGE]).mean() for group in rows))

    return bootstrapped(smallest, *groups, note=_described(groups))


def mean_lead(results: Results) -> Measured:
    """Return the mean lead in test accuracy of small batches, in percent, of all widths."""

    def mean(*rows: Floats) -> float:
        return float(100 * np.mean([(g[:, SMALL] - g[:, LARGE]).mean() for g in rows]))

    return bootstrapped(mean, *_at(results, "test_accuracy"))


def training_accuracy(results: Results) -> Measured:
    """Return the smallest mean training accuracy of all networks, in percent."""
    groups = _at(results, "train_accuracy")

    def smallest(*rows: Floats) -> float:
        return float(100 * min(group.mean(axis=0).min() for group in rows))

    return bootstrapped(smallest, *groups, note=_described(groups, 5))


def best_accuracy(results: Results) -> Measured:
    """Return the largest mean test accuracy of all networks, in percent."""

    def largest(*rows: Floats) -> float:
        return float(100 * max(group.mean(axis=0).max() for group in rows))

    return bootstrapped(largest, *_at(results, "test_accuracy"))


def gain_with_width(results: Results) -> Measured:
    """Return the slope of the test accuracy, in percent, in log2 n, of both batch sizes."""

    def gain(*rows: Floats) -> float:
        return 100 * slope(np.log2(_widths(results)), [group.mean() for group in rows])

    return bootstrapped(gain, *_at(results, "test_accuracy"))


def path_curvatures(result: xarray.Dataset) -> Floats:
    """Return the log curvature of the training loss along paths, at both ends: (pair, side).

    NaN where the loss is not convex.
    """
    loss, alphas = result["train_loss"], result["alpha"].values

    def at(alpha: float) -> Floats:
        values: Floats = loss[:, int(np.abs(alphas - alpha).argmin())].values
        return values

    ends = [at(a + _REACH) + at(a - _REACH) - 2 * at(a) for a in (0.0, 1.0)]
    curvature = np.stack(ends, axis=1) / _REACH**2
    return np.log(np.where(curvature > 0, curvature, np.nan))


def ratio_of_curvatures(results: Results) -> Measured:
    """Return the smallest mean log ratio of path curvatures, large to small batches."""
    groups = [path_curvatures(one) for one in _compared(results)]
    return bootstrapped(_smallest_ratio, *groups)


def ratio_of_eigenvalues(results: Results) -> Measured:
    """Return the smallest mean log ratio of the largest eigenvalues, large to small batches."""
    compared = _compared(results)
    groups = [
        np.log(one["eigenvalue"].isel(rank=0).transpose("minimum", "side").values)
        for one in compared
    ]
    return bootstrapped(_smallest_ratio, *groups)


def _smallest_ratio(*rows: Floats) -> float:
    return float(min((group[:, LARGE] - group[:, SMALL]).mean() for group in rows))


def flattening_with_width(results: Results) -> Measured:
    """Return the slope of the log path curvature at small-batch minima in log n."""
    groups = [path_curvatures(one)[:, [SMALL]] for one in _compared(results)]

    def flattening(*rows: Floats) -> float:
        return slope(np.log(_widths(results)), [group.mean() for group in rows])

    return bootstrapped(flattening, *groups)


_LARGE_BATCHES = {"batch_fraction": 0.1, "epochs": 200}


def _small(n: int) -> str:
    return "ensemble" if n == WIDTHS[0] else f"small-{n}"


def _study(n: int) -> dict[str, dict[str, object]]:
    return {
        f"compare-{n}": {
            "stage": "compare",
            "first": _small(n),
            "second": f"large-{n}",
            "alphas": [round(-1 + 0.125 * k, 10) for k in range(25)],
            "eigenvalues": 1,
            "radii": [0.1, 0.3, 0.5],
            "directions": 4,
            "probes": 2,
            "examples": 5000,
        },
        f"curves-small-{n}": {"stage": "learning", "solutions": _small(n)},
        f"curves-large-{n}": {"stage": "learning", "solutions": f"large-{n}"},
    }


_FULL = {"count": 100, "examples": 0, "directions": 10, "probes": 10}


def beside(data: Data, units: Callable[[int], int] = int) -> dict[str, JsonObject]:
    """Return the ensembles but the first; ``units``: hidden units of a width."""
    return {
        **{f"small-{n}": {"network": data.network(units(n))} for n in WIDTHS if n != WIDTHS[0]},
        **{f"large-{n}": _large(data, units(n)) for n in WIDTHS},
    }


def _large(data: Data, units: int) -> JsonObject:
    return {"network": data.network(units), "training": _LARGE_BATCHES}


#: The same at toy size.
TOY: JsonObject = {
    "dataset": {"name": DIGITS.name, "train_examples": None, "subset": "random"},
    "network": DIGITS.network(16),
    "training": {"batch_size": 32, "epochs": 10},
    "ensemble": {"count": 4},
    "beside": merged(
        beside(DIGITS, lambda n: n // 32),
        {f"large-{n}": {"training": {"epochs": 20}} for n in WIDTHS},
    ),
    "study": {f"compare-{n}": {"examples": 300} for n in WIDTHS},
}
CLAIMS = (
    Claim(
        "The test accuracy of small batches is higher than that of large ones, at each width.",
        "App. A.4.3, Table A3",
        "smallest lead over widths",
        lead,
        Within(low=0.0),
    ),
    Claim(
        "More hidden nodes improve the generalization.",
        "App. A.4.3, Table A3",
        "slope of the test accuracy in log2 n (%)",
        gain_with_width,
        Within(low=0.0),
    ),
    Claim(
        "The path is flatter at the minimum of small batches than at that of large ones.",
        "Sec. 4.5, Fig. 6",
        "smallest log ratio of curvatures along the path",
        ratio_of_curvatures,
        Within(low=0.0),
    ),
    Claim(
        "Minima of small batches are flatter.",
        "Sec. 4.5",
        "smallest log ratio of the largest Hessian eigenvalues",
        ratio_of_eigenvalues,
        Within(low=0.0),
    ),
    Claim(
        "Minima of small batches become flatter as the number of hidden nodes increases.",
        "Sec. 4.5, Fig. 6",
        "slope of the log curvature along the path in log n",
        flattening_with_width,
        Within(high=0.0),
    ),
)
#: Numbers of the table, which is of MNIST.
NUMBERS = (
    Claim(
        "The test accuracy of small batches is higher by 0.67 % on average.",
        "App. A.4.3, Table A3",
        "mean lead (%)",
        mean_lead,
        Within(0.335, 1.005),
        published="0.67 %",
    ),
    Claim(
        "The training accuracy reaches 99.99 %.",
        "App. A.4.3, Table A3",
        "smallest mean training accuracy (%)",
        training_accuracy,
        Within(low=99.985),
        published="99.99 %",
    ),
    Claim(
        "The test accuracy does not reach above 99.00 %.",
        "App. A.4.3, Table A3",
        "largest mean test accuracy (%)",
        best_accuracy,
        Within(high=99.0),
    ),
)


def experiment(data: Data, size: JsonObject, minutes: float) -> Experiment:
    """Return the experiment on a data set; ``size``: what differs at laptop size."""
    widest = TABLE[-1]
    return Experiment(
        data.named("sg-fig6"),
        SPIN_GLASS_LENS,
        "6, A5 and Table A3",
        data.titled("Minima of small and of large batches"),
        spec=merged(
            {
                "dataset": {"name": data.name},
                "network": data.network(WIDTHS[0]),
                "training": {"batch_size": 256, "epochs": 30},
                "ensemble": {"count": 4},
                "beside": beside(data),
                "study": {name: step for n in WIDTHS for name, step in _study(n).items()},
            },
            size,
        ),
        scales={
            "toy": TOY,
            "paper": {
                "dataset": {"train_examples": None},
                "training": {"epochs": 200},
                "ensemble": {"count": 100},
                "beside": {
                    f"small-{widest}": {"network": data.network(widest)},
                    f"large-{widest}": _large(data, widest),
                },
                "study": {
                    **{f"compare-{n}": _FULL for n in WIDTHS},
                    **merged(_study(widest), {f"compare-{widest}": _FULL}),
                },
            },
        },
        claims=(*CLAIMS, *NUMBERS) if data.is_shown else CLAIMS,
        minutes=minutes,
    )


#: A quarter of the images: of all of them the widest take an hour.  Large batches are a tenth of
#: what there is, and make as many steps as of all images; small ones do with four times the epochs:
#: with fewer they would be compared at a higher loss, where the curvature is larger for that alone.
SIZE: JsonObject = {
    "dataset": {"train_examples": 15_000, "subset": "first"},
    "training": {"epochs": 120},
}
EXPERIMENT = experiment(MNIST, SIZE, minutes=30)
FASHION_MNIST = experiment(FASHION, SIZE, minutes=30)
#: Fewer images, of four times as many pixels; as many steps, too.
FEWER: JsonObject = {
    "dataset": {"train_examples": 4_000, "subset": "first"},
    "training": {"epochs": 375},
}
CIFAR_10 = experiment(CIFAR10, FEWER, minutes=25)
CIFAR_100 = experiment(CIFAR100, FEWER, minutes=25)
