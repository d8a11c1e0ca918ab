"""Figs. 8 and 9: states of the models by TAP equations, and Monte Carlo dynamics from references.

Deep networks have one peak of TAP free energies, and chains leave a reference for configurations of
chance level; shallow networks have two peaks, and chains are trapped.  Models are fitted by
chains: one by the cavity method is held where there is a single state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import xarray

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped, converged, of_steps, share
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged
from lsg_ray.experiments.liquid_like.cases import (
    BESIDE,
    CASES,
    METHODS,
    PAPER,
    PAPER_BESIDE,
    SAMPLED,
    TOY,
    TOY_BESIDE,
    UNDER,
)
from lsg_ray.experiments.peaks import counted, half_of, split, unknown_if_one, would_show_two
from lsg_ray.statistics.modes import count_modes
from lsg_ray.typing import Floats

Measure: TypeAlias = Callable[[Results], Measured]

#: Accuracy of guesses among ten classes.
CHANCE = 0.1
#: Share of the starts that must have converged.
CONVERGED = 0.99


def peaks(tap: xarray.Dataset) -> Measured:
    """Return the peaks of the free energies of minima, with the error over halves of the starts.

    A start that has not converged may lie in another peak: the error is then unknown, as it is of
    a single peak where two would not show (`lsg_ray.experiments.peaks`).
    """
    minima = np.flatnonzero(tap["minimum"].values >= 0)
    f = tap["f"].values[np.isin(tap["state"].values, minima)]
    note = f"{tap.attrs['states']} states, {tap.attrs['converged']:.0%} of the starts converged"
    if not len(f) or tap.attrs["converged"] < CONVERGED:
        return Measured(_count(f), np.nan, note)
    measured = counted(_count, f, half=half_of, note=note)
    single = tap.attrs["states"] == 1  # whose peak has no width
    shown = single or would_show_two(_count, f, half=half_of, planted=split)
    return unknown_if_one(measured, shown)


def _count(f: Floats) -> float:
    return float(count_modes(f).modes)


def accuracy_left(dynamics: xarray.Dataset) -> Measured:
    """Return the share of the accuracy above chance that is left in the last quarter."""
    if "accuracy" not in dynamics:
        return Measured(np.nan, np.nan, str(dynamics.attrs.get("no_accuracy", "")))
    accuracy = dynamics["accuracy"].values - CHANCE
    last = accuracy[:, -max(1, accuracy.shape[1] // 4) :].mean(axis=1)
    rows = np.stack([accuracy[:, 0], last], axis=1)
    return bootstrapped(lambda x: float(x[:, 1].mean() / x[:, 0].mean()), rows)


def trapped(dynamics: xarray.Dataset) -> Measured:
    """Return the share of references whose overlap stays above equilibrium."""
    measured = share(dynamics["trapped"].values)
    return converged(measured, dynamics, flag="equilibrium_converged")


def _claimed(measure: Callable[[xarray.Dataset], Measured], case: str, step: str) -> Measure:
    """Return the measure of a claim on a step of a case."""
    return of_steps(lambda results: measure(results.steps[f"{case}-{step}"]), f"{case}-model")


def _steps() -> dict[str, object]:
    steps: dict[str, object] = {}
    for case, ensemble in CASES.items():
        moments = f"{case}-moments"
        steps |= {
            moments: {"stage": "moments", "ensemble": ensemble},
            f"{case}-tap": {"stage": "tap", "model": f"{case}-model", "starts": 2000},
            f"{case}-model": {"stage": "fit", "moments": moments, "method": METHODS[case]},
            f"{case}-dynamics": {
                "stage": "mc", "model": f"{case}-model", "references": ensemble, "count": 4,
            },
        }  # fmt: skip
    return steps


def _toy_steps() -> dict[str, object]:
    toy: dict[str, object] = {}
    for case in CASES:
        options = {"chains": 64, "steps": 40}
        if METHODS[case] == "tempered":
            options["ladders"] = 8
        toy |= {
            f"{case}-tap": {"starts": 40},
            f"{case}-model": {"verify": False, "options": options},
            f"{case}-dynamics": {"count": 1, "sweeps": 12, "chains": 2},
        }
    return toy


def _single(case: str, source: str) -> Claim:
    return Claim(
        f"{case.capitalize()}-parametrised: the TAP free energies have a single peak.",
        source,
        "peaks (multiscale test, level 1 %)",
        _claimed(peaks, case, "tap"),
        Within(0.5, 1.5),
        "1",
    )


EXPERIMENT = Experiment(
    "ll-fig8",
    LIQUID_LIKE,
    "8 and 9",
    "TAP free energies, and Monte Carlo dynamics from references",
    spec=UNDER | {"beside": BESIDE, "study": _steps()},
    scales={
        "toy": merged(TOY, {"beside": TOY_BESIDE, "study": _toy_steps()}),
        "paper": merged(
            PAPER,
            {
                "beside": PAPER_BESIDE,
                "study": {f"{case}-dynamics": {"count": 20} for case in CASES},
            },
        ),
    },
    claims=(
        _single("under", "Sec. IV.4, Fig. 8"),
        _single("over", "Sec. IV.4"),
        Claim(
            "Shallow: the TAP free energies have two peaks.",
            "Sec. IV.4, Fig. 8",
            "peaks (multiscale test, level 1 %)",
            _claimed(peaks, "shallow", "tap"),
            Within(1.5, 2.5),
            "2",
        ),
        Claim(
            "Deep: the dynamics leaves a reference, without high barriers.",
            "Sec. IV.4, Fig. 9",
            "share of references that trap chains",
            _claimed(trapped, "under", "dynamics"),
            Within(high=0.5),
            "none",
        ),
        Claim(
            "Deep: the dynamics drifts towards chance-level configurations.",
            "Sec. IV.4, Fig. 9",
            "accuracy above chance after 100 sweeps / at the start",
            _claimed(accuracy_left, "under", "dynamics"),
            Within(high=0.5),
        ),
        Claim(
            "Shallow: the dynamics is trapped in the basin of the reference.",
            "Sec. IV.4, Fig. 9",
            "share of references that trap chains",
            _claimed(trapped, "shallow", "dynamics"),
            Within(low=0.5),
            "all",
        ),
    ),
    minutes=30,
    sampled=SAMPLED,
)
