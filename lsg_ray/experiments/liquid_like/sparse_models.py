"""Figs. 4 and 6: sparse models by pseudolikelihood, and their entropy landscapes.

Sparse couplings leave the cavity method without stable solutions at some fields; there the
landscape by Monte Carlo is the check.  The first ensemble is trained for four epochs: a penalty of
0.01 is above the noise of correlations from 20,000 configurations on.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped, of_fitted, of_steps
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged
from lsg_ray.experiments.liquid_like.cases import DEEP_PARTS, PARTS, SAMPLED, TOY, TOY_FIELDS, UNDER
from lsg_ray.experiments.liquid_like.landscapes import (
    difference,
    mean_saturation,
    share_with_transition,
)
from lsg_ray.typing import Floats, Ints

#: Step of the model of all weights.
FULL = "sparse-model-full"


def null_share(j: Floats, rows: Ints) -> float:
    """Return the share of couplings between some weights and others that are zero."""
    chosen = j[rows] == 0
    chosen[np.arange(len(rows)), rows] = False
    return float(chosen.sum() / (chosen.size - len(rows)))


def sparsity(results: Results) -> Measured:
    """Return the share of zero couplings of the full model, with its error over weights."""
    model = results.steps[FULL]
    j = model["J"].values
    measured = bootstrapped(lambda rows: null_share(j, rows), np.arange(len(j)))
    return of_fitted(measured, model)


def rms_by_weight(results: Results, part: str) -> Floats:
    """Return the root mean square coupling of each weight to others of its part."""
    j = results.steps[f"sparse-model-{part}"]["J"].values
    values: Floats = np.sqrt((j**2).sum(axis=1) / (len(j) - 1))
    return values


def ratio_of_couplings(results: Results) -> Measured:
    """Return the rms coupling of ITR over the smaller one of LB and RB."""
    first, interior, last = (rms_by_weight(results, part) for part in PARTS)

    def ratio(a: Floats, b: Floats, c: Floats) -> float:
        smaller = min(np.mean(a**2), np.mean(c**2))
        return float(np.sqrt(np.mean(b**2) / smaller)) if smaller > 0 else np.nan

    models = [results.steps[f"sparse-model-{part}"] for part in PARTS]
    return of_fitted(bootstrapped(ratio, first, interior, last), *models)


def across_layers(results: Results) -> Measured:
    """Return the share of zeros between layers that do not touch less that within layers."""
    j = results.steps[FULL]["J"].values == 0
    parts = results.ensembles["ensemble"].spec.network.parts
    first, last = parts["LB"], parts["RB"]
    across = j[first, last].mean(axis=1)
    n = first.stop - first.start
    within = (j[first, first].sum(axis=1) - j[first, first].diagonal()) / (n - 1)
    return bootstrapped(lambda x: float(x.mean()), across - within)


def interior_above_boundaries(results: Results) -> Measured:
    """Return the saturation of ITR less that of the freer boundary."""
    parts = ("ITR", "LB", "RB")
    return difference(*(mean_saturation(results, "sparse", part, "ensemble") for part in parts))


def with_transition(results: Results) -> Measured:
    """Return the share of references with a transition, of all parts."""
    return share_with_transition([results.steps[f"sparse-scan-{part}"] for part in DEEP_PARTS])


def annealed_with_transition(results: Results) -> Measured:
    """Return the share of references with a transition by Monte Carlo, of the full model."""
    return share_with_transition([results.steps["sparse-anneal"]])


def _steps() -> dict[str, object]:
    steps: dict[str, object] = {}
    for part in DEEP_PARTS:
        steps[f"sparse-model-{part}"] = {
            "stage": "fit", "part": part, "method": "plm", "l1": 0.01, "verify": part == "full",
        }  # fmt: skip
        steps[f"sparse-scan-{part}"] = {
            "stage": "scan", "model": f"sparse-model-{part}", "count": 4,
        }  # fmt: skip
    steps["sparse-anneal"] = {
        "stage": "anneal",
        "model": "sparse-model-full",
        "fields": [round(0.25 * k, 10) for k in range(-12, 13)],
        "count": 2,
        "chains": 32,
        "draws": 200,
        "burn_in": 400,
        "refine": 2,
    }
    return steps


EXPERIMENT = Experiment(
    "ll-fig4",
    LIQUID_LIKE,
    "4 and 6",
    "Sparse models by pseudolikelihood, and their entropy landscapes",
    spec=merged(UNDER, {"study": _steps()}),
    scales={
        "toy": merged(
            TOY,
            {
                "study": {
                    **{f"sparse-model-{part}": {"l1": 0.1} for part in DEEP_PARTS},
                    **{
                        f"sparse-scan-{part}": {"fields": TOY_FIELDS, "count": 1}
                        for part in DEEP_PARTS
                    },
                    "sparse-anneal": {
                        "fields": TOY_FIELDS,
                        "count": 1,
                        "chains": 4,
                        "burn_in": 5,
                        "draws": 8,
                        "refine": 0,
                    },
                }
            },
        ),
        "paper": {
            "ensemble": {"count": 50_000},
            "study": {f"sparse-scan-{part}": {"count": 20} for part in DEEP_PARTS},
        },
    },
    claims=(
        Claim(
            "Of the sparse model, most couplings are null.",
            "Sec. III, Fig. 4",
            "share of couplings that are zero",
            sparsity,
            Within(low=0.5),
            "0.61 to 0.74",
        ),
        Claim(
            "Couplings of the interior are weaker than those of the boundaries, as in dense ones.",
            "Sec. III, Fig. 4",
            "rms J of ITR / smaller of LB and RB",
            ratio_of_couplings,
            Within(high=1.0),
        ),
        Claim(
            "Null couplings are those between weights of different layers.",
            "Sec. III, Fig. 4",
            "share of zeros, LB to RB − within LB",
            of_steps(across_layers, FULL),
            Within(low=0.0),
        ),
        Claim(
            "The landscape of the sparse model is smooth.",
            "Sec. IV.1, Fig. 6",
            "share of references with hysteresis, all parts",
            of_steps(with_transition, *(f"sparse-model-{part}" for part in DEEP_PARTS)),
            Within(high=0.2),
            "none",
        ),
        Claim(
            "It is smooth by Monte Carlo, too, where the cavity method fails.",
            "Sec. IV.1, Fig. 6, App. H",
            "share of references with hysteresis, full model",
            of_steps(annealed_with_transition, FULL),
            Within(high=0.5),
            "none",
        ),
        Claim(
            "The interior is freer than both boundaries.",
            "Sec. IV.1, Fig. 6",
            "∫ s dd / ∫ bound dd, ITR − larger of LB and RB",
            of_steps(interior_above_boundaries, *(f"sparse-model-{part}" for part in PARTS)),
            Within(low=0.0),
        ),
    ),
    minutes=22,
    sampled=SAMPLED,
)
