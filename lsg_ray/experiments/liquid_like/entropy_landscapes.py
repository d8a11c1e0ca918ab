"""Figs. 5, 13 and 14: entropy landscapes of under- and over-parametrised and shallow networks.

Around references of low, medium and high energy under each model, the distance field is swept up
and down.  Of deep networks both directions agree, and the interior is nearly free; of the shallow
one they do not: its weight space is broken.  Models by the cavity method stay off the border of
stability without a field, so that a smooth landscape says nothing of weak fields alone.
"""

from __future__ import annotations

from functools import partial

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import of_steps, share
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged
from lsg_ray.experiments.liquid_like.cases import (
    BESIDE,
    CASES,
    DEEP_PARTS,
    GROUPS,
    PAPER,
    PAPER_BESIDE,
    PARTS,
    SAMPLED,
    TOY,
    TOY_BESIDE,
    UNDER,
    landscape,
    models,
    toy_landscape,
)
from lsg_ray.experiments.liquid_like.landscapes import (
    difference,
    mean_saturation,
    of_group,
    share_with_transition,
)


def _saturation(results: Results, case: str, part: str) -> Measured:
    return mean_saturation(results, case, part, CASES[case])


def broken_deep(case: str, results: Results) -> Measured:
    """Return the share of references of a deep case, of all parts, with a transition."""
    return share_with_transition([results.steps[f"{case}-scan-{part}"] for part in DEEP_PARTS])


def broken_shallow(results: Results) -> Measured:
    """Return the share with a transition of shallow networks, the smallest of the groups."""
    scan = results.steps["shallow-scan-full"]
    shares = [share_with_transition([scan], group) for group in GROUPS]
    return min(shares, key=lambda measured: measured.value)


def double_transitions(results: Results) -> Measured:
    """Return the share of references of low energy with two transitions or more."""
    scan = results.steps["shallow-scan-full"]
    return share(scan["gaps"].values[of_group(scan, "low")] >= 2)


def interior_above_boundaries(case: str, results: Results) -> Measured:
    """Return the saturation of ITR less that of the freer boundary."""
    interior, first, last = (_saturation(results, case, part) for part in ("ITR", "LB", "RB"))
    return difference(interior, first, last)


def left_boundary(results: Results) -> Measured:
    """Return the saturation of LB less that of the more constrained of ITR and RB."""
    first, interior, last = (_saturation(results, "under", part) for part in ("LB", "ITR", "RB"))
    return difference(first, interior, last, of="min")


def right_boundary(results: Results) -> Measured:
    """Return the saturation of RB less that of the full network."""
    return difference(_saturation(results, "under", "RB"), _saturation(results, "under", "full"))


def interior_under(results: Results) -> Measured:
    """Return the saturation of ITR in the under-parametrised case."""
    return _saturation(results, "under", "ITR")


def interior_over_below_under(results: Results) -> Measured:
    """Return the saturation of ITR, over- less under-parametrised."""
    return difference(_saturation(results, "over", "ITR"), interior_under(results))


CLAIMS = (
    Claim(
        "Under-parametrised: both directions of the field collapse into one curve, without "
        "hysteresis.",
        "Sec. IV.1, Figs. 5(a), 13, 14",
        "share of references with hysteresis, all parts",
        of_steps(partial(broken_deep, "under"), *models("under")),
        Within(high=0.2),
        "none",
    ),
    Claim(
        "The interior nearly saturates the upper bound of the entropy.",
        "Sec. IV.1, Fig. 5(a)",
        "∫ s dd / ∫ bound dd of ITR",
        of_steps(interior_under, *models("under", ("ITR",))),
        Within(low=0.9),
    ),
    Claim(
        "Under-parametrised: the interior is freer than both boundaries.",
        "Sec. IV.1, Fig. 5(a)",
        "∫ s dd / ∫ bound dd, ITR − larger of LB and RB",
        of_steps(partial(interior_above_boundaries, "under"), *models("under", PARTS)),
        Within(low=0.0),
    ),
    Claim(
        "The left boundary is the most constrained of the three parts.",
        "Sec. IV.1, Fig. 5(a)",
        "∫ s dd / ∫ bound dd, LB − smaller of ITR and RB",
        of_steps(left_boundary, *models("under", PARTS)),
        Within(high=0.0),
    ),
    Claim(
        "The right boundary behaves similarly to the full network.",
        "Sec. IV.1, Fig. 5(a)",
        "∫ s dd / ∫ bound dd, RB − full",
        of_steps(right_boundary, *models("under", ("RB", "full"))),
        Within(-0.1, 0.1),
    ),
    Claim(
        "Over-parametrised: a smooth landscape, too.",
        "Sec. IV.2, Figs. 5(b), 13, 14",
        "share of references with hysteresis, all parts",
        of_steps(partial(broken_deep, "over"), *models("over")),
        Within(high=0.2),
        "none",
    ),
    Claim(
        "Over-parametrised: the entropy of the interior is still the highest of the three parts.",
        "Sec. IV.2, Fig. 5(b)",
        "∫ s dd / ∫ bound dd, ITR − larger of LB and RB",
        of_steps(partial(interior_above_boundaries, "over"), *models("over", PARTS)),
        Within(low=0.0),
    ),
    Claim(
        "The interior gets less close to the bound than in the under-parametrised case.",
        "Sec. IV.2, Fig. 5(b)",
        "∫ s dd / ∫ bound dd of ITR, over − under",
        of_steps(interior_over_below_under, *models("under", ("ITR",)), *models("over", ("ITR",))),
        Within(high=0.0),
    ),
    Claim(
        "Shallow: a first-order transition, whatever the energy of the references.",
        "Sec. IV.3, Figs. 5(c), 13, 14",
        "share of references with hysteresis, smallest of the groups",
        of_steps(broken_shallow, *models("shallow", ("full",))),
        Within(low=0.5),
        "all",
    ),
    Claim(
        "Shallow: the transition is double around references of low energy.",
        "Sec. IV.3, Fig. 5(c)",
        "share of references with two transitions",
        of_steps(double_transitions, *models("shallow", ("full",))),
        Within(low=0.5),
    ),
)

EXPERIMENT = Experiment(
    "ll-fig5",
    LIQUID_LIKE,
    "5, 13 and 14",
    "Entropy landscapes of under- and over-parametrised and shallow networks",
    spec=merged(
        UNDER,
        {
            "beside": BESIDE,
            "study": {
                **landscape("under", ensemble="ensemble"),
                **landscape("over"),
                # Of four references a group, no share would be above one half by two errors.
                **landscape("shallow", ("full",), count=6),
            },
        },
    ),
    scales={
        "toy": merged(
            TOY,
            {
                "beside": merged(TOY_BESIDE, {"over": {"ensemble": {"count": 100}}}),
                "study": toy_landscape("under")
                | toy_landscape("over")
                | toy_landscape("shallow", ("full",)),
            },
        ),
        "paper": merged(PAPER, {"beside": PAPER_BESIDE}),
    },
    claims=CLAIMS,
    minutes=30,
    sampled=SAMPLED,
)
