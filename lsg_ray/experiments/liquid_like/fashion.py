"""Fig. 16: the over-parametrised case on Fashion-MNIST, beside that on MNIST."""

from __future__ import annotations

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged
from lsg_ray.experiments.liquid_like.cases import (
    DEEP_PARTS,
    OVER,
    PAPER_OVER,
    TOY,
    TOY_OVER,
    UNDER,
    landscape,
    toy_landscape,
)
from lsg_ray.experiments.liquid_like.landscapes import (
    difference,
    mean_saturation,
    share_with_transition,
)

ENSEMBLES = {"fashion": "ensemble", "digits": "digits"}


def _saturation(results: Results, case: str, part: str) -> Measured:
    return mean_saturation(results, case, part, ENSEMBLES[case])


def interior_above_boundaries(results: Results) -> Measured:
    """Return the saturation of ITR less that of the freer boundary, on Fashion-MNIST."""
    return difference(*(_saturation(results, "fashion", part) for part in ("ITR", "LB", "RB")))


def distance_to_interior(results: Results, case: str) -> Measured:
    """Return how far the saturation of the full network is below that of ITR."""
    return difference(_saturation(results, case, "ITR"), _saturation(results, case, "full"))


def closer_to_interior(results: Results) -> Measured:
    """Return that distance on Fashion-MNIST less that on MNIST."""
    return difference(
        distance_to_interior(results, "fashion"), distance_to_interior(results, "digits")
    )


def with_transition(results: Results) -> Measured:
    """Return the share of references with a transition, of all parts."""
    return share_with_transition([results.steps[f"fashion-scan-{part}"] for part in DEEP_PARTS])


EXPERIMENT = Experiment(
    "ll-fig16",
    LIQUID_LIKE,
    "16",
    "Entropy landscapes of the over-parametrised case on Fashion-MNIST",
    spec=merged(
        merged(UNDER, OVER),
        {
            "dataset": {"name": "fashion-mnist"},
            "beside": {"digits": {"dataset": {"name": "mnist"}}},
            "study": {
                **landscape("fashion", ensemble="ensemble"),
                **landscape("digits", ("ITR", "full")),
            },
        },
    ),
    scales={
        "toy": merged(
            merged(TOY, TOY_OVER),
            {
                "beside": {"digits": {"dataset": {"name": "digits"}, "ensemble": {"seed": 1}}},
                "study": toy_landscape("fashion") | toy_landscape("digits", ("ITR", "full")),
            },
        ),
        "paper": PAPER_OVER,
    },
    claims=(
        Claim(
            "The landscape of Fashion-MNIST is smooth.",
            "App. D, Fig. 16",
            "share of references with hysteresis, all parts",
            with_transition,
            Within(high=0.2),
            "none",
        ),
        Claim(
            "The interior is freer than both boundaries.",
            "App. D, Fig. 16",
            "∫ s dd / ∫ bound dd, ITR − larger of LB and RB",
            interior_above_boundaries,
            Within(low=0.0),
        ),
        Claim(
            "The full network gets close to the interior, unlike on MNIST.",
            "App. D, Fig. 16",
            "∫ s dd / ∫ bound dd, (ITR − full) on Fashion-MNIST − on MNIST",
            closer_to_interior,
            Within(high=0.0),
        ),
    ),
    minutes=14,
)
