"""The three cases of the paper as sections of specifications, and steps that experiments share.

Under-parametrised: all 60,000 digits, 675 weights.  Over-parametrised: the first 500 of them, which
reproduce the published magnetizations best.  Shallow: no hidden layers (App. D).  All are trained
as long as by the authors: after 10 epochs instead of 50, the mean of the interior weights is −0.18
where the published one is −0.068.  Several experiments study the same ensembles, `SAMPLED`.
"""

from __future__ import annotations

from typing import Any

from lsg_ray.typing import JsonObject

PARTS = ("LB", "ITR", "RB")
DEEP_PARTS = (*PARTS, "full")
#: Name of the ensembles of the three cases.
SAMPLED = "ll-cases"
#: Groups of references by their energy, in the order of Figs. 5, 13 and 14.
GROUPS = ("low", "medium", "high")

#: Cases, and the ensemble of each.
CASES = {"under": "ensemble", "over": "over", "shallow": "shallow"}
#: Methods of fitting by Monte Carlo: models of shallow networks trap chains.
METHODS = {"under": "pcd", "over": "pcd", "shallow": "tempered"}

UNDER: dict[str, Any] = {
    "dataset": {"name": "mnist", "components": 20},
    "network": {"family": "binary", "widths": [20, 15, 15, 10]},
    "training": {"learning_rate": 0.3, "batch_size": 200, "epochs": 50, "gamma": 1.0e-5},
    "ensemble": {"count": 6000, "threshold": 0.80, "draws": 100, "selection": "test"},
}
#: Fields in which the other two cases differ.
OVER: dict[str, Any] = {
    "dataset": {"train_examples": 500, "subset": "first"},
    "training": {"batch_size": 10, "epochs": 50},
    "ensemble": {"threshold": 0.70},
}
SHALLOW: dict[str, Any] = {"network": {"widths": [20, 10]}, "ensemble": {"threshold": 0.71}}
BESIDE: dict[str, Any] = {"over": OVER, "shallow": SHALLOW}

#: The same at toy size, of the digits that come with the package.
TOY: dict[str, Any] = {
    "dataset": {"name": "digits"},
    "network": {"widths": [20, 2, 2, 10]},
    "training": {"batch_size": 48, "epochs": 10},
    "ensemble": {"count": 100, "threshold": 0.1, "draws": 10},
}
TOY_OVER: dict[str, Any] = {"dataset": {"train_examples": 60}, "ensemble": {"threshold": 0.1}}
TOY_SHALLOW: dict[str, Any] = {"network": {"widths": [20, 10]}, "ensemble": {"threshold": 0.5}}
TOY_BESIDE: dict[str, Any] = {"over": TOY_OVER, "shallow": TOY_SHALLOW}

#: Sizes of the paper.
PAPER: dict[str, Any] = {"training": {"epochs": 50}, "ensemble": {"count": 2_000_000}}
PAPER_OVER: dict[str, Any] = {"ensemble": {"count": 1_000_000}}
PAPER_SHALLOW: dict[str, Any] = {"ensemble": {"count": 500_000}}
PAPER_BESIDE: dict[str, Any] = {"over": PAPER_OVER, "shallow": PAPER_SHALLOW}

#: Distance fields at toy size.
TOY_FIELDS = [-1.0, 0.0, 1.0]


def landscape(
    case: str, parts: tuple[str, ...] = DEEP_PARTS, count: int = 4, ensemble: str | None = None
) -> JsonObject:
    """Return the steps of an entropy landscape: moments, models by the cavity method, scans.

    ``count``: references of low, of medium and of high energy; ``ensemble``: where they are, the
    case itself by default.  Models stay off the border of stability, at which the fit by beliefs
    ends: there, small fields have two solutions.
    """
    source = case if ensemble is None else ensemble
    steps: JsonObject = {f"{case}-moments": {"stage": "moments", "ensemble": source}}
    for part in parts:
        steps[f"{case}-model-{part}"] = {
            "stage": "fit",
            "moments": f"{case}-moments",
            "part": part,
            "method": "bp",
            "margin": 0.05,
            "verify": False,
        }
        steps[f"{case}-scan-{part}"] = {
            "stage": "scan",
            "model": f"{case}-model-{part}",
            "references": source,
            "count": count,
        }
    return steps


def models(case: str, parts: tuple[str, ...] = DEEP_PARTS) -> tuple[str, ...]:
    """Return the names of the steps that fit models of a case."""
    return tuple(f"{case}-model-{part}" for part in parts)


def toy_landscape(case: str, parts: tuple[str, ...] = DEEP_PARTS) -> JsonObject:
    """Return what differs of these steps at toy size."""
    return {f"{case}-scan-{part}": {"fields": TOY_FIELDS, "count": 1} for part in parts}
