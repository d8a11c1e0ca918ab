"""The report's sections about the effective model and its landscape."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import xarray

from lsg_ray.report.figures.landscape import (
    dynamics_figure,
    iso_figure,
    scan_figure,
    tap_figure,
    thermo_figure,
)
from lsg_ray.report.figures.reconstruction import reconstruction_figure
from lsg_ray.report.section import Section, section


class Survey(NamedTuple):
    """Results of the landscape of ±1 weights; by part where there are several models.

    models: by persistent chains, checked; cavity: how near the beliefs of the others are; reasons:
    why a part has no model.
    """

    models: dict[str, xarray.Dataset]
    cavity: dict[str, float]
    scans: dict[str, xarray.Dataset]
    curves: dict[str, xarray.Dataset]
    iso: xarray.Dataset
    states: xarray.Dataset
    runs: xarray.Dataset
    reasons: dict[str, str]


#: Key and title of each section.
TITLES = {
    "model": "Effective Ising model",
    "landscape": "Entropy landscape",
    "iso": "At constant energy",
    "thermodynamics": "Entropy by the heat capacity",
    "tap": "TAP states",
    "dynamics": "Monte Carlo dynamics",
}


def landscape_sections(survey: Survey | None, reason: str = "") -> list[Section]:
    """Draw and caption the landscape; without a survey, say why."""
    if survey is None:
        why = reason or "Not computed for this report."
        return [Section("landscape", TITLES["landscape"], reason=why)]
    return [
        _model(survey), _scans(survey), _iso(survey.iso), _thermodynamics(survey),
        _states(survey.states), _dynamics(survey.runs),
    ]  # fmt: skip


def _minus(text: str) -> str:
    return text.replace(" -", " −").replace("= -", "= −")


def _model(survey: Survey) -> Section:
    check = survey.models["full"]
    about = check.attrs
    fits = ", ".join(
        f"{name} {found.attrs['rms_C']:.4f} (independent weights "
        f"{found.attrs['delta_independent']:.4f})"
        for name, found in survey.models.items()
    )
    caption = (
        "Moments of the model of all weights, fitted by persistent chains, as new chains measure "
        "them, against "
        f"those of the ensemble. Root mean square error of C: {fits}; of which Monte Carlo noise "
        f"{about['noise_C']:.4f} for all weights. Fitted until what is left is below the sampling "
        "error."
    )
    if about["frozen"]:
        caption += f" {int(about['frozen']):,} weights never change and were left out."
    if repeats := int(about.get("duplicates", 0)):
        caption += f" {repeats:,} weights always equal another, or its opposite, and were left out."
    for name, why in survey.reasons.items():
        caption += f" {name} has no model: {why}."
    alt = "Scatter plots of reconstructed against measured magnetizations and correlations."
    return section("model", TITLES["model"], partial(reconstruction_figure, check), caption, alt)


def _scans(survey: Survey) -> Section:
    told = "; ".join(
        f"{name} {scan.attrs['verdict']}, s = {scan.attrs['s0']:.4f} at x = 0"
        for name, scan in survey.scans.items()
    )
    full = survey.scans["full"].attrs
    shares = min(scan.attrs["converged"] for scan in survey.scans.values())
    caption = (
        f"A field x draws configurations towards a reference; d is their distance to it, s the "
        "entropy per weight, for "
        f"{survey.scans['full'].sizes['reference']} references of low, medium and high energy "
        f"(thin) and their mean. {_minus(told)}; ln 2 = {np.log(2):.4f}. "
        f"Largest gap between the two directions, all weights: {full['hysteresis']:.2g}. "
    )
    beliefs = ", ".join(f"{name} {rms:.4f}" for name, rms in survey.cavity.items())
    caption += (
        "The models are those of the cavity method, whose beliefs have the magnetizations of the "
        f"ensemble, and its C to {beliefs} (root mean square). "
    )
    caption += (
        "All solutions have converged."
        if shares == 1
        else f"Crosses: not converged ({100 * (1 - shares):.2g} % of one model's solutions)."
    )
    alt = "Distance against field in both directions, and entropy against distance, by part."
    return section(
        "landscape", TITLES["landscape"], partial(scan_figure, survey.scans), caption, alt
    )


def _iso(curve: xarray.Dataset) -> Section:
    about = curve.attrs
    caption = (
        "Entropy, inverse temperature and energy against distance where the mean energy is that of "
        "the reference, up (solid) and down (dashed) in the field. At "
        f"{100 * about['exists']:.3g} % of the fields there is such a temperature between "
        f"β = {about['betas'][0]:g} and {about['betas'][1]:g}. Largest gap between the "
        f"directions: {about['hysteresis']:.2g} ({about['verdict']})."
    )
    alt = "Entropy, inverse temperature and energy against distance at constant energy."
    return section("iso", TITLES["iso"], partial(iso_figure, curve), caption, alt)


def _thermodynamics(survey: Survey) -> Section:
    told = "; ".join(
        f"{name} {curve.attrs['s']:.4f} ± {curve.attrs['s_stderr']:.4f} "
        f"(cavity {curve.attrs['s_bethe']:.4f})"
        for name, curve in survey.curves.items()
    )
    caption = (
        "Entropy and heat capacity per weight of the models by persistent chains, against inverse "
        "temperature, by parallel tempering from β = 0, without the cavity approximation. At "
        f"β = 1: {told}; the cavity's is that of the same model, and fails where correlations are "
        "strong."
    )
    if not all(curve.attrs["converged"] for curve in survey.curves.values()):
        caption += " Not all chains have converged."
    alt = "Entropy and heat capacity against inverse temperature, by part."
    return section(
        "thermodynamics", TITLES["thermodynamics"], partial(thermo_figure, survey.curves), caption,
        alt,
    )  # fmt: skip


def _states(states: xarray.Dataset) -> Section:
    about = states.attrs
    caption = (
        "Free energies of the fixed points of the TAP equations (model of the cavity method, all "
        f"weights) from {about['starts']:,} random "
        f"starts: {100 * about['converged']:.3g} % have converged; distinct "
        f"stationary points: {about['states']:,}, of which stable states: "
        f"{about['stable_states']:,}, saddles: {about['saddles']:,}; peaks of the histogram over "
        f"minima: {about['peaks']} ({about['peak_test']}). Right, overlaps of different points."
    )
    alt = "Histogram of TAP free energies, and of overlaps between states."
    return section("tap", TITLES["tap"], partial(tap_figure, states), caption, alt)


def _dynamics(runs: xarray.Dataset) -> Section:
    about = runs.attrs
    caption = (
        "Metropolis chains of the model by persistent chains, from "
        f"{runs.sizes['reference']} references ({about['chains']} each): "
        "overlap with the start, energy"
        + (", and accuracy of the network on the test set" if "accuracy" in runs else "")
        + "; mean and standard deviation over references. "
        f"{100 * about['trapped']:.3g} % are still trapped at the end (memory of the start above "
        f"0.2; mean {about['memory']:.3f}); the energy's autocorrelation time in their second half "
        f"is {about['energy_autocorrelation']:.2g} sweeps."
    )
    alt = "Overlap with the reference, energy and accuracy against Monte Carlo sweeps."
    return section(
        "dynamics", TITLES["dynamics"], partial(dynamics_figure, runs), _minus(caption), alt
    )
