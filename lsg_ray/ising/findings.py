"""What reports say first of effective models, their entropy landscapes, states and dynamics."""

from __future__ import annotations

import math

import numpy as np
import xarray

from lsg_ray.finding import CONVERGED_SHARE, Finding, Times, share_text, with_error
from lsg_ray.ising.field_scans import SCAN_FIELDS
from lsg_ray.ising.hysteresis import VERDICT

#: Verdicts on an entropy landscape, in words.
_VERDICTS = {
    "smooth": "the entropy landscape is smooth, without a first-order transition",
    "first-order": "the entropy landscape is broken by a first-order transition",
}
#: Standard errors of the heat capacity beyond which the cavity method is not accurate.
_FAR = 5
_UNDETERMINED = "whether the entropy landscape is smooth is undetermined"


def fit_findings(model: xarray.Dataset) -> list[Finding]:
    """Say how near the moments of a model are to those of the ensemble."""
    about = model.attrs
    name = f"The effective model of {model.sizes['weight']:,} weights ({about['method']})"
    text = f"{name} was not compared with the correlations of the ensemble."
    alone = (
        f", where independent weights are off by {about['delta_independent']:.2g} in m and C"
        if "delta_independent" in about
        else ""
    )
    if "excess_C" in about:
        error = with_error(about["excess_C"], about["excess_C_stderr"])
        text = (
            f"{name} has the correlations C of the ensemble up to {error} (root mean square, by "
            f"new Monte Carlo chains, without their noise){alone}."
        )
    elif "rms_C_method" in about:
        text = (
            f"{name} has the correlations C of the ensemble up to {about['rms_C_method']:.2g} "
            f"(root mean square, by the method's own moments){alone}."
        )
    if about.get("converged", 1):
        return [Finding(text)]
    reason = ": ".join(filter(None, ["the fit has not converged", str(about.get("reason", ""))]))
    if not about.get("mc_converged", 1) and about["method"] == "pcd":  # the model traps chains
        return [Finding(text, reason, {"method": "tempered"})]
    # Of a fit without a limit, the time that it took is one.
    remedy = {"seconds": max(60, 4 * math.ceil(about.get("seconds", 15)))}
    return [Finding(text, reason, remedy if about["method"] in ("pcd", "tempered") else {})]


def scan_findings(scan: xarray.Dataset) -> list[Finding]:
    """Say whether an entropy landscape is smooth, and the entropy without a field."""
    return [_landscape(scan, f"Around {_references(scan)}"), _entropy(scan)]


def iso_findings(curve: xarray.Dataset) -> list[Finding]:
    """Say whether the landscape at constant energy is smooth, and where it exists."""
    about = curve.attrs
    finding = _landscape(curve, f"At the energy of {_references(curve)}")
    low, high = about["betas"]
    text = (
        f" A temperature of that energy, between β = {low:g} and {high:g}, exists at "
        f"{share_text(about['exists'])} of the fields."
    )
    if about["exists"] == 0 and about["failed"] == 0:
        why = f"no temperature between β = {low:g} and {high:g} has the energy of a reference"
        wider = {"betas": (low / 2, high * 2)}
        return [finding._replace(text=finding.text + text, open=why, remedy=wider)]
    return [finding._replace(text=finding.text + text)]


def _references(scan: xarray.Dataset) -> str:
    count = scan.sizes["reference"]
    return f"{count} references" if count > 1 else "one reference"


def _landscape(scan: xarray.Dataset, where: str) -> Finding:
    """Return the verdict on a scan, or why there is none."""
    about = scan.attrs
    gap = about["hysteresis"]
    text = f"{where}, {_VERDICTS.get(about['verdict'], _UNDETERMINED)}"
    if np.isfinite(gap):
        text += f"; the two directions of the field differ by up to {gap:.2g} in d"
    finding = Finding(f"{text}.", criterion=str(about.get("criterion", "")))
    stable = about.get("stable", 1.0)
    if about["verdict"] in _VERDICTS and stable < CONVERGED_SHARE:
        text += f"; only {share_text(stable)} of the solutions are stable"
        return finding._replace(text=f"{text}.")
    if about["verdict"] in _VERDICTS:
        return finding
    by_messages = about["method"] == "bp"
    if about["converged"] < CONVERGED_SHARE:
        why = f"only {share_text(about['converged'])} of the solutions have converged"
        sweeps = {"max_sweeps": Times()} if by_messages else {"burn_in": Times(), "draws": Times()}
        return finding._replace(open=why, remedy=sweeps)
    if stable < CONVERGED_SHARE:
        share = share_text(stable)
        why = f"only {share} of the solutions are stable; elsewhere the cavity approximation fails"
        # At one energy no other method is known here.
        return finding._replace(open=why, by="anneal" if "s0" in about else "")
    if about.get("unexplained_step", 0.0) > VERDICT.gap:
        why = (
            f"a step of {about['unexplained_step']:.2g} in d from one field to the next is not "
            "explained by its slopes"
        )
        return finding._replace(open=why, remedy={"refine": 2})
    why = f"there are fewer than {VERDICT.min_fields} fields of both signs with a solution"
    return finding._replace(open=why, remedy={"fields": SCAN_FIELDS})


def _entropy(scan: xarray.Dataset) -> Finding:
    """Return the entropy of a model without a field."""
    about = scan.attrs
    by_messages = about["method"] == "bp"
    s = (
        f"{about['s0']:.5f} nat per weight by the cavity method, an approximation without "
        "sampling error"
        if by_messages
        else f"{with_error(about['s0'], about['s0_stderr'], 'nat')} per weight by Monte Carlo"
    )
    text = f"Without a field the entropy is {s}; that of free weights is {np.log(2):.5f}."
    if not about.get("s0_converged", 1):
        sweeps = {"max_sweeps": Times()} if by_messages else {"burn_in": Times(), "draws": Times()}
        return Finding(text, "the entropy without a field has not converged", sweeps)
    if not about.get("s0_stable", 1):
        why = "the solution without a field is unstable: its entropy may be far off"
        if about["s0"] < 0:
            why = "an entropy of ±1 weights is not below zero: the cavity method fails here"
        return Finding(text, why, by="anneal")
    return Finding(text)


def thermo_findings(curve: xarray.Dataset) -> list[Finding]:
    """Say what the entropy is by the heat capacity, and beside it by the cavity method."""
    about = curve.attrs
    s, error = about["s"], about["s_stderr"]
    text = f"By the heat capacity the entropy is {with_error(s, error, 'nat')} per weight"
    bethe = about.get("s_bethe")
    if bethe is not None and np.isfinite(bethe):
        text += f"; the cavity method gives {bethe:.5f}"
        far = abs(bethe - s) / error if error > 0 and np.isfinite(error) else np.nan
        if np.isfinite(far):
            text += f", {far:.1f} standard errors away"
        if not about.get("s_bethe_stable", 1):
            text += " (unstable)"
        elif far > _FAR:
            text += ", so it is not accurate for this model"
    text += "."
    if about["converged"]:
        return [Finding(text)]
    why = f"the chains have not converged (largest R̂ {about['rhat_max']:.3g})"
    return [Finding(text, why, {"burn_in": Times(), "draws": Times()})]


def dynamics_findings(runs: xarray.Dataset) -> list[Finding]:
    """Say how many references trap the chains that start from them."""
    about, count = runs.attrs, runs.sizes["reference"]
    trapped = round(about["trapped"] * count)
    memory = about["memory"]
    text = (
        f"After {runs.sizes['sweep'] - 1:,} sweeps, the chains from {trapped} of {count} "
        "references still remember their start (memory above 0.2)"
    )
    if np.isfinite(memory):
        text += f"; the mean memory is {memory:.3f}"
    text += "."
    if not about.get("equilibrium_converged", 1):
        why = "the overlap in equilibrium, which memories are measured from, has not converged"
        return [Finding(text, why, {"sweeps": Times()})]
    if not np.isfinite(memory):
        return [Finding(text, "memories are within their noise", {"chains": Times()})]
    return [Finding(text)]


def tap_findings(states: xarray.Dataset) -> list[Finding]:
    """Say how many states a model has."""
    about = states.attrs
    text = (
        f"From {about['starts']:,} random starts the TAP equations come to {about['states']:,} "
        f"distinct solution{'s' if about['states'] != 1 else ''}: {about['stable_states']:,} "
        f"stable, {about['saddles']:,} saddles."
    )
    finding = Finding(text, criterion=str(about.get("criterion", "")))
    if about["converged"] < CONVERGED_SHARE:
        why = f"only {share_text(about['converged'])} of the starts have converged"
        return [finding._replace(open=why, remedy={"max_iterations": Times()})]
    if count := about["undetermined_states"]:
        why = f"an eigenvalue of {count:,} solutions is zero within its error"
        return [finding._replace(open=why, remedy={"tolerance": Times(1e-3)})]
    return [finding]
