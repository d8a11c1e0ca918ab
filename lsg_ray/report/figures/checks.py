"""What a fitted model says of its ensemble beyond what it was fitted to."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.figure import Figure

from lsg_ray.report.style import (
    ACCENT,
    CONTRAST,
    DASHED,
    GREY,
    INK,
    label_panel,
    new_figure,
    round_ticks,
    styled,
)


@styled
def checks_figure(triples: xarray.Dataset, energies: xarray.Dataset) -> Figure:
    """Draw three-body correlations, model against ensemble, and energy against accuracy.

    Parameters
    ----------
    triples
        From `lsg_ray.ising.checks.three_body`.
    energies
        From `lsg_ray.ising.checks.configuration_energies`.
    """
    figure = new_figure(3.0)
    left, right = figure.subplots(1, 2)
    data, model = triples["ensemble"].values, triples["model"].values
    cutoff = float(triples.attrs["cutoff"])
    weak = np.abs(data) <= cutoff
    left.plot(data[weak], model[weak], ".", color=GREY, ms=2, alpha=0.4, rasterized=True)
    left.plot(data[~weak], model[~weak], ".", color=ACCENT, ms=3, alpha=0.6, rasterized=True)
    reach = 1.05 * max(np.abs(data).max(), np.abs(model).max(), 1e-6)
    left.plot([-reach, reach], [-reach, reach], color=INK, lw=0.8)
    for edge in (-cutoff, cutoff):
        left.axvline(edge, color=GREY, lw=0.8, ls=DASHED)
    left.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    left.set_xlabel("$c_{ijk}$ of the ensemble")
    left.set_ylabel("$c_{ijk}$ of the model")
    left.xaxis.set_major_locator(round_ticks(4))
    left.yaxis.set_major_locator(round_ticks(4))
    share = float(triples.attrs["reproduced"])
    if np.isfinite(share):
        above = int(triples.attrs["above"])
        left.text(
            0.97, 0.04, f"{share:.0%} of {above:,} reproduced", transform=left.transAxes,
            ha="right", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    label_panel(left, "a", "three-body correlation")

    energy = energies["energy"].values
    typical, spread = (float(energies.attrs[name]) for name in ("typical", "typical_spread"))
    if "accuracy" in energies:
        right.plot(
            energy, energies["accuracy"].values, ".", color=ACCENT, ms=3, alpha=0.5, rasterized=True
        )
        right.set_ylabel("test accuracy")
    else:
        right.hist(energy, bins=40, color=ACCENT)
        right.set_ylabel("configurations")
    right.axvline(typical, color=CONTRAST, lw=1.2, label="model")
    right.axvspan(typical - spread, typical + spread, color=CONTRAST, alpha=0.15, lw=0)
    right.set_xlabel("energy a weight (nat)")
    right.xaxis.set_major_locator(round_ticks(5))
    right.legend(frameon=False, loc="best")
    label_panel(right, "b", "energy of configurations")
    return figure


def check_figure(found: xarray.Dataset) -> Figure:
    """Draw both checks of `lsg_ray.ising.checks.check_model`."""
    of_triples = {name.removeprefix("triples_"): value for name, value in found.attrs.items()}
    return checks_figure(found.assign_attrs(of_triples), found)
