"""How well a model reproduces the moments it was fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray
from matplotlib.figure import Figure

from lsg_ray.report.style import ACCENT, INK, label_panel, new_figure, round_ticks, styled
from lsg_ray.typing import Floats


@styled
def reconstruction_figure(check: xarray.Dataset) -> Figure:
    """Draw m, C and connected C of the model, by Monte Carlo, against those of the data.

    Parameters
    ----------
    check
        From `lsg_ray.ising.boltzmann.verify_model`.
    """
    if "repeats" in check:  # a weight that repeats another is not in the model
        kept = np.flatnonzero(check["repeats"].values == np.arange(check.sizes["weight"]))
        check = check.isel(weight=kept, weight_=kept)
    m, m_data = check["m"].values, check["m_data"].values
    upper = np.triu_indices(len(m), 1)
    C, C_data = check["C"].values[upper], check["C_data"].values[upper]
    panels = (
        ("a", "magnetization", "$m$", m_data, m, float(check.attrs["rms_m"])),
        ("b", "correlation", "$C$", C_data, C, float(check.attrs["rms_C"])),
        (
            "c",
            "connected correlation",
            "$c$",
            C_data - (m_data[:, None] * m_data[None])[upper],
            C - (m[:, None] * m[None])[upper],
            None,
        ),
    )
    figure = new_figure(2.6)
    for axes, (letter, title, symbol, data, model, rms) in zip(
        figure.subplots(1, 3), panels, strict=True
    ):
        _scatter(axes, data, model)
        low, high = float(min(data.min(), model.min())), float(max(data.max(), model.max()))
        margin = 0.05 * max(high - low, 1e-3)
        limits = (low - margin, high + margin)
        axes.plot(limits, limits, color=INK, lw=0.8)
        axes.set_xlim(limits)
        axes.set_ylim(limits)
        axes.set_aspect("equal", "box")
        axes.xaxis.set_major_locator(round_ticks(4))
        axes.yaxis.set_major_locator(round_ticks(4))
        axes.set_xlabel(f"{symbol} of the data")
        axes.set_ylabel(f"{symbol} of the model")
        if rms is not None:
            axes.text(0.05, 0.95, f"rms {rms:.2g}", transform=axes.transAxes, va="top")
        label_panel(axes, letter, title)
    return figure


def _scatter(axes: Any, data: Floats, model: Floats) -> None:
    """Draw points; where there are many, how many fall where, on a logarithmic scale."""
    if len(data) <= 3000:
        axes.plot(data, model, ".", color=ACCENT, ms=3, alpha=0.6)
    else:
        axes.hexbin(data, model, gridsize=70, bins="log", mincnt=1, cmap="Blues", linewidths=0)
