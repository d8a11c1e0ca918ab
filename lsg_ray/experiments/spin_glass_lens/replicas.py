"""Sec. 4.4: are solutions organised as the replicas of a spin glass with broken symmetry?

The paper compares by eye, Figs. 1 and 5.  Here the triples of overlaps and the width of P(q) decide
(`lsg_ray.statistics.rsb`), beside replicas of the SK model in its glass phase and above it.
"""

from __future__ import annotations

import numpy as np
import xarray

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.experiment import SPIN_GLASS_LENS, Experiment
from lsg_ray.experiments.spin_glass_lens.measures import slope
from lsg_ray.results.saving import names_of

WIDTHS = (64, 256, 1024)
#: Temperatures of the SK model, in its glass phase and above it (T_c = 1).
GLASS, PARAMAGNET = 0.3, 1.5


def gap(result: xarray.Dataset) -> Measured:
    """Return how far mean K of triples is below that of independent replicas, as a share of it."""
    null = result.isel(null=int(np.flatnonzero(names_of(result["null"]) == "independent")[0]))
    expected, scatter = float(null["ultrametricity_null"]), float(null["ultrametricity_null_std"])
    k, error = float(result["ultrametricity"]), float(result["ultrametricity_stderr"])
    return Measured(1 - k / expected, float(np.hypot(error, scatter * k / expected)) / expected)


def likeness_of_glass(results: Results) -> Measured:
    """Return the `gap` of the widest networks in units of that of the SK glass."""
    own = gap(results.steps[f"overlaps-{WIDTHS[-1]}"])
    glass, above = gap(results.steps["sk-glass"]), gap(results.steps["sk-paramagnet"])
    value = own.value / glass.value
    error = float(np.hypot(own.error, value * glass.error)) / abs(glass.value)
    note = f"networks {own.value:.3f}, glass {glass.value:.3f}, paramagnet {above.value:.3f}"
    return Measured(value, error, note)


def slope_of_width(results: Results) -> Measured:
    """Return the slope of the log standard deviation of q in the log number of weights."""
    of = [results.steps[f"overlaps-{n}"] for n in WIDTHS]
    size = np.log([float(one.attrs["n_weights"]) for one in of])
    std = np.array([float(one["std"]) for one in of])
    errors = np.array([float(one["std_stderr"]) for one in of]) / std
    centred = size - size.mean()
    error = float(np.linalg.norm(centred / (centred @ centred) * errors))
    note = f"standard deviations of q {', '.join(f'{x:.4f}' for x in std)}"
    return Measured(slope(size, np.log(std)), error, note)


def _sk(temperature: float) -> dict[str, object]:
    return {
        "stage": "sk",
        "temperature": temperature,
        "temperatures": [GLASS, PARAMAGNET],
        "realisations": 16,
    }


EXPERIMENT = Experiment(
    "sg-rsb",
    SPIN_GLASS_LENS,
    "1 and 5",
    "Overlaps of solutions beside those of the Sherrington-Kirkpatrick model",
    spec={
        "dataset": {"name": "mnist", "train_examples": 6000, "subset": "first"},
        "network": {"family": "relu", "widths": [784, WIDTHS[0], 10]},
        "training": {"target_loss": 0.01, "epochs": 200},
        "ensemble": {"count": 65},
        "beside": {f"n-{n}": {"network": {"widths": [784, n, 10]}} for n in WIDTHS[1:]},
        "study": {
            **{
                f"overlaps-{n}": {
                    "stage": "replicas",
                    "ensemble": "ensemble" if n == WIDTHS[0] else f"n-{n}",
                }
                for n in WIDTHS
            },
            "sk-glass": _sk(GLASS),
            "sk-paramagnet": _sk(PARAMAGNET),
        },
    },
    scales={
        "toy": {
            "dataset": {"name": "digits", "train_examples": 400},
            "network": {"widths": [64, 8, 10]},
            "training": {"target_loss": 0.6, "batch_size": 32},
            "ensemble": {"count": 9},
            "beside": {f"n-{n}": {"network": {"widths": [64, n // 16, 10]}} for n in WIDTHS[1:]},
            "study": {
                **{f"overlaps-{n}": {"draws": 4} for n in WIDTHS},
                **{
                    name: {"n": 32, "replicas": 8, "realisations": 1, "burn_in": 200, "draws": 4}
                    for name in ("sk-glass", "sk-paramagnet")
                },
            },
        },
        "paper": {
            "dataset": {"train_examples": None},
            "ensemble": {"count": 201},
            "study": {
                **{f"overlaps-{n}": {"replicas": 200} for n in WIDTHS},
                **{
                    name: {"n": 512, "replicas": 64, "realisations": 64, "burn_in": 10_000}
                    for name in ("sk-glass", "sk-paramagnet")
                },
            },
        },
    },
    claims=(
        Claim(
            "Solutions group like the spin configurations of a glass with broken replica symmetry.",
            "Sec. 4.4, Figs. 1, 5",
            "fall of K of triples below independent replicas, n = 1,024 / SK glass",
            likeness_of_glass,
            Within(low=0.5),
        ),
        Claim(
            "The distribution of overlaps stays broad as networks grow, as where replica symmetry "
            "is broken.",
            "Sec. 3.2, 4.4",
            "slope of the log standard deviation of q in log N; −1/2 without broken symmetry",
            slope_of_width,
            Within(low=-0.25),
        ),
    ),
    minutes=10,
)
