"""Checks of a fitted model on quantities that it was not fitted to."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.figure import Figure

from lsg_ray.report import style


@style.styled
def checks_figure(triples: xarray.Dataset, energies: xarray.Dataset) -> Figure:
    """Draw three-body correlations, model against ensemble, and energy against accuracy.

    Parameters
    ----------
    triples
        Three-body correlations, from `lsg_ray.ising.checks.three_body`.
    energies
        Energies, from `lsg_ray.ising.checks.configuration_energies`.
    """
    figure, (left, right) = style.panels(3.0, 2)
    data, model = triples["ensemble"].values, triples["model"].values
    cutoff = float(triples.attrs["cutoff"])
    weak = np.abs(data) <= cutoff
    left.plot(data[weak], model[weak], ".", color=style.GREY, ms=2, alpha=0.4, rasterized=True)
    left.plot(data[~weak], model[~weak], ".", color=style.ACCENT, ms=3, alpha=0.6, rasterized=True)
    reach = 1.05 * max(np.abs(data).max(), np.abs(model).max(), 1e-6)
    left.plot([-reach, reach], [-reach, reach], color=style.INK, lw=0.8)
    for edge in (-cutoff, cutoff):
        left.axvline(edge, color=style.GREY, lw=0.8, ls=style.DASHED)
    left.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    style.ticks(left, 4, 4)
    share = float(triples.attrs["reproduced"])
    if np.isfinite(share):
        above = int(triples.attrs["above"])
        left.text(
            0.97,
            0.04,
            f"{share:.0%} of {above:,} reproduced",
            transform=left.transAxes,
            ha="right",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )
    of_ensemble, of_model = "$c_{ijk}$ of the ensemble", "$c_{ijk}$ of the model"
    style.panel(left, "a", "three-body correlation", of_ensemble, of_model)

    energy = energies["energy"].values
    typical, spread = (float(energies.attrs[name]) for name in ("typical", "typical_spread"))
    if "accuracy" in energies:
        dots = {"color": style.ACCENT, "ms": 3, "alpha": 0.5, "rasterized": True}
        right.plot(energy, energies["accuracy"].values, ".", **dots)
        right.set_ylabel("test accuracy")
    else:
        right.hist(energy, bins=40, color=style.ACCENT)
        right.set_ylabel("configurations")
    right.axvline(typical, color=style.CONTRAST, lw=1.2, label="model")
    right.axvspan(typical - spread, typical + spread, color=style.CONTRAST, alpha=0.15, lw=0)
    right.xaxis.set_major_locator(style.round_ticks(5))
    right.legend(frameon=False, loc="best")
    style.panel(right, "b", "energy of configurations", "energy per weight (nat)")
    return figure


def check_figure(check: xarray.Dataset) -> Figure:
    """Draw both checks of `lsg_ray.ising.checks.check_model`."""
    of_triples = {name.removeprefix("triples_"): value for name, value in check.attrs.items()}
    return checks_figure(check.assign_attrs(of_triples), check)
