"""Fig. 17: test error over the width, of networks of real weights and of their binary twins.

n_in–d–d–{1, 10} networks with d = 1 … 50, trained with the whole training set as one batch: on the
parity of digits by the hinge loss, and on ten classes by cross entropy.  The paper sees double
descent of real weights in all its settings, and none of binary ones.  Beside its settings, labels
of a fifth of the training set are drawn at random: there a peak of the test error is known to
appear (P. Nakkiran et al., ICLR 2020), so that it shows what the criterion can see.

The paper trains for 10⁵ steps; the rate of its networks of real weights is not known.  At laptop
size it is 2,000 steps at a rate of 0.1, which does not exceed their size, and half as many
examples; binary ones have the rate of the paper, 0.5.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped, worst
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged

#: Number of principal components, and tasks with their outputs.
INPUTS = (20, 50)
TASKS = {"parity": 1, "classes": 10}
SOURCE = "App. F, Fig. 17"
#: Smallest peak that would be called double descent: one point of the test error, and of the loss
#: a tenth of a nat or margin.
PEAK = {"error": 0.01, "loss": 0.1}


def _panel(task: str, inputs: int, family: str, **dataset: Any) -> dict[str, Any]:
    """Return the sections of an ensemble of one network, which a scan takes its training from."""
    labels = "parity" if task == "parity" else "class"
    return {
        "dataset": {"components": inputs, "labels": labels, **dataset},
        "network": {"family": family, "widths": [inputs, 10, 10, TASKS[task]]},
        "training": {"gamma": 0.0}
        | ({"learning_rate": 0.1, "initial_std": 1.0} if family == "real" else {}),
    }


PANELS = {
    f"{family}-{task}-{inputs}": _panel(task, inputs, family)
    for task in TASKS
    for inputs in INPUTS
    for family in ("real", "binary")
}
NOISY = {
    f"{family}-noisy": _panel("classes", 50, family, label_noise=0.2)
    for family in ("real", "binary")
}


def _names(family: str, task: str) -> list[str]:
    return [f"{family}-{task}-{inputs}" for inputs in INPUTS]


def peak(measure: str, name: str, results: Results) -> Measured:
    """Return the prominence of the peak of a test curve; see `lsg_ray.statistics.width_scan`."""
    about = results.steps[f"scan-{name}"].attrs
    value, error = (float(about[f"peak_{measure}{end}"]) for end in ("", "_stderr"))
    note = f"{name}: at width {about[f'peak_{measure}_width']}"
    return Measured(value, error, f"{note}, fitted from {about['fitted_from'] or 'none'}")


def claim(
    statement: str,
    quantity: str,
    measure: Callable[[str, Results], Measured],
    names: list[str],
    holds: Within,
) -> Claim:
    """Return a claim that must hold in each of several panels."""

    def over_all(results: Results) -> Measured:
        return worst(holds, [measure(name, results) for name in names])

    return Claim(statement, SOURCE, f"{quantity}, worse of n_in = 20 and 50", over_all, holds)


def training_error(name: str, results: Results) -> Measured:
    """Return the smallest mean training error of all widths; of no error, 1 in all is its error."""
    scan = results.steps[f"scan-{name}"]
    table = scan["train_error"]
    at = int(table.mean("network").values.argmin())
    note = f"{name}: width {int(table['width'][at])}"
    measured = bootstrapped(lambda x: float(x.mean()), table.values[at], note=note)
    floor = 1 / (scan.attrs["n_train"] * table.sizes["network"])
    return measured._replace(error=max(measured.error, floor))


def falls(name: str, results: Results) -> Measured:
    """Return the mean test error of the wider half less that of the quarter before it."""
    table = results.steps[f"scan-{name}"]["test_error"].values
    half, quarter = len(table) // 2, len(table) // 4
    differences = table[half:].mean(axis=0) - table[quarter:half].mean(axis=0)
    return bootstrapped(lambda x: float(x.mean()), differences, note=name)


def place(name: str, results: Results) -> Measured:
    """Return the width of the peak of the loss over that from which the training set is fitted."""
    scan = results.steps[f"scan-{name}"]
    fitted, error = int(scan.attrs["fitted_from"]), peak("loss", name, results)
    if not fitted or not error.value > 2 * error.error:
        return Measured(np.nan, np.nan, f"{name}: no peak, or training set not fitted")
    # Both are known to a width.
    at = int(scan.attrs["peak_loss_width"])
    return Measured(at / fitted, at / fitted * float(np.hypot(1 / at, 1 / fitted)), name)


def _claims(task: str) -> tuple[Claim, ...]:
    about = {"parity": "Parity", "classes": "Ten classes"}[task]
    real, binary = _names("real", task), _names("binary", task)
    return (
        *(
            claim(
                f"{about}, real weights: the test {measure} has double descent.",
                f"prominence of the peak of the test {measure}",
                partial(peak, measure),
                real,
                Within(low=0.0),
            )
            for measure in PEAK
        ),
        *(
            claim(
                f"{about}, binary weights: the test {measure} has no double descent.",
                f"prominence of the peak of the test {measure}",
                partial(peak, measure),
                binary,
                Within(high=PEAK[measure]),
            )
            for measure in PEAK
        ),
        claim(
            f"{about}, binary weights: the training error never reaches zero.",
            "smallest training error of all widths",
            training_error,
            binary,
            Within(low=0.0),
        ),
        claim(
            f"{about}, binary weights: the test error keeps decreasing with the width.",
            "test error of the wider half − quarter before it",
            falls,
            binary,
            Within(high=0.0),
        ),
    )


_SCANS = {f"scan-{name}": {"stage": "width-scan", "ensemble": name} for name in (*PANELS, *NOISY)}
_TOY_WIDTHS = [1, 2, 3, 4, 6]

EXPERIMENT = Experiment(
    "ll-fig17",
    LIQUID_LIKE,
    "17",
    "Double descent: errors over the width, of real and of binary weights",
    spec=merged(
        _panel("classes", 50, "binary"),
        {
            "dataset": {"name": "mnist", "train_examples": 1000, "subset": "first"},
            "training": {
                "learning_rate": 0.5,
                "batch_size": None,
                "epochs": 2000,
                "decay_steps": 500,
            },
            "ensemble": {"count": 2, "threshold": 0.0, "draws": 1},
            "beside": {**PANELS, **NOISY},
            "study": _SCANS,
        },
    ),
    scales={
        "toy": {
            "dataset": {"name": "digits", "train_examples": 60},
            "training": {"epochs": 40, "decay_steps": 10},
            "study": {name: {"widths": _TOY_WIDTHS, "networks": 2} for name in _SCANS},
        },
        "paper": {
            "dataset": {"train_examples": 2000},
            "training": {"epochs": 100_000, "decay_steps": 25_000},
            "study": {name: {"networks": 20} for name in _SCANS},
        },
    },
    claims=(
        *_claims("parity"),
        *_claims("classes"),
        Claim(
            "Real weights: the peak is where the training error starts to vanish.",
            SOURCE,
            "width of the peak of the test loss / width from which training error < 1 %, ten "
            "classes, n_in = 50",
            partial(place, "real-classes-50"),
            Within(0.5, 2.0),
        ),
        Claim(
            "Real weights, a fifth of the labels random: the test error has double descent.",
            "not in the paper",
            "prominence of the peak of the test error",
            partial(peak, "error", "real-noisy"),
            Within(low=0.0),
        ),
        Claim(
            "Binary weights, a fifth of the labels random: the test error has none.",
            "not in the paper",
            "prominence of the peak of the test error",
            partial(peak, "error", "binary-noisy"),
            Within(high=PEAK["error"]),
        ),
    ),
    minutes=25,
)
