"""What reports say first of moments, overlaps, distances and replicas."""

from __future__ import annotations

import numpy as np
import xarray

from lsg_ray.finding import CONVERGED_SHARE, Finding, Times, share_text, with_error
from lsg_ray.results.saving import names_of

#: Standard errors by which two numbers differ.
_SIGMAS = 2.0


def moments_findings(moments: xarray.Dataset) -> list[Finding]:
    """Say how strongly weights are magnetized, and how many are constant."""
    m, error = np.abs(moments["m"].values), float(moments["m_stderr"].max())
    frozen = int((m == 1).sum())
    text = (
        f"The mean magnetization |m| of {m.size:,} weights is {m.mean():.4f}, each m with a "
        f"standard error of {error:.2g} at most; {frozen or 'none'} of them "
        f"{'is' if frozen < 2 else 'are'} constant."
    )
    if np.isfinite(error):
        return [Finding(text)]
    return [Finding(text, "errors of m are unknown", {"ensemble.count": Times()})]


def overlaps_findings(overlaps: xarray.Dataset) -> list[Finding]:
    """Say whether overlaps spread more than those of independent weights."""
    about = overlaps.attrs
    if "mean" not in about:  # of each reference
        means = overlaps["mean"].values
        text = f"The mean overlap of {about['configurations']:,} configurations with a reference is"
        some = f"from {means.min():.4f} to {means.max():.4f} for {len(means):,} of these"
        return [Finding(f"{text} {some if len(means) > 1 else format(means[0], '.4f')}.")]
    mean = with_error(about["mean"], about.get("mean_stderr"))
    width, error = about["std"], about.get("std_stderr", np.nan)
    text = f"The mean overlap of two configurations is {mean}, its width {with_error(width, error)}"
    independent = about.get("independent_std")
    if independent is None or not np.isfinite(error) or error <= 0:
        return [Finding(f"{text}.")]
    z = (width - independent) / error
    words = "as wide as" if abs(z) < _SIGMAS else "wider than" if z > 0 else "narrower than"
    text += f": {words} that of independent weights of the same m, {independent:.4g} ({z:+.1f} σ)."
    close = 1 < abs(z) < 2 * _SIGMAS
    why = f"the difference of the widths is {abs(z):.1f} standard errors" if close else ""
    return [Finding(text, why, {"ensemble.count": Times()} if close else {})]


def node_distances_findings(effect: xarray.Dataset) -> list[Finding]:
    """Say how much the node symmetry adds to the distances of configurations."""
    means = effect["mean"].sel(part="all")
    by_form = "; ".join(
        f"{form} {float(means.sel(form=form)):.4f}" for form in names_of(effect["form"])
    )
    return [Finding(f"The mean Hamming distance of two configurations, per weight: {by_form}.")]


def cluster_findings(clusters: xarray.Dataset) -> list[Finding]:
    """Say whether distances after alignment are those of one cluster."""
    about = clusters.attrs
    mean = with_error(about["mean"], about.get("mean_stderr"))
    text = f"After alignment ({about['alignment']}) the mean distance of two networks is {mean}"
    if "mean_before" in about:
        text += f", before it {about['mean_before']:.4g}"
    p, modes = (float(about.get(name, np.nan)) for name in ("gaussian_p_value", "modes"))
    if np.isfinite(modes):
        text += f"; modes: {modes:g}"
    if np.isfinite(p):
        verdict = "accepted" if about.get("gaussian_accepted") else "rejected"
        return [Finding(f"{text}; one normal law of distances is {verdict} (p = {p:.2g}).")]
    why = "there are too few networks for a test of one normal law of distances"
    return [Finding(f"{text}.", why, {"ensemble.count": Times()})]


def replicas_findings(result: xarray.Dataset) -> list[Finding]:
    """Say how overlaps of replicas spread, and whether they are ultrametric, beside nulls."""
    about, parts = result.attrs, []
    names = {"second_moment": "⟨q²⟩", "ultrametricity": "the ultrametricity index K"}
    nulls = names_of(result["null"])
    for name, words in names.items():
        if name not in result:
            continue
        error = float(result[f"{name}_stderr"]) if f"{name}_stderr" in result else None
        beside = ", ".join(
            f"{z:+.1f} σ from {null}"
            for null, z in zip(nulls, result[f"{name}_z"].values.tolist(), strict=True)
            if np.isfinite(z)
        )
        parts.append(
            f"{words} is {with_error(float(result[name]), error)}{f' ({beside})' if beside else ''}"
        )
    text = f"Of {about['replicas']:,} replicas, {'; '.join(parts)}."
    share = float(about.get("converged", 1))
    if share >= CONVERGED_SHARE:
        return [Finding(text)]
    why = "the chains have not converged"
    if 0 < share < 1:
        why = f"only {share_text(share)} of the chains have converged"
    return [Finding(text, why, {"burn_in": Times(), "draws": Times()})]
