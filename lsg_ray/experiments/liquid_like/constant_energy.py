"""Fig. 7: the entropy landscape at constant energy, that of the reference."""

from __future__ import annotations

import numpy as np
import xarray

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped, of_steps
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged
from lsg_ray.experiments.liquid_like.cases import PAPER, SAMPLED, TOY, TOY_FIELDS, UNDER, landscape
from lsg_ray.experiments.liquid_like.landscapes import entropy_at
from lsg_ray.typing import Floats

#: Distances that are near the reference, and far from it: beyond those of random configurations.
NEAR, FAR = np.linspace(0.02, 0.1, 9), np.linspace(0.5, 0.9, 41)

MODEL = "under-model-full"


def differences(results: Results, distances: Floats) -> Floats:
    """Return s at constant energy less s without, of each reference, averaged over distances.

    Distances that one of the curves does not reach do not count.
    """
    iso, scan = results.steps["iso"], results.steps["under-scan-full"]
    gaps = entropy_at(iso, distances) - entropy_at(scan, distances)
    known = np.isfinite(gaps)
    count = known.sum(axis=1)
    means: Floats = np.where(known, gaps, 0.0).sum(axis=1) / np.where(count, count, np.nan)
    return means


def _mean(values: Floats) -> Measured:
    kept = values[np.isfinite(values)]
    if not len(kept):
        return Measured(np.nan, np.nan, "no distances that both curves reach")
    return bootstrapped(lambda x: float(x.mean()), kept, note=f"{len(kept)} references")


def loop(results: Results) -> Measured:
    """Return the mean over references of the largest gap in d between the directions."""
    return _mean(results.steps["iso"]["hysteresis"].values)


def energy_minima(scan: xarray.Dataset) -> Floats:
    """Return of each reference the number of local minima of e(d), ends included, on the way up."""
    counts = []
    for d, e in zip(scan["d"].values[:, 0], scan["e"].values[:, 0], strict=True):
        energy = np.concatenate([[np.inf], e[np.argsort(d)], [np.inf]])
        steps = np.sign(np.diff(energy))
        counts.append(np.sum((steps[:-1] < 0) & (steps[1:] > 0)))
    return np.array(counts, float)


def mean_minima(results: Results) -> Measured:
    """Return the mean of `energy_minima`; of a mean of whole numbers all alike, one may differ."""
    counts = energy_minima(results.steps["under-scan-full"])
    measured = _mean(counts)
    return measured._replace(error=float(np.maximum(measured.error, 1 / len(counts))))


EXPERIMENT = Experiment(
    "ll-fig7",
    LIQUID_LIKE,
    "7",
    "Entropy landscape at constant energy",
    spec=UNDER
    | {
        "study": {
            **landscape("under", ("full",), count=2, ensemble="ensemble"),
            "iso": {
                "stage": "iso-energy",
                "model": MODEL,
                "fields": [round(0.2 * k, 10) for k in range(-15, 16)],
                "count": 2,
            },
        }
    },
    scales={
        "toy": merged(
            TOY,
            {
                "study": {
                    "under-scan-full": {"fields": TOY_FIELDS, "count": 1},
                    "iso": {"fields": TOY_FIELDS, "count": 1},
                }
            },
        ),
        "paper": merged(PAPER, {"study": {"under-scan-full": {"count": 20}, "iso": {"count": 20}}}),
    },
    claims=(
        Claim(
            "Far from the reference, the curve at constant energy is suppressed.",
            "Sec. IV.1, Fig. 7",
            "mean of s at constant energy − s, d ≥ 0.5 (nat)",
            of_steps(lambda results: _mean(differences(results, FAR)), MODEL),
            Within(high=0.0),
        ),
        Claim(
            "Near the reference, the entropy is nearly the same as without the constraint.",
            "Sec. IV.1, Fig. 7",
            "mean of s at constant energy − s, d ≤ 0.1 (nat)",
            of_steps(lambda results: _mean(differences(results, NEAR)), MODEL),
            Within(-0.02, 0.02),
        ),
        Claim(
            "The hysteresis loop at constant energy is negligible.",
            "Sec. IV.1, Fig. 7",
            "largest gap of d between the directions, mean of the references",
            of_steps(loop, MODEL),
            Within(high=0.05),
        ),
        Claim(
            "The energy has two local minima in the distance.",
            "Sec. IV.1, Fig. 7",
            "local minima of e(d), mean of the references",
            of_steps(mean_minima, MODEL),
            Within(1.5, 2.5),
            "2",
        ),
    ),
    minutes=15,
    sampled=SAMPLED,
)
