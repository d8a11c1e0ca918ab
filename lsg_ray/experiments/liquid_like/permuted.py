"""Fig. 10: entropy landscapes of ensembles with a fraction of permuted copies."""

from __future__ import annotations

import numpy as np
import xarray

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged
from lsg_ray.experiments.liquid_like.cases import (
    OVER,
    PAPER,
    PAPER_OVER,
    SAMPLED,
    TOY,
    TOY_FIELDS,
    TOY_OVER,
    UNDER,
)
from lsg_ray.experiments.liquid_like.landscapes import (
    entropy_at,
    overfit,
    saturation,
    share_with_transition,
)

CASES = {"under": "ensemble", "over": "over"}
#: Distances that are close to a reference.
NEAR = np.linspace(0.02, 0.1, 9)


def scans_of(effect: xarray.Dataset) -> list[xarray.Dataset]:
    """Return the scans of all fractions, in their order."""
    return [effect.isel(fraction=n) for n in range(effect.sizes["fraction"])]


def enlarged(case: str, results: Results) -> Measured:
    """Return the change of saturation from no permuted copies to most, around the same references.

    Models of more configurations have larger entropies, too: that is part of the error.
    """
    effect = results.steps[f"{case}-permuted"]
    scans, fraction = scans_of(effect), float(effect["fraction"].values[-1])
    changes = saturation(scans[-1]) - saturation(scans[0])
    measured = bootstrapped(lambda x: float(x.mean()), changes)
    store = results.ensembles[CASES[case]]
    more = 1 + fraction / (2 - fraction)
    finite = overfit(store.n_weights, store.n_rows) * (1 - 1 / more)
    return Measured(measured.value, float(np.hypot(measured.error, finite)))


def near_changes(results: Results) -> Measured:
    """Return the largest mean change of s near the references, of all fractions and cases."""
    changes = []
    for case in CASES:
        first, *others = scans_of(results.steps[f"{case}-permuted"])
        changes += [np.abs(entropy_at(o, NEAR) - entropy_at(first, NEAR)) for o in others]
    rows = [np.nanmean(c, axis=1) for c in changes if np.isfinite(c).any(axis=1).all()]
    if len(rows) < len(changes):
        return Measured(np.nan, np.nan, "scans do not reach these distances")
    each = [bootstrapped(lambda x: float(x.mean()), row) for row in rows]
    return max(each, key=lambda measured: measured.value)


def with_transition(results: Results) -> Measured:
    """Return the share of references with a transition, of all fractions and cases."""
    return share_with_transition(
        [scan for case in CASES for scan in scans_of(results.steps[f"{case}-permuted"])]
    )


def _step(case: str) -> dict[str, object]:
    return {
        "stage": "symmetry",
        "ensemble": CASES[case],
        "method": "bp",
        "margin": 0.05,
        "count": 2,
    }


EXPERIMENT = Experiment(
    "ll-fig10",
    LIQUID_LIKE,
    "10",
    "Entropy landscapes of ensembles with permuted copies",
    spec=UNDER
    | {"beside": {"over": OVER}, "study": {f"{case}-permuted": _step(case) for case in CASES}},
    scales={
        "toy": merged(
            TOY,
            {
                "beside": {"over": TOY_OVER},
                "study": {
                    f"{case}-permuted": {"fields": TOY_FIELDS, "count": 1, "fractions": [0.0, 0.9]}
                    for case in CASES
                },
            },
        ),
        "paper": merged(
            PAPER,
            {
                "beside": {"over": PAPER_OVER},
                "study": {f"{case}-permuted": {"count": 20} for case in CASES},
            },
        ),
    },
    claims=(
        *(
            Claim(
                f"{case.capitalize()}-parametrised: permuted copies enlarge the entropy profile.",
                "Sec. IV.5, Fig. 10",
                "change of ∫ s dd / ∫ bound dd, most copies − none",
                lambda results, case=case: enlarged(case, results),  # type: ignore[misc]
                Within(low=0.0),
            )
            for case in CASES
        ),
        Claim(
            "Close to a reference, the entropy does not depend on the fraction of copies.",
            "Sec. IV.5, Fig. 10",
            "mean |change of s| at d ≤ 0.1, largest of all fractions (nat)",
            near_changes,
            Within(high=0.02),
        ),
        Claim(
            "Copies do not change the landscape qualitatively: it stays smooth.",
            "Sec. IV.5, Fig. 10",
            "share of references with hysteresis, all fractions",
            with_transition,
            Within(high=0.2),
            "none",
        ),
    ),
    minutes=25,
    sampled=SAMPLED,
)
