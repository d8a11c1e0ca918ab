"""The entropy landscape: distance against field, entropy against distance, and what goes along."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.ising.curve import entropy_curve
from lsg_ray.ising.field_scans import entropy_bound
from lsg_ray.report import style
from lsg_ray.results.saving import names_of

#: Line styles of the directions of a scan.
STYLES = {"up": "-", "down": style.DASHED}
#: Colours of what is not a part of a network.
OTHERS = (style.INK, style.ACCENT, style.CONTRAST, "#009E73", "#CC79A7", "#E69F00")
#: What axes are labelled with.
BETA = r"inverse temperature $\beta$"
DISTANCE, ENTROPY = "distance $d$ to the reference", "entropy $s$ per weight (nat)"
#: Curves of single references that are drawn behind their mean.
THIN = 12


@style.styled
def scan_figure(scans: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw d(x) in both directions, and s(d) below its bound, for each part.

    Parameters
    ----------
    scans
        From `lsg_ray.entropy_scan`, by the name of the part.
    """
    figure = style.new_figure(3.1)
    left, right = figure.subplots(1, 2)
    all_d = np.linspace(0, 1, 401)[1:-1]
    right.plot(all_d, entropy_bound(all_d), color=style.GREY, lw=0.9)
    right.annotate("bound", (0.5, np.log(2)), (0, 3), textcoords="offset points", ha="center",
                   color=style.GREY)  # fmt: skip
    for n, (name, scan) in enumerate(scans.items()):
        colour = _colour(name, n)
        curve = entropy_curve(scan)
        x, d, s = (curve[name].values for name in ("field", "d", "s"))
        settled = scan["converged"].values.astype(bool)
        for k, (direction, dash) in enumerate(STYLES.items()):
            for r in _few(len(d)):
                thin = {"ls": dash, "color": colour, "lw": 0.4, "alpha": 0.35}
                left.plot(x, d[r, k], **thin)
                right.plot(d[r, k], s[r, k], **thin)
            label = name if direction == "up" else None
            left.plot(x, d[:, k].mean(axis=0), ls=dash, color=colour, label=label)
            right.plot(d[:, k].mean(axis=0), s[:, k].mean(axis=0), ls=dash, color=colour)
            bad = ~settled[:, k]
            if bad.any():
                fields = np.broadcast_to(scan["field"].values, bad.shape)[bad]
                left.plot(fields, scan["d"].values[:, k][bad], "x", color=colour, ms=3, mew=0.7)
    left.set_ylim(-0.02, 1.02)
    left.legend(title="solid: $x$ rises")
    style.panel(left, "a", "distance against field", "distance field $x$ (nat)", DISTANCE)
    right.set_ylim(top=0.75)
    if right.get_ylim()[0] > -0.02:
        right.set_ylim(bottom=0.0)
    style.panel(right, "b", "entropy landscape", DISTANCE, ENTROPY)
    return figure


def scan_caption(scans: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Tell of each part its verdict and entropy, and how many solutions have converged."""
    told = "; ".join(
        f"{name} {scan.attrs['verdict']}, s = {scan.attrs['s0']:.4f} at x = 0, "
        f"gap {scan.attrs['hysteresis']:.2g}"
        for name, scan in scans.items()
    )
    first = next(iter(scans.values()))
    groups = " of low, medium and high energy" if "group" in first.coords else ""
    share = min(scan.attrs["converged"] for scan in scans.values())
    caption = (
        "A field x draws configurations towards a reference; d is their distance to it, s the "
        f"entropy per weight, for {first.sizes['reference']} references{groups} (thin) and "
        f"their mean. {told}; ln 2 = {np.log(2):.4f}; the gap is the largest between the two "
        "directions. "
    ) + (
        "All solutions have converged."
        if share == 1
        else f"Crosses: not converged ({100 * (1 - share):.2g} % of one model's solutions)."
    )
    return caption, "Distance against field in both directions, and entropy against distance."


def _colour(name: str, number: int) -> str:
    """Return the colour of a part, or of one of several systems."""
    others = style.INK if name == "full" else OTHERS[number % len(OTHERS)]
    return style.PART_COLOURS.get(name, others)


def _few(count: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(count, THIN)).astype(int)).tolist()


@style.styled
def iso_figure(curve: xarray.Dataset) -> Figure:
    """Draw s(d), β(d) and e(d) at the energy of each reference; from `lsg_ray.iso_energy`."""
    figure = style.new_figure(2.7)
    axes = figure.subplots(1, 3)
    d = np.linspace(0, 1, 401)[1:-1]
    axes[0].plot(d, -d * np.log(d) - (1 - d) * np.log(1 - d), color=style.GREY, lw=0.9)
    groups = names_of(curve["group"]) if "group" in curve.coords else np.array(["all"])
    labels = np.broadcast_to(groups, len(curve["d"]))
    known = [name for name in ("low", "medium", "high", "all") if name in labels]
    names = [*known, *sorted(set(labels.tolist()) - set(known))]
    for n, name in enumerate(names):
        rows = np.flatnonzero(labels == name)[:THIN]
        axes[0].plot([], [], color=OTHERS[(n + 1) % len(OTHERS)], lw=0.6, label=name)
        for k, dash in enumerate(STYLES.values()):
            line = {"color": OTHERS[(n + 1) % len(OTHERS)], "ls": dash, "lw": 0.6, "alpha": 0.8}
            for panel, what in zip(axes, ("s", "beta", "e"), strict=True):
                panel.plot(curve["d"].values[rows, k].T, curve[what].values[rows, k].T, **line)
    titles = {"at constant energy": ENTROPY, "temperature": BETA, "energy": "energy $e$ (nat)"}
    for panel, letter, (title, what) in zip(axes, "abc", titles.items(), strict=True):
        panel.set_xlim(-0.02, 1.02)
        panel.xaxis.set_major_locator(style.round_ticks(4))
        style.panel(panel, letter, title, "distance $d$", what)
    if names != ["all"]:
        axes[0].legend(loc="lower center", title="energy")
    return figure


def iso_caption(curve: xarray.Dataset) -> tuple[str, str]:
    """Tell where there is such a temperature, and how far the directions differ."""
    about = curve.attrs
    caption = (
        "Entropy, inverse temperature and energy against distance where the mean energy is that of "
        "the reference, up (solid) and down (dashed) in the field. At "
        f"{100 * about['exists']:.3g} % of the fields there is such a temperature between "
        f"β = {about['betas'][0]:g} and {about['betas'][1]:g}. Largest gap between the "
        f"directions: {about['hysteresis']:.2g} ({about['verdict']})."
    )
    return caption, "Entropy, inverse temperature and energy against distance at constant energy."


@style.styled
def tap_figure(states: xarray.Dataset) -> Figure:
    """Draw the free energies of the TAP states, and their overlaps; from `lsg_ray.tap_states`."""
    figure = style.new_figure(2.8)
    left, right = figure.subplots(1, 2)
    settled = states["converged"].values.astype(bool)
    f = states["f"].values[settled]
    if len(f):
        centre, width = f.mean(), max(np.ptp(f), 1e-4)
        edges = np.linspace(centre - width, centre + width, 61).tolist()
        left.hist(f, edges, color=style.ACCENT)
        for place in np.atleast_1d(states.attrs["peak_positions"]):
            left.axvline(place, color=style.CONTRAST, lw=1.0, ls=style.DASHED)
    left.xaxis.set_major_locator(style.round_ticks(4))
    title, starts = f"stationary points: {int(states.attrs['states']):,}", len(settled)
    x = "TAP free energy $f$ per weight (nat)"
    style.panel(left, "a", title, x, f"starts, of {starts:,}")
    _overlaps(right, states)
    return figure


def tap_caption(states: xarray.Dataset) -> tuple[str, str]:
    """Tell how many stationary points there are, and of which kind."""
    about = states.attrs
    caption = (
        f"Free energies of the fixed points of the TAP equations from {about['starts']:,} random "
        f"starts: {100 * about['converged']:.3g} % have converged; distinct "
        f"stationary points: {about['states']:,}, of which stable states: "
        f"{about['stable_states']:,}, saddles: {about['saddles']:,}; peaks of the histogram over "
        f"minima: {about['peaks']} ({about['peak_test']}). Right, overlaps of different points."
    )
    return caption, "Histogram of TAP free energies, and of overlaps between states."


def _overlaps(axes: Axes, states: xarray.Dataset) -> None:
    """Draw overlaps of different states, weighted by how many starts come to them."""
    q, weight = states["overlap"].values, states["population"].values.astype(float)
    i, j = np.triu_indices(len(q), 1)
    if len(i):
        axes.hist(q[i, j], bins=np.linspace(-1, 1, 61).tolist(), weights=weight[i] * weight[j],
                  color=style.ACCENT)  # fmt: skip
    else:
        axes.text(0.5, 0.5, "fewer than two states", ha="center", transform=axes.transAxes)
        axes.set_yticks([])
    for own in np.diag(q)[:20]:
        axes.axvline(own, color=style.CONTRAST, lw=0.8)
    axes.set_xlim(-1, 1)
    x = "overlap $q$; lines: of a state with itself"
    style.panel(axes, "b", "overlap of states", x, "pairs of starts")


@style.styled
def dynamics_figure(runs: xarray.Dataset) -> Figure:
    """Draw overlap, energy and accuracy against sweeps; from `lsg_ray.relax`."""
    panels = [("overlap", "overlap $q$ with the start"), ("energy", "energy per weight (nat)")]
    if "accuracy" in runs:
        panels.append(("accuracy", "accuracy of the network"))
    figure = style.new_figure(2.7)
    sweeps = runs["sweep"].values
    levels = {
        "overlap": float(runs["equilibrium"].mean()), "energy": runs.attrs["equilibrium_energy"],
    }  # fmt: skip
    drawn = zip(figure.subplots(1, len(panels)), "abc", panels, strict=False)
    for panel, letter, (name, label) in drawn:
        values = runs[name].values
        for r in _few(len(values)):
            panel.plot(sweeps, values[r], color=style.GREY, lw=0.4, alpha=0.5)
        style.band(panel, sweeps, values, style.ACCENT)
        if (level := levels.get(name)) is not None:
            panel.axhline(level, color=style.CONTRAST, lw=1.0, ls=style.DASHED)
            panel.annotate(
                "equilibrium", (0.03, level), (0, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", color=style.CONTRAST,
            )  # fmt: skip
        panel.set_xscale("symlog", linthresh=1)
        panel.set_xlim(0, sweeps[-1])
        style.panel(panel, letter, x="sweeps", y=label)
    return figure


def dynamics_caption(runs: xarray.Dataset) -> tuple[str, str]:
    """Tell how many chains are trapped."""
    about = runs.attrs
    accuracy = ", and accuracy of the network on the test set" if "accuracy" in runs else ""
    caption = (
        f"Metropolis chains of the model from {runs.sizes['reference']} references "
        f"({about['chains']} each): overlap with the start, energy{accuracy}; mean and standard "
        f"deviation over references. {100 * about['trapped']:.3g} % are still trapped at the end "
        f"(memory of the start above 0.2; mean {about['memory']:.3f}); the energy's "
        "autocorrelation time in their second half is "
        f"{about['energy_autocorrelation']:.2g} sweeps."
    )
    return caption, "Overlap with the reference, energy and accuracy against Monte Carlo sweeps."


@style.styled
def thermo_figure(curves: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw S(β) and C_v(β) of each model; from `lsg_ray.thermodynamics`."""
    figure = style.new_figure(2.8)
    left, right = figure.subplots(1, 2)
    for n, (name, curve) in enumerate(curves.items()):
        colour = _colour(name, n)
        beta = curve["beta"].values
        for panel, what in ((left, "s"), (right, "heat_capacity")):
            panel.errorbar(
                beta, curve[what].values, curve[f"{what}_stderr"].values, color=colour, lw=1.0,
                marker=".", ms=3, elinewidth=0.7, label=style.verbatim(name),
            )  # fmt: skip
        bethe = curve.attrs.get("s_bethe")
        if bethe is not None:
            left.plot(beta[-1], bethe, "o", mfc="white", mec=colour, ms=5, zorder=5)
    left.axhline(np.log(2), color=style.GREY, lw=0.8, ls=style.DASHED)
    left.legend(title="circles: cavity" if any("s_bethe" in c.attrs for c in curves.values())
                else None)  # fmt: skip
    style.panel(left, "a", "entropy", BETA, ENTROPY)
    style.panel(right, "b", "heat capacity", BETA, "heat capacity per weight")
    return figure


def thermo_caption(curves: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Tell the entropy of each model, and that of the cavity approximation."""
    told = "; ".join(
        f"{name} {curve.attrs['s']:.4f} ± {curve.attrs['s_stderr']:.4f} "
        f"(cavity {curve.attrs['s_bethe']:.4f})"
        for name, curve in curves.items()
    )
    caption = (
        "Entropy and heat capacity per weight against inverse temperature, by parallel tempering "
        f"from β = 0, without the cavity approximation. At β = 1: {told}; the cavity's is that of "
        "the same model, and fails where correlations are strong."
    )
    if not all(curve.attrs["converged"] for curve in curves.values()):
        caption += " Not all chains have converged."
    return caption, "Entropy and heat capacity against inverse temperature."


def permutation_figure(effect: xarray.Dataset) -> Figure:
    """Draw scans of models with permuted fractions; from `lsg_ray.permutation_effect`."""
    scans = {f"p = {p:g}": effect.sel(fraction=p) for p in effect["fraction"].values.tolist()}
    return scan_figure(scans)
