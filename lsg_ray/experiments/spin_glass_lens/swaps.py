"""Fig. 3: permutation and interpolation, over the number of swaps, width and depth.

With the same number of swaps a deeper network has a smaller share of its nodes swapped, so a lower
barrier says little of its landscape: the barriers are compared at the same share, too.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped
from lsg_ray.experiments.experiment import SPIN_GLASS_LENS, Experiment
from lsg_ray.experiments.spin_glass_lens.measures import by_solution, slope
from lsg_ray.typing import Floats

#: Ensembles: narrow and wide ones of a hidden layer, and deep ones of the width of the first.
SHALLOW = ("ensemble", "narrow", "wide")
DEEP = {"ensemble": 1, "two-layers": 2, "four-layers": 4}
_STEP = {"ensemble": "swaps"}


def _barriers(results: Results, ensemble: str) -> tuple[Floats, Floats]:
    """Return numbers of swaps, and barriers of the test loss (solution, swaps)."""
    result = results.steps[_STEP.get(ensemble, f"swaps-{ensemble}")]
    return result["swaps"].values, by_solution(result, "test_barrier")


def growth_with_swaps(results: Results) -> Measured:
    """Return the smallest slope of the log barrier in the log number of swaps, over networks."""
    swaps, rows = zip(
        *(_barriers(results, name) for name in dict.fromkeys((*SHALLOW, *DEEP))), strict=True
    )

    def smallest(*groups: Floats) -> float:
        return min(
            slope(np.log(k), np.log(np.maximum(group.mean(axis=0), 1e-12)))
            for k, group in zip(swaps, groups, strict=True)
        )

    return bootstrapped(smallest, *rows, note="smallest of all widths and depths")


def _log_ratio(results: Results, per_layer: bool) -> Measured:
    """Return the mean log ratio of the barriers of the deepest and the shallow networks."""
    names = list(DEEP)
    k_shallow, shallow = _barriers(results, names[0])
    k_deep, deep = _barriers(results, names[-1])
    factor = DEEP[names[-1]] if per_layer else 1
    _, first, second = np.intersect1d(k_shallow * factor, k_deep, return_indices=True)

    def ratio(a: Floats, b: Floats) -> float:
        return float(np.mean(np.log(b.mean(axis=0)[second]) - np.log(a.mean(axis=0)[first])))

    note = f"mean over {len(first)} numbers of swaps; ratio {np.exp(ratio(shallow, deep)):.3g}"
    return bootstrapped(ratio, shallow, deep, note=note)


def ratio_at_equal_swaps(results: Results) -> Measured:
    """Return the log ratio of barriers, four hidden layers to one, at the same number of swaps."""
    return _log_ratio(results, per_layer=False)


def ratio_at_equal_shares(results: Results) -> Measured:
    """Return the log ratio of barriers, four hidden layers to one, at the same share of nodes."""
    return _log_ratio(results, per_layer=True)


def _steps(largest: int) -> dict[str, object]:
    powers = [2**n for n in range(largest.bit_length()) if 2**n <= largest]
    return {
        "stage": "swaps",
        "swaps": powers,
        "alphas": [round(0.1 * n, 10) for n in range(11)],
        "configurations": 8,
        "examples": 2000,
    }


EXPERIMENT = Experiment(
    "sg-fig3",
    SPIN_GLASS_LENS,
    "3",
    "Barriers between copies with swapped hidden nodes",
    spec={
        "dataset": {"name": "mnist"},
        "network": {"family": "relu", "widths": [784, 128, 10]},
        "training": {"epochs": 10},
        "ensemble": {"count": 8},
        "beside": {
            "narrow": {"network": {"widths": [784, 64, 10]}},
            "wide": {"network": {"widths": [784, 512, 10]}},
            "two-layers": {"network": {"widths": [784, 128, 128, 10]}},
            "four-layers": {"network": {"widths": [784, 128, 128, 128, 128, 10]}},
        },
        "study": {
            "swaps": {"solutions": "ensemble", **_steps(64)},
            "swaps-narrow": {"solutions": "narrow", **_steps(32)},
            "swaps-wide": {"solutions": "wide", **_steps(256)},
            "swaps-two-layers": {"solutions": "two-layers", **_steps(128)},
            "swaps-four-layers": {"solutions": "four-layers", **_steps(256)},
        },
    },
    scales={
        "toy": {
            "dataset": {"name": "digits"},
            "network": {"widths": [64, 16, 10]},
            "training": {"batch_size": 64, "epochs": 10},
            "ensemble": {"count": 4},
            "beside": {
                "narrow": {"network": {"widths": [64, 8, 10]}},
                "wide": {"network": {"widths": [64, 32, 10]}},
                "two-layers": {"network": {"widths": [64, 16, 16, 10]}},
                "four-layers": {"network": {"widths": [64, 16, 16, 16, 16, 10]}},
            },
            "study": {
                "swaps": {"swaps": [1, 2, 4, 8], "configurations": 4, "examples": 500},
                "swaps-narrow": {"swaps": [1, 2, 4], "configurations": 4, "examples": 500},
                "swaps-wide": {"swaps": [1, 4, 16], "configurations": 4, "examples": 500},
                "swaps-two-layers": {"swaps": [1, 4, 16], "configurations": 4, "examples": 500},
                "swaps-four-layers": {
                    "swaps": [1, 2, 4, 8, 16, 32],
                    "configurations": 4,
                    "examples": 500,
                },
            },
        },
        "paper": {
            "training": {"epochs": 50},
            "ensemble": {"count": 100},
            "study": {
                name: {"configurations": 100, "examples": 0, "repeats": 10}
                for name in (
                    "swaps",
                    "swaps-narrow",
                    "swaps-wide",
                    "swaps-two-layers",
                    "swaps-four-layers",
                )
            },
        },
    },
    claims=(
        Claim(
            "With the same number of hidden nodes, more swaps result in a higher loss barrier.",
            "Sec. 4.3, Fig. 3",
            "slope of the log barrier in the log number of swaps",
            growth_with_swaps,
            Within(low=0.0),
        ),
        Claim(
            "With the same number of swaps, more hidden layers result in a smaller loss barrier.",
            "Sec. 4.3, Fig. 3",
            "log ratio of barriers, four hidden layers to one",
            ratio_at_equal_swaps,
            Within(high=0.0),
        ),
        Claim(
            "More hidden layers smooth the loss landscape: the barrier is smaller also with the "
            "same share of the nodes swapped.",
            "Sec. 4.3, Fig. 3",
            "log ratio of barriers, four hidden layers to one",
            ratio_at_equal_shares,
            Within(high=0.0),
        ),
    ),
    minutes=5,
)
