"""Fig. 15: histograms of the parameters of the model of shallow networks.

The paper shows them without a statement of their own; claimed is what it says of the model in Fig.
3(a), of which they are the counterpart.  Weights that are frozen in the ensemble do not count.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped, of_fitted
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged
from lsg_ray.experiments.liquid_like.cases import (
    METHODS,
    PAPER,
    PAPER_SHALLOW,
    SHALLOW,
    TOY,
    TOY_SHALLOW,
    UNDER,
)
from lsg_ray.typing import Floats


def _parameters(results: Results) -> tuple[Floats, Floats]:
    """Return J (N, N) and h (N,) of the weights that are not frozen."""
    free = np.abs(results.steps["moments"]["m"].values) < 1
    model = results.steps["model"]
    return model["J"].values[np.ix_(free, free)], model["h"].values[free]


def kurtosis(j: Floats, weights: Floats) -> float:
    """Return the excess kurtosis of couplings between chosen weights and all others."""
    rows = j[weights]
    values = rows[np.arange(len(j)) != weights[:, None]]
    centred = values - values.mean()
    variance = np.mean(centred**2)
    return float(np.mean(centred**4) / variance**2 - 3) if variance > 0 else np.nan


def tail(results: Results) -> Measured:
    """Return the excess kurtosis of the couplings, with its error over weights."""
    j, _ = _parameters(results)
    measured = bootstrapped(lambda rows: kurtosis(j, rows), np.arange(len(j)))
    return of_fitted(measured, results.steps["model"])


def breadth(results: Results) -> Measured:
    """Return the standard deviation of the fields over that of the couplings."""
    j, h = _parameters(results)

    def ratio(rows: Floats) -> float:
        between = j[np.ix_(rows, rows)][rows[:, None] != rows]
        return float(h[rows].std() / between.std()) if between.std() > 0 else np.nan

    return of_fitted(bootstrapped(ratio, np.arange(len(h))), results.steps["model"])


EXPERIMENT = Experiment(
    "ll-fig15",
    LIQUID_LIKE,
    "15",
    "Histograms of the model of shallow networks",
    spec=merged(
        merged(UNDER, SHALLOW),
        {"study": {"moments": {}, "model": {"stage": "fit", "method": METHODS["shallow"]}}},
    ),
    scales={
        "toy": merged(
            merged(TOY, TOY_SHALLOW),
            {
                "study": {
                    "model": {"options": {"chains": 64, "steps": 40, "ladders": 8}, "verify": False}
                }
            },
        ),
        "paper": merged(PAPER, PAPER_SHALLOW),
    },
    claims=(
        Claim(
            "Most couplings are concentrated around zero, with a less frequent tail.",
            "Sec. III of Fig. 3(a); App. D, Fig. 15",
            "excess kurtosis of J",
            tail,
            Within(low=0.0),
        ),
        Claim(
            "Fields are broadly distributed, in contrast.",
            "Sec. III of Fig. 3(a); App. D, Fig. 15",
            "standard deviation of h / that of J",
            breadth,
            Within(low=3.0),
        ),
    ),
    minutes=4,
)
