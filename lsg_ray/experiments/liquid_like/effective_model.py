"""Figs. 2, 3 and 12: the ensemble, its effective Ising model, and what the model was not fitted to.

Interior weights (ITR) have weaker couplings and smaller magnetizations than those of the first
(LB) and last layer (RB); the model reproduces magnetizations, correlations, and a fraction of the
three-weight correlations.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped, converged, couplings, of_fitted
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged
from lsg_ray.experiments.liquid_like.cases import PAPER, PARTS, SAMPLED, UNDER


def ratio_of_couplings(results: Results) -> Measured:
    """Return the larger ratio of the root mean square couplings, of ITR to those of LB and RB."""
    models = [results.steps[f"model-{part}"] for part in PARTS]
    first, interior, last = (couplings(model) for model in models)

    def ratio(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
        return float(np.sqrt(np.mean(b**2) / min(np.mean(a**2), np.mean(c**2))))

    return of_fitted(bootstrapped(ratio, first, interior, last), *models)


def ratio_of_magnetizations(results: Results) -> Measured:
    """Return the larger ratio of mean |m|, of ITR to those of LB and RB."""
    m = results.steps["moments"]["m"].values
    parts = results.ensembles["ensemble"].spec.network.parts
    first, interior, last = (np.abs(m[parts[part]]) for part in PARTS)
    return bootstrapped(
        lambda a, b, c: float(b.mean() / min(a.mean(), c.mean())), first, interior, last
    )


def reproduced_triples(results: Results) -> Measured:
    """Return the share of strong three-weight correlations that the model reproduces."""
    check = results.steps["check"]
    share, count = check.attrs["triples_reproduced"], check.attrs["triples_above"]
    model = results.steps["model-full"]
    if not count:
        none = Measured(np.nan, np.nan, "no triple is beyond three standard errors")
        return of_fitted(none, model)
    note = f"{count} triples beyond three standard errors, within 50 %"
    error = float(np.sqrt(max(share * (1 - share), 1 / count) / count))
    measured = converged(Measured(float(share), error, note), check, flag="mc_converged")
    return of_fitted(measured, model)


EXPERIMENT = Experiment(
    "ll-fig3",
    LIQUID_LIKE,
    "3 and 12",
    "Effective Ising model of the weights, and three-weight correlations",
    spec=merged(
        UNDER,
        {
            "study": {
                "moments": {},
                **{f"model-{part}": {"stage": "fit", "part": part} for part in PARTS},
                "model-full": {"stage": "fit"},
                "check": {"model": "model-full"},
            }
        },
    ),
    scales={
        "toy": {
            "dataset": {"name": "digits"},
            "network": {"widths": [20, 5, 5, 10]},
            "training": {"batch_size": 48, "epochs": 30},
            "ensemble": {"count": 120, "threshold": 0.4, "draws": 20},
            "study": {"check": {"triples": 500}},
        },
        "paper": PAPER,
    },
    claims=(
        Claim(
            "Couplings of the interior are weaker than those of the boundaries.",
            "Sec. II, Fig. 3(d)",
            "rms J of ITR / smaller of LB and RB",
            ratio_of_couplings,
            Within(high=1.0),
        ),
        Claim(
            "Magnetizations of the interior are closer to zero than those of the boundaries.",
            "Sec. II, Fig. 3(d)",
            "mean |m| of ITR / smaller of LB and RB",
            ratio_of_magnetizations,
            Within(high=1.0),
        ),
        Claim(
            "The model reproduces a significant fraction of three-weight correlations.",
            "App. B, Fig. 12",
            "share reproduced",
            reproduced_triples,
            Within(low=0.5),
        ),
    ),
    minutes=20,
    sampled=SAMPLED,
)
