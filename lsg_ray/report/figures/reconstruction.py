"""Moments of a model against the moments that it was fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray
from matplotlib.figure import Figure

from lsg_ray.errors import InputError
from lsg_ray.report import style
from lsg_ray.typing import Floats


@style.styled
def reconstruction_figure(check: xarray.Dataset) -> Figure:
    """Draw m, C and connected C of the model, by Monte Carlo, against those of the data.

    Parameters
    ----------
    check
        Result of `lsg_ray.ising.verification.verify_model`.
    """
    if "repeats" in check:  # a duplicate of another weight is not in the model
        unique = np.flatnonzero(check["repeats"].values == np.arange(check.sizes["weight"]))
        check = check.isel(weight=unique, weight_=unique)
    m, m_data = check["m"].values, check["m_data"].values
    upper = np.triu_indices(len(m), 1)
    C, C_data = check["C"].values[upper], check["C_data"].values[upper]
    c, c_data = C - np.outer(m, m)[upper], C_data - np.outer(m_data, m_data)[upper]
    panels = (
        ("a", "magnetization", "$m$", m_data, m, float(check.attrs["rms_m"])),
        ("b", "correlation", "$C$", C_data, C, float(check.attrs["rms_C"])),
        ("c", "connected correlation", "$c$", c_data, c, None),
    )
    figure = style.new_figure(2.6)
    drawn = zip(figure.subplots(1, 3), panels, strict=True)
    for axes, (letter, title, symbol, data, model, rms) in drawn:
        _scatter(axes, data, model)
        low, high = float(min(data.min(), model.min())), float(max(data.max(), model.max()))
        margin = 0.05 * max(high - low, 1e-3)
        limits = (low - margin, high + margin)
        axes.plot(limits, limits, color=style.INK, lw=0.8)
        axes.set(xlim=limits, ylim=limits)
        axes.set_aspect("equal", "box")
        style.ticks(axes, 4, 4)
        if rms is not None:
            axes.text(0.05, 0.95, f"rms {rms:.2g}", transform=axes.transAxes, va="top")
        style.panel(axes, letter, title, f"{symbol} of the data", f"{symbol} of the model")
    return figure


def _scatter(axes: Any, data: Floats, model: Floats) -> None:
    """Draw points, or their density on a logarithmic scale where there are many."""
    if len(data) <= 3000:
        axes.plot(data, model, ".", color=style.ACCENT, ms=3, alpha=0.6)
    else:
        axes.hexbin(data, model, gridsize=70, bins="log", mincnt=1, cmap="Blues", linewidths=0)


def _checked(models: Mapping[str, xarray.Dataset]) -> dict[str, xarray.Dataset]:
    """Return models that were checked by Monte Carlo, the largest last.

    Raises
    ------
    InputError
        No model was checked.
    """
    checked = {name: model for name, model in models.items() if "rms_C" in model.attrs}
    if not checked:
        raise InputError("no model was checked by Monte Carlo: fit with verify")
    return dict(sorted(checked.items(), key=lambda item: item[1].sizes["weight"]))


def models_figure(models: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw the largest of the models that were checked."""
    return reconstruction_figure(list(_checked(models).values())[-1])


def models_caption(models: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Describe the errors of the correlations of each model, and weights that were left out."""
    checked = _checked(models)
    name, about = list(checked)[-1], list(checked.values())[-1].attrs
    fits = ", ".join(
        f"{which} ({model.attrs['method']}) {model.attrs['rms_C']:.4f} (independent weights "
        f"{model.attrs['delta_independent']:.4f})"
        for which, model in models.items()
        if which in checked
    )
    beliefs = ", ".join(
        f"{which} ({model.attrs['method']}) {model.attrs['rms_C_method']:.4f} "
        f"(m {model.attrs['rms_m_method']:.2g})"
        for which, model in models.items()
        if which not in checked and "rms_C_method" in model.attrs
    )
    caption = (
        f"Moments of the effective model ({name}), measured by new Monte Carlo chains, against "
        "those of the ensemble: magnetizations m, correlations C and connected correlations c. "
        f"Root mean square error of C by model: {fits}; Monte Carlo noise contributes "
        f"{about['noise_C']:.4f} for {name}."
    )
    if about["method"] == "pcd":
        caption += (
            " Models were fitted until their error was below the sampling error of the ensemble."
        )
    if beliefs:
        caption += f" Not checked by Monte Carlo, errors by the method's own moments: {beliefs}."
    if about["frozen"]:
        caption += f" {int(about['frozen']):,} constant weights were left out."
    if repeats := int(about.get("duplicates", 0)):
        caption += f" {repeats:,} weights that always equal another or its opposite were left out."
    return caption, "Reconstructed against measured magnetizations and correlations."
