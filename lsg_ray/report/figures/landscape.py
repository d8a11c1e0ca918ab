"""The entropy landscape: distance against field, entropy against distance, and what goes along."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.ising.curve import entropy_curve
from lsg_ray.ising.entropy import entropy_bound
from lsg_ray.report.style import (
    ACCENT,
    CONTRAST,
    DASHED,
    GREY,
    INK,
    PART_COLOURS,
    label_panel,
    new_figure,
    round_ticks,
    styled,
    verbatim,
)
from lsg_ray.results.saving import names_of

#: Line styles of the directions of a scan.
STYLES = {"up": "-", "down": DASHED}
#: Colours of what is not a part of a network.
OTHERS = (INK, ACCENT, CONTRAST, "#009E73", "#CC79A7", "#E69F00")
#: Curves of single references that are drawn behind their mean.
THIN = 12


@styled
def scan_figure(scans: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw d(x) in both directions, and s(d) below its bound, for each part.

    Parameters
    ----------
    scans
        From `lsg_ray.entropy_scan`, by the name of the part.
    """
    figure = new_figure(3.1)
    left, right = figure.subplots(1, 2)
    all_d = np.linspace(0, 1, 401)[1:-1]
    right.plot(all_d, entropy_bound(all_d), color=GREY, lw=0.9)
    right.annotate("bound", (0.5, np.log(2)), (0, 3), textcoords="offset points", ha="center",
                   color=GREY)  # fmt: skip
    for n, (name, scan) in enumerate(scans.items()):
        colour = PART_COLOURS.get(name, OTHERS[n % len(OTHERS)] if name != "full" else INK)
        curve = entropy_curve(scan)
        x, d, s = (curve[name].values for name in ("field", "d", "s"))
        settled = scan["converged"].values.astype(bool)
        for k, (direction, style) in enumerate(STYLES.items()):
            for r in _few(len(d)):
                thin = {"ls": style, "color": colour, "lw": 0.4, "alpha": 0.35}
                left.plot(x, d[r, k], **thin)
                right.plot(d[r, k], s[r, k], **thin)
            label = name if direction == "up" else None
            left.plot(x, d[:, k].mean(axis=0), ls=style, color=colour, label=label)
            right.plot(d[:, k].mean(axis=0), s[:, k].mean(axis=0), ls=style, color=colour)
            bad = ~settled[:, k]
            if bad.any():
                fields = np.broadcast_to(scan["field"].values, bad.shape)[bad]
                left.plot(fields, scan["d"].values[:, k][bad], "x", color=colour, ms=3, mew=0.7)
    left.set_xlabel("distance field $x$ (nat)")
    left.set_ylabel("distance $d$ to the reference")
    left.set_ylim(-0.02, 1.02)
    left.legend(title="solid: $x$ rises")
    label_panel(left, "a", "distance against field")
    right.set_xlabel("distance $d$ to the reference")
    right.set_ylabel("entropy $s$ per weight (nat)")
    right.set_ylim(top=0.75)
    if right.get_ylim()[0] > -0.02:
        right.set_ylim(bottom=0.0)
    label_panel(right, "b", "entropy landscape")
    return figure


def _few(count: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(count, THIN)).astype(int)).tolist()


@styled
def iso_figure(curve: xarray.Dataset) -> Figure:
    """Draw s(d), β(d) and e(d) at the energy of each reference; from `lsg_ray.iso_energy`."""
    figure = new_figure(2.7)
    axes = figure.subplots(1, 3)
    d = np.linspace(0, 1, 401)[1:-1]
    axes[0].plot(d, -d * np.log(d) - (1 - d) * np.log(1 - d), color=GREY, lw=0.9)
    groups = names_of(curve["group"]) if "group" in curve.coords else np.array(["all"])
    labels = np.broadcast_to(groups, len(curve["d"]))
    known = [name for name in ("low", "medium", "high", "all") if name in labels]
    names = [*known, *sorted(set(labels.tolist()) - set(known))]
    for n, name in enumerate(names):
        rows = np.flatnonzero(labels == name)[:THIN]
        for r in rows:
            for k, direction in enumerate(("up", "down")):
                style = {
                    "color": OTHERS[(n + 1) % len(OTHERS)],
                    "lw": 0.6,
                    "alpha": 0.8,
                    "ls": STYLES[direction],
                }
                place = curve["d"].values[r, k]
                for panel, what in zip(axes, ("s", "beta", "e"), strict=True):
                    label = name if (r, k, what) == (rows[0], 0, "s") else None
                    panel.plot(place, curve[what].values[r, k], label=label, **style)
    for panel, letter, what, title in zip(
        axes,
        "abc",
        ("entropy $s$ per weight (nat)", r"inverse temperature $\beta$", "energy $e$ (nat)"),
        ("at constant energy", "temperature", "energy"),
        strict=True,
    ):
        panel.set_xlabel("distance $d$")
        panel.set_ylabel(what)
        panel.set_xlim(-0.02, 1.02)
        panel.xaxis.set_major_locator(round_ticks(4))
        label_panel(panel, letter, title)
    if names != ["all"]:
        axes[0].legend(loc="lower center", title="energy")
    return figure


@styled
def tap_figure(states: xarray.Dataset) -> Figure:
    """Draw the free energies of the TAP states, and their overlaps; from `lsg_ray.tap_states`."""
    figure = new_figure(2.8)
    left, right = figure.subplots(1, 2)
    settled = states["converged"].values.astype(bool)
    f = states["f"].values[settled]
    if len(f):
        centre, width = f.mean(), max(np.ptp(f), 1e-4)
        left.hist(f, bins=np.linspace(centre - width, centre + width, 61).tolist(), color=ACCENT)
        for place in np.atleast_1d(states.attrs["peak_positions"]):
            left.axvline(place, color=CONTRAST, lw=1.0, ls=DASHED)
    left.set_xlabel("TAP free energy $f$ per weight (nat)")
    left.set_ylabel(f"starts, of {len(settled):,}")
    left.xaxis.set_major_locator(round_ticks(4))
    label_panel(left, "a", f"stationary points: {int(states.attrs['states']):,}")
    _overlaps(right, states)
    return figure


def _overlaps(axes: Axes, states: xarray.Dataset) -> None:
    """Draw overlaps of different states, weighted by how many starts come to them."""
    q, weight = states["overlap"].values, states["population"].values.astype(float)
    i, j = np.triu_indices(len(q), 1)
    if len(i):
        axes.hist(q[i, j], bins=np.linspace(-1, 1, 61).tolist(), weights=weight[i] * weight[j],
                  color=ACCENT)  # fmt: skip
    else:
        axes.text(0.5, 0.5, "fewer than two states", ha="center", transform=axes.transAxes)
        axes.set_yticks([])
    for own in np.diag(q)[:20]:
        axes.axvline(own, color=CONTRAST, lw=0.8)
    axes.set_xlim(-1, 1)
    axes.set_xlabel("overlap $q$; lines: of a state with itself")
    axes.set_ylabel("pairs of starts")
    label_panel(axes, "b", "overlap of states")


@styled
def dynamics_figure(runs: xarray.Dataset) -> Figure:
    """Draw overlap, energy and accuracy against sweeps; from `lsg_ray.relax`."""
    panels = [("overlap", "overlap $q$ with the start"), ("energy", "energy per weight (nat)")]
    if "accuracy" in runs:
        panels.append(("accuracy", "accuracy of the network"))
    figure = new_figure(2.7)
    sweeps = runs["sweep"].values
    for panel, letter, (name, label) in zip(
        figure.subplots(1, len(panels)), "abc", panels, strict=False
    ):
        values = runs[name].values
        mean, spread = values.mean(axis=0), values.std(axis=0)
        for r in _few(len(values)):
            panel.plot(sweeps, values[r], color=GREY, lw=0.4, alpha=0.5)
        panel.fill_between(sweeps, mean - spread, mean + spread, color=ACCENT, alpha=0.25, lw=0)
        panel.plot(sweeps, mean, color=ACCENT)
        level = {
            "overlap": float(runs["equilibrium"].mean()),
            "energy": runs.attrs["equilibrium_energy"],
        }.get(name)
        if level is not None:
            panel.axhline(level, color=CONTRAST, lw=1.0, ls=DASHED)
            panel.annotate(
                "equilibrium", (0.03, level), (0, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", color=CONTRAST,
            )  # fmt: skip
        panel.set_xscale("symlog", linthresh=1)
        panel.set_xlim(0, sweeps[-1])
        panel.set_xlabel("sweeps")
        panel.set_ylabel(label)
        label_panel(panel, letter)
    return figure


@styled
def thermo_figure(curves: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw S(β) and C_v(β) of each model; from `lsg_ray.thermodynamics`."""
    figure = new_figure(2.8)
    left, right = figure.subplots(1, 2)
    for n, (name, curve) in enumerate(curves.items()):
        colour = PART_COLOURS.get(name, OTHERS[n % len(OTHERS)] if name != "full" else INK)
        beta = curve["beta"].values
        for panel, what in ((left, "s"), (right, "heat_capacity")):
            panel.errorbar(
                beta, curve[what].values, curve[f"{what}_stderr"].values, color=colour, lw=1.0,
                marker=".", ms=3, elinewidth=0.7, label=verbatim(name),
            )  # fmt: skip
        bethe = curve.attrs.get("s_bethe")
        if bethe is not None:
            left.plot(beta[-1], bethe, "o", mfc="white", mec=colour, ms=5, zorder=5)
    left.axhline(np.log(2), color=GREY, lw=0.8, ls=DASHED)
    left.set_xlabel(r"inverse temperature $\beta$")
    left.set_ylabel("entropy $s$ per weight (nat)")
    left.legend(title="circles: cavity" if any("s_bethe" in c.attrs for c in curves.values())
                else None)  # fmt: skip
    label_panel(left, "a", "entropy")
    right.set_xlabel(r"inverse temperature $\beta$")
    right.set_ylabel("heat capacity per weight")
    label_panel(right, "b", "heat capacity")
    return figure


@styled
def permutation_figure(effect: xarray.Dataset) -> Figure:
    """Draw scans of models with permuted fractions; from `lsg_ray.permutation_effect`."""
    scans = {
        f"p = {float(p):g}": effect.sel(fraction=p) for p in effect["fraction"].values.tolist()
    }
    return scan_figure.__wrapped__(scans)  # type: ignore[attr-defined]
