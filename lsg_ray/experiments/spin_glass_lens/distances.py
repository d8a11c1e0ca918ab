"""Figs. 4, 5 and A2: distances between solutions of Adam over width, their peaks and their tree.

Solutions end at one training loss, as in App. A.4.2 (its value is not legible in the text), after
different numbers of epochs.  Solutions that were trained for longer are farther from all others;
`lsg_ray.experiments.spin_glass_lens.measures.hierarchy` asks for clusters beyond that.

The paper's reordering of the hidden nodes itself makes groups: where two branches of the tree of
nodes are about equal, they stand in one order in some solutions and in the other order in others,
which puts alike nodes in different places.  So clusters are asked for with matched nodes, too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.experiment import SPIN_GLASS_LENS, Experiment, merged
from lsg_ray.experiments.spin_glass_lens.data_sets import (
    CIFAR10,
    CIFAR100,
    DIGITS,
    FASHION,
    MNIST,
    Data,
)
from lsg_ray.experiments.spin_glass_lens.measures import (
    accepted_gaussian,
    halved,
    hierarchy,
    single_effects,
)
from lsg_ray.experiments.spin_glass_lens.peaks import number_of_peaks, peaks
from lsg_ray.statistics.gaussian import PAIR_TESTS, upper
from lsg_ray.typing import Floats, JsonObject

#: Hidden units (App. A.2), of which the first is that of the main ensemble, and two groups.
WIDTHS = (256, 64, 128, 512, 1024)
NARROW, BROAD = (64, 128, 256), (512, 1024)


def store(width: int, first: int = WIDTHS[0]) -> str:
    """Return the name of the ensemble of a width."""
    return "ensemble" if width == first else f"n-{width}"


def clusters(results: Results, width: int) -> xarray.Dataset:
    """Return the distances of the ensemble of a width, and their tree."""
    return results.steps[f"clusters-{width}"]


def of_epochs(results: Results, width: int) -> str:
    """Return in words what the distances have to do with the length of training."""
    result = clusters(results, width)
    ensemble = results.ensembles[store(width)]
    epochs = ensemble.column("epochs")[: len(result["distance"])].astype(np.float64)
    share = float(result.attrs["shared_variance"])
    text = f"n = {width}: {100 * share:.0f} % of the variance is of single solutions"
    if np.ptp(epochs) == 0:
        return f"{text}, all after {epochs[0]:.0f} epochs"
    r = np.corrcoef(epochs, single_effects(result["distance"].values))[0, 1]
    return (
        f"{text}, whose correlation with their {epochs.min():.0f} to {epochs.max():.0f} epochs is "
        f"{r:.2f}"
    )


def gaussian_where_narrow(results: Results) -> Measured:
    """Return the smallest p-value of Gaussian distances, n ≤ 256."""
    return accepted_gaussian([clusters(results, width) for width in NARROW])


def peaks_where_broad(results: Results) -> Measured:
    """Return the smaller number of peaks of n = 512 and 1,024."""

    matrices = [clusters(results, width)["distance"].values for width in BROAD]
    counts = " and ".join(f"{peaks(matrix):g}" for matrix in matrices)
    note = "; ".join([f"peaks {counts}", *(of_epochs(results, width) for width in BROAD)])
    return number_of_peaks(min, *matrices, note=note)


def peaks_of_broadest(results: Results) -> Measured:
    """Return the number of peaks of n = 1,024."""
    result = clusters(results, BROAD[-1])
    about = result.attrs
    modes, p_value = about["modes"], about["modes_p_value"]
    note = f"with pairs that share no solution: modes {modes:g}, p {p_value:.2g}"
    return number_of_peaks(min, result["distance"].values, note=note)


def tree_of(results: Results, width: int) -> Measured:
    """Return how much more hierarchical the distances are than without clusters."""
    result = clusters(results, width)
    note = f"cophenetic correlation {float(result.attrs['cophenetic_correlation']):.3f}"
    return halved(hierarchy, result["distance"].values, note=note)


def tree_of_narrow(results: Results) -> Measured:
    """Return `tree_of` of n = 256."""
    return tree_of(results, 256)


def tree_of_broad(results: Results) -> Measured:
    """Return `tree_of` of n = 1,024."""
    return tree_of(results, 1024)


def tree_of_matched(results: Results) -> Measured:
    """Return the excess of hierarchy of n = 1,024 with nodes matched to those of one solution."""
    as_trained = halved(hierarchy, results.steps["before-1024"]["distance"].values)
    note = f"without reordering {as_trained.value:.3f} ± {as_trained.error:.2g}"
    return halved(hierarchy, results.steps["matched-1024"]["distance"].values, note=note)


def growth_of_hierarchy(results: Results) -> Measured:
    """Return the excess of hierarchy of n = 1,024, less that of n = 64."""

    def difference(narrow: Floats, broad: Floats) -> float:
        return hierarchy(broad) - hierarchy(narrow)

    return halved(difference, *(clusters(results, n)["distance"].values for n in (64, 1024)))


def removed_by_reordering(results: Results) -> Measured:
    """Return the share of the distance that matching removes that the paper's order removes."""
    kinds = ("before-256", "clusters-256", "matched-256")
    before, clustered, matched = (results.steps[kind] for kind in kinds)
    # The one that others are matched to is left out.
    rows = np.isin(before["configuration"].values, matched["configuration"].values)
    stacked = np.stack(
        [
            before["distance"].values[np.ix_(rows, rows)],
            clustered["distance"].values[np.ix_(rows, rows)],
            matched["distance"].values,
        ]
    )

    def share(three: Floats) -> float:
        none, own, best = (upper(one).mean() for one in three)
        return float((none - own) / (none - best))

    means = ", ".join(f"{upper(one).mean():.2f}" for one in stacked)
    note = f"mean distances as they are, by the paper's order, matched: {means}"
    return halved(share, stacked, note=note)


def beside(data: Data, units: Callable[[int], int] = int) -> dict[str, dict[str, object]]:
    """Return the ensembles of all widths but the first; ``units``: hidden units of a width."""
    return {store(n): {"network": data.network(units(n))} for n in WIDTHS[1:]}


def study() -> dict[str, dict[str, object]]:
    """Return a clustering of each ensemble in the order of the widths."""
    return {
        f"clusters-{width}": {"stage": "cluster", "ensemble": store(width)}
        for width in sorted(WIDTHS)
    }


#: Sizes at laptop size.
SIZE: JsonObject = {
    "dataset": {"train_examples": 6000, "subset": "first"},
    "training": {"target_loss": 0.01, "epochs": 200},
    "ensemble": {"count": 100},
}


def broadest(count: int) -> JsonObject:
    """Return the number of solutions with most hidden nodes, where most peaks are."""
    return {"beside": {store(BROAD[-1]): {"ensemble": {"count": count}}}}


#: The same at toy size, but the loss.
TOY: JsonObject = {
    "dataset": {"name": DIGITS.name, "train_examples": 400},
    "network": DIGITS.network(12),
    "training": {"epochs": 200},
    "ensemble": {"count": 10},
    "beside": beside(DIGITS, lambda n: max(8, n // 32)),
}
CLAIMS = (
    Claim(
        "Distances are Gaussian with Adam and up to 256 hidden nodes.",
        "Sec. 4.4, Figs. 4, A2",
        "smallest p-value of n = 64, 128, 256 × 3",
        gaussian_where_narrow,
        Within(low=PAIR_TESTS.level),
    ),
    Claim(
        "Distances become multi-modal with 512 and 1,024 hidden nodes.",
        "Sec. 4.4, Figs. 4, A2",
        "smaller number of peaks",
        peaks_where_broad,
        Within(low=1.5),
    ),
    Claim(
        "There is no obvious hierarchy with 256 hidden nodes.",
        "Sec. 4.4, Fig. 5(a, c)",
        "cophenetic correlation − that without clusters",
        tree_of_narrow,
        Within(high=0.1),
    ),
    Claim(
        "Solutions with 1,024 hidden nodes are clustered.",
        "Sec. 4.4, Fig. 5(b, d)",
        "cophenetic correlation − that without clusters",
        tree_of_broad,
        Within(low=0.1),
    ),
    Claim(
        "They lie in different local minima: they are clustered with matched nodes, too.",
        "Sec. 4.4, Fig. 5; Sec. 5",
        "cophenetic correlation − that without clusters",
        tree_of_matched,
        Within(low=0.1),
    ),
    Claim(
        "Clustering is more prominent as the number of hidden nodes increases.",
        "Sec. 4.4, Figs. 4, 5",
        "excess of the cophenetic correlation, n = 1,024 − that of n = 64",
        growth_of_hierarchy,
        Within(low=0.0),
    ),
    Claim(
        "Reordering by clustering eliminates the permutation symmetry from the distances.",
        "Sec. 4.4, App. A.4.2",
        "share of the distance it removes of what matching removes, n = 256",
        removed_by_reordering,
        Within(low=0.5),
    ),
)
#: Of the figure that is shown.
FIVE_PEAKS = Claim(
    "Five peaks are observed for 1,024 hidden nodes.",
    "Sec. 4.4, App. A.4.2, Figs. 4, A2",
    "number of peaks",
    peaks_of_broadest,
    Within(4.5, 5.5),
    published="5",
)


def experiment(data: Data, size: JsonObject, minutes: float) -> Experiment:
    """Return the experiment on a data set; ``size``: what differs at laptop size from `SIZE`."""
    return Experiment(
        data.named("sg-fig4"),
        SPIN_GLASS_LENS,
        "4, 5 and A2",
        data.titled("Distances between solutions of Adam over width, and their hierarchy"),
        spec=merged(
            {
                "dataset": {"name": data.name},
                "network": data.network(WIDTHS[0]),
                "beside": beside(data),
                "study": {
                    **study(),
                    **{
                        f"{name}-{n}": {
                            "stage": "cluster",
                            "ensemble": store(n),
                            "alignment": alignment,
                        }
                        for n in (256, 1024)
                        for name, alignment in (("before", "none"), ("matched", "matching"))
                    },
                },
            },
            merged(SIZE, size),
        ),
        scales={
            "toy": merged(
                TOY, {"training": {"target_loss": 1.0, "batch_size": 32}, **broadest(count=10)}
            ),
            "paper": {
                "dataset": {"train_examples": None},
                "training": {"epochs": 200, "batch_size": 256},
                "ensemble": {"count": 200},
                **broadest(count=200),
            },
        },
        claims=(*CLAIMS, FIVE_PEAKS) if data.is_shown else CLAIMS,
        minutes=minutes,
    )


EXPERIMENT = experiment(MNIST, broadest(count=200), minutes=25)
#: Fewer images, which take more epochs, and batches as small.
FASHION_MNIST = experiment(
    FASHION,
    {"dataset": {"train_examples": 2000}, "training": {"batch_size": 64}, **broadest(count=200)},
    minutes=25,
)
#: Of four times as many pixels, fewer still; of solutions not many more than show two peaks.
FEWER: JsonObject = {
    "dataset": {"train_examples": 1000},
    "training": {"epochs": 100, "batch_size": 32},
    "ensemble": {"count": 80},
}
CIFAR_10 = experiment(CIFAR10, FEWER, minutes=25)
CIFAR_100 = experiment(CIFAR100, FEWER, minutes=25)
