"""Entropy landscapes of effective models, their TAP states, dynamics and thermodynamics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.ising.curve import constant_energy_curve, entropy_curve
from lsg_ray.ising.field_scans import entropy_bound
from lsg_ray.report import style
from lsg_ray.results.saving import names_of

#: Line styles of the directions of a scan.
DIRECTION_STYLES = {"up": "-", "down": style.DASHED}
#: Colours of systems that are not parts of a network.
SYSTEM_COLOURS = (style.INK, style.ACCENT, style.CONTRAST, "#009E73", "#CC79A7", "#E69F00")
#: Labels of axes.
BETA = r"inverse temperature $\beta$"
DISTANCE = "distance $d$ to the reference"
ENTROPY = "entropy $s$ per weight (nat)"


@style.styled
def scan_figure(scans: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw d(x) in both directions, and s(d) below its bound, for each part.

    Parameters
    ----------
    scans
        Results of `lsg_ray.entropy_scan`, by the name of the part.
    """
    figure, (left, right) = style.panels(3.1, 2)
    all_d = np.linspace(0, 1, 401)[1:-1]
    right.plot(all_d, entropy_bound(all_d), color=style.GREY, lw=0.9)
    right.annotate(
        "bound", (0.5, np.log(2)), (0, 3), textcoords="offset points", ha="center", color=style.GREY
    )
    known = False
    for n, (name, scan) in enumerate(scans.items()):
        colour = _colour(name, n)
        curve = entropy_curve(scan)
        x, d, s = (curve[name].values for name in ("field", "d", "s"))
        converged = scan["converged"].values.astype(bool)
        known |= bool(np.isfinite(s).any())
        for k, (direction, dash) in enumerate(DIRECTION_STYLES.items()):
            few, thin = _chosen(len(d)), {"ls": dash, "color": colour, "lw": 0.4, "alpha": 0.35}
            left.plot(x, d[few, k].T, **thin)
            right.plot(d[few, k].T, s[few, k].T, **thin)
            label = name if direction == "up" else None
            left.plot(x, d[:, k].mean(axis=0), ls=dash, color=colour, label=label)
            right.plot(d[:, k].mean(axis=0), s[:, k].mean(axis=0), ls=dash, color=colour)
            bad = ~converged[:, k]
            if bad.any():
                fields = np.broadcast_to(scan["field"].values, bad.shape)[bad]
                left.plot(fields, scan["d"].values[:, k][bad], "x", color=colour, ms=3, mew=0.7)
    left.set_ylim(-0.02, 1.02)
    left.legend(title="solid: $x$ rises")
    style.panel(left, "a", "distance against field", "distance field $x$ (nat)", DISTANCE)
    if not known:
        right.text(0.5, 0.3, "not converged", ha="center", transform=right.transAxes)
    right.set_ylim(top=0.75)
    if right.get_ylim()[0] > -0.02:
        right.set_ylim(bottom=0.0)
    style.panel(right, "b", "entropy landscape", DISTANCE, ENTROPY)
    return figure


def scan_caption(scans: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Describe verdict and entropy of each part, and the share of converged solutions."""
    numbers = "; ".join(
        f"{name} {scan.attrs['verdict']}, s = {scan.attrs['s0']:.4f} at x = 0, "
        f"gap {scan.attrs['hysteresis']:.2g}"
        for name, scan in scans.items()
    )
    first = next(iter(scans.values()))
    groups = " of low, medium and high energy" if "group" in first.coords else ""
    share = min(scan.attrs["converged"] for scan in scans.values())
    caption = (
        "A field x pulls the configurations of an effective model towards a reference; d is their "
        "mean Hamming distance to it per weight and s the entropy per weight at that distance, for "
        f"{first.sizes['reference']} references{groups} (thin lines) and their mean (thick), with "
        "the field rising (solid) and falling (dashed). The bound is the entropy of all "
        f"configurations at distance d. {numbers}; ln 2 = {np.log(2):.4f}. The gap is the largest "
        "difference between the two directions. "
    ) + (
        "All solutions have converged."
        if share == 1
        else f"Crosses: not converged ({100 * (1 - share):.2g} % of the solutions of one model)."
    )
    if criterion := first.attrs.get("criterion"):
        caption += f" Criterion: {criterion}."
    return caption, "Distance against field in both directions, and entropy against distance."


def _colour(name: str, number: int) -> str:
    """Return the colour of a part, or of one of several systems."""
    colour = style.INK if name == "full" else SYSTEM_COLOURS[number % len(SYSTEM_COLOURS)]
    return style.PART_COLOURS.get(name, colour)


def _chosen(count: int) -> list[int]:
    """Return the rows that are drawn as single curves."""
    drawn = min(count, style.MAX_SINGLE_CURVES)
    return np.unique(np.linspace(0, count - 1, drawn).astype(int)).tolist()


@style.styled
def iso_figure(curve: xarray.Dataset) -> Figure:
    """Draw s(d), β(d) and e(d) at the energy of each reference; from `lsg_ray.iso_energy`.

    s(d) goes through its slopes 2x; those of β are not known, and its lines are straight.
    """
    figure, axes = style.panels(2.7, 3)
    all_d, all_s = constant_energy_curve(curve)
    d = np.linspace(0, 1, 401)[1:-1]
    axes[0].plot(d, -d * np.log(d) - (1 - d) * np.log(1 - d), color=style.GREY, lw=0.9)
    groups = names_of(curve["group"]) if "group" in curve.coords else np.array(["all"])
    labels = np.broadcast_to(groups, len(curve["d"]))
    known = [name for name in ("low", "medium", "high", "all") if name in labels]
    names = [*known, *sorted(set(labels.tolist()) - set(known))]
    for n, name in enumerate(names):
        rows = np.flatnonzero(labels == name)[: style.MAX_SINGLE_CURVES]
        colour = SYSTEM_COLOURS[(n + 1) % len(SYSTEM_COLOURS)]
        axes[0].plot([], [], color=colour, lw=0.6, label=name)
        for k, dash in enumerate(DIRECTION_STYLES.values()):
            line = {"color": colour, "ls": dash, "lw": 0.6, "alpha": 0.8}
            axes[0].plot(all_d[rows, k].T, all_s[rows, k].T, **line)
            for panel, variable in zip(axes[1:], ("beta", "e"), strict=True):
                panel.plot(curve["d"].values[rows, k].T, curve[variable].values[rows, k].T, **line)
    titles = {
        "at constant energy": ENTROPY,
        "inverse temperature": BETA,
        "energy": "energy $e$ (nat)",
    }
    for panel, letter, (title, label) in zip(axes, "abc", titles.items(), strict=True):
        panel.set_xlim(-0.02, 1.02)
        panel.xaxis.set_major_locator(style.round_ticks(4))
        style.panel(panel, letter, title, "distance $d$", label)
    if names != ["all"]:
        axes[0].legend(loc="lower center", title="energy")
    return figure


def iso_caption(curve: xarray.Dataset) -> tuple[str, str]:
    """Describe where a temperature with that energy exists, and how far the directions differ."""
    about = curve.attrs
    gap = f"{about['hysteresis']:.2g}" if np.isfinite(about["hysteresis"]) else "not measured"
    caption = (
        "Entropy s, inverse temperature β and energy e per weight against the distance d to the "
        "reference, at the temperature where the mean energy is that of the reference, with the "
        f"field rising (solid) and falling (dashed). At {100 * about['exists']:.3g} % of the "
        f"fields such a temperature exists between β = {about['betas'][0]:g} and "
        f"{about['betas'][1]:g}. Curves s(d) have their slopes 2x at the fields, and gaps where "
        f"they jump. Largest difference between the directions: {gap} "
        f"({about['verdict']})."
    )
    if criterion := about.get("criterion"):
        caption += f" Criterion: {criterion}."
    return caption, "Entropy, inverse temperature and energy against distance at constant energy."


@style.styled
def tap_figure(states: xarray.Dataset) -> Figure:
    """Draw the free energies of the TAP states, and their overlaps; from `lsg_ray.tap_states`."""
    figure, (left, right) = style.panels(2.8, 2)
    settled = states["converged"].values.astype(bool)
    f = states["f"].values[settled]
    if len(f):
        centre, width = f.mean(), max(np.ptp(f), 1e-4)
        # An odd number of bins, so that equal energies lie in the middle of one, not on an edge.
        edges = np.linspace(centre - width, centre + width, 62).tolist()
        left.hist(f, edges, color=style.ACCENT)
        for position in np.atleast_1d(states.attrs["peak_positions"]):
            left.axvline(position, color=style.CONTRAST, lw=1.0, ls=style.DASHED)
    left.xaxis.set_major_locator(style.round_ticks(4))
    title, starts = f"stationary points: {int(states.attrs['states']):,}", len(settled)
    x = "TAP free energy $f$ per weight (nat)"
    style.panel(left, "a", title, x, f"starts, of {starts:,}")
    _overlaps(right, states)
    return figure


def tap_caption(states: xarray.Dataset) -> tuple[str, str]:
    """Describe the number of stationary points, and their kinds."""
    about = states.attrs
    caption = (
        "Fixed points of the Thouless–Anderson–Palmer (TAP) equations, which are stationary points "
        f"of the TAP free energy, from {about['starts']:,} random starts, of which "
        f"{100 * about['converged']:.3g} % have converged. Distinct points: {about['states']:,} "
        f"(stable {about['stable_states']:,}, saddles {about['saddles']:,}, undetermined "
        f"{about['undetermined_states']:,}). (a) Free energies; dashed, peaks over minima: "
        f"{about['peaks']} ({about['peak_test']}). (b) Overlaps between different points; vertical "
        "lines, of points with themselves."
    )
    return caption, "Histogram of TAP free energies, and of overlaps between states."


def _overlaps(axes: Axes, states: xarray.Dataset) -> None:
    """Draw overlaps of different states, weighted by the numbers of starts that lead to them."""
    q, weight = states["overlap"].values, states["population"].values.astype(float)
    i, j = np.triu_indices(len(q), 1)
    if len(i):
        axes.hist(
            q[i, j],
            bins=np.linspace(-1, 1, 61).tolist(),
            weights=weight[i] * weight[j],
            color=style.ACCENT,
        )
    else:
        axes.text(
            0.5,
            0.5,
            "fewer than two states",
            ha="center",
            transform=axes.transAxes,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )
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
        "overlap": float(runs["equilibrium"].mean()),
        "energy": runs.attrs["equilibrium_energy"],
    }
    drawn = zip(figure.subplots(1, len(panels)), "abc", panels, strict=False)
    for panel, letter, (name, label) in drawn:
        values = runs[name].values
        panel.plot(sweeps, values[_chosen(len(values))].T, color=style.GREY, lw=0.4, alpha=0.5)
        style.band(panel, sweeps, values, style.ACCENT)
        if (level := levels.get(name)) is not None:
            panel.axhline(level, color=style.CONTRAST, lw=1.0, ls=style.DASHED)
            panel.annotate(
                "equilibrium",
                (0.03, level),
                (0, 2),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                color=style.CONTRAST,
            )
        panel.set_xscale("symlog", linthresh=1)
        panel.set_xlim(0, sweeps[-1])
        style.panel(panel, letter, x="sweeps", y=label)
    return figure


def dynamics_caption(runs: xarray.Dataset) -> tuple[str, str]:
    """Describe the share of trapped chains."""
    about = runs.attrs
    accuracy = ", and accuracy of the network on the test set" if "accuracy" in runs else ""
    caption = (
        f"Metropolis chains of the model from {runs.sizes['reference']} references "
        f"({about['chains']} for each): overlap with the start, energy{accuracy}; mean and "
        f"standard deviation over references. At the end {100 * about['trapped']:.3g} % are still "
        f"trapped, with a memory of the start above 0.2 (mean {about['memory']:.3f}). The "
        "autocorrelation time of the energy in the second half of the chains is "
        f"{about['energy_autocorrelation']:.2g} sweeps."
    )
    return caption, "Overlap with the reference, energy and accuracy against Monte Carlo sweeps."


@style.styled
def thermo_figure(curves: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw S(β) and C_v(β) of each model; from `lsg_ray.thermodynamics`."""
    figure, (left, right) = style.panels(2.8, 2)
    for n, (name, curve) in enumerate(curves.items()):
        colour = _colour(name, n)
        beta = curve["beta"].values
        for panel, variable in ((left, "s"), (right, "heat_capacity")):
            panel.errorbar(
                beta,
                curve[variable].values,
                curve[f"{variable}_stderr"].values,
                color=colour,
                lw=1.0,
                marker=".",
                ms=3,
                elinewidth=0.7,
                label=style.verbatim(name),
            )
        bethe = curve.attrs.get("s_bethe")
        if bethe is not None:
            left.plot(beta[-1], bethe, "o", mfc="white", mec=colour, ms=5, zorder=5)
    left.axhline(np.log(2), color=style.GREY, lw=0.8, ls=style.DASHED)
    cavity = any("s_bethe" in curve.attrs for curve in curves.values())
    left.legend(title="circles: cavity method" if cavity else None)
    style.panel(left, "a", "entropy", BETA, ENTROPY)
    style.panel(right, "b", "heat capacity", BETA, "heat capacity per weight")
    return figure


def thermo_caption(curves: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Describe the entropy of each model, and that of the cavity approximation."""
    numbers = "; ".join(
        f"{name} {curve.attrs['s']:.4f} ± {curve.attrs['s_stderr']:.4f} "
        f"(cavity {curve.attrs['s_bethe']:.4f})"
        for name, curve in curves.items()
    )
    caption = (
        "Entropy and heat capacity per weight against inverse temperature, by parallel tempering "
        f"from β = 0, without the cavity approximation. At β = 1: {numbers}. The cavity method is "
        "applied to the same model, and fails where correlations are strong."
    )
    if not all(curve.attrs["converged"] for curve in curves.values()):
        caption += " Not all chains have converged."
    return caption, "Entropy and heat capacity against inverse temperature."


def permutation_figure(effect: xarray.Dataset) -> Figure:
    """Draw scans of models with permuted fractions; from `lsg_ray.permutation_effect`."""
    scans = {f"p = {p:g}": effect.sel(fraction=p) for p in effect["fraction"].values.tolist()}
    return scan_figure(scans)
