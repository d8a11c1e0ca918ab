"""The studies of the two papers, which `lsg run` computes of a specification without one.

Of ±1 weights: moments, overlaps, distances, a map; two models of each part of the network and of
all of it, one by the cavity method, with which belief propagation is consistent, for entropy scans,
constant-energy curves and TAP states, and one by persistent chains, which has the ensemble's
moments, for the entropy by the heat capacity and for Monte Carlo dynamics.  Of real weights: walks,
paths, permuted copies, curvature, clusters, and overlaps beside those of the SK model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.networks.alignment import ALIGNMENTS
from lsg_ray.registry import loaded
from lsg_ray.spec.steps import Step, parse_study
from lsg_ray.statistics.maps import MAP


@dataclass(frozen=True)
class IsingStudy:
    """Sizes of the study of ±1 weights."""

    #: Fewest configurations, and most weights: a model has N² couplings.
    min_configurations: int = 50
    max_weights: int = 2000
    #: Most weights of moments with correlations; beyond, patterns in place of these.
    max_correlations: int = 10_000
    #: Configurations for overlaps of all pairs, and points of the map.
    overlap_configurations: int = 20_000
    points: int = 500
    #: References of each group: of scans and dynamics, and of constant-energy curves.
    references: int = 4
    iso_references: int = 1
    iso_fields: tuple[float, ...] = tuple(round(0.2 * k, 10) for k in range(-15, 16))
    #: How far cavity models stay from the border of stability: at it, small fields have two
    #: solutions.
    margin: float = 0.05
    #: Starts of the TAP equations; ladders, burn-in and draws of the heat capacity.
    starts: int = 500
    ladders: int = 8
    burn_in: int = 150
    draws: int = 100


@dataclass(frozen=True)
class SolutionStudy:
    """Sizes of the study of real weights."""

    #: Fewest solutions: overlaps need four beside the one that others are matched to.
    min_solutions: int = 5
    #: Solutions that walks start from, that are copied with swapped nodes, and whose curvature is
    #: computed; pairs of solutions that are joined by paths.
    starts: int = 5
    copies: int = 3
    curved: int = 10
    pairs: int = 6
    #: Step sizes and steps of walks; fewer where each draws forty moves, on fewer examples.
    sigmas: tuple[float, ...] = (0.003, 0.01, 0.03)
    steps: int = 100
    constrained_sigmas: tuple[float, ...] = (0.001, 0.003)
    constrained_steps: int = 20
    constrained_starts: int = 2
    constrained_examples: int = 5_000
    #: Points of the loss surface, in each direction; solutions whose overlaps are taken.
    points: int = 21
    replicas: int = 64
    #: The SK model for comparison of overlaps: spins, temperatures, replicas.
    sk_spins: int = 128
    sk_temperatures: tuple[float, ...] = (0.3, 1.5)
    sk_replicas: int = 32


#: Reason why there are no models or walks, if they were not asked for.
SKIPPED = "Not computed for this report."


class Default(NamedTuple):
    """The default study: its steps, and for others, by name, why they are left out."""

    steps: dict[str, Step]
    left_out: dict[str, str]


def default_study(ensemble: Ensemble, landscape: bool = True) -> Default:
    """Return the default study of an ensemble, which its family of networks names.

    Parameters
    ----------
    ensemble
        Sampled ensemble; its size decides what can be computed.
    landscape
        Whether to include models, or walks and the like, which take minutes.
    """
    study: Default = loaded(ensemble.header.family.study)(ensemble, landscape)
    return study


def of_statistics(ensemble: Ensemble, landscape: bool) -> Default:
    """Return the study of weights of any family."""
    del landscape
    pairs = "overlaps" if ensemble.signs else "distances"
    return Default(parse_study({**_moments(ensemble, IsingStudy()), pairs: {}}), {})


def of_signs(ensemble: Ensemble, landscape: bool, size: IsingStudy | None = None) -> Default:
    """Return the study of ±1 weights."""
    size = size or IsingStudy()
    steps: dict[str, Any] = {
        **_moments(ensemble, size),
        "overlaps": {"configurations": size.overlap_configurations},
        "distances": {"stage": "node-distances"},
    }
    left_out = {}
    if ensemble.n_rows >= MAP.min_points:
        steps["map"] = {"stage": "embed", "configurations": size.points, "starts": True}
    else:
        left_out["map"] = _too_few(MAP.min_points, "configurations", ensemble)
    reason = "" if landscape else SKIPPED
    if ensemble.n_rows < size.min_configurations:
        reason = _too_few(size.min_configurations, "configurations", ensemble)
    elif ensemble.n_weights > size.max_weights:
        reason = f"Models of up to {size.max_weights:,} weights; there are {ensemble.n_weights:,}."
    if reason:
        return Default(parse_study(steps), {**left_out, "entropy landscape": reason})
    parts = list(ensemble.spec.network.parts)
    fit = {"stage": "fit", "moments": "moments"}
    for part in [*(parts if len(parts) > 1 else []), "full"]:
        steps |= {
            f"model-{part}": {**fit, "part": part},
            f"cavity-{part}": {
                **fit,
                "part": part,
                "method": "bp",
                "margin": size.margin,
                "verify": False,
            },
            f"scan-{part}": {"stage": "scan", "model": f"cavity-{part}", "count": size.references},
            f"thermo-{part}": {
                "stage": "thermo",
                "model": f"model-{part}",
                "ladders": size.ladders,
                "burn_in": size.burn_in,
                "draws": size.draws,
            },
        }
    steps |= {
        "iso": {
            "stage": "iso-energy",
            "model": "cavity-full",
            "fields": list(size.iso_fields),
            "count": size.iso_references,
        },
        "tap": {"model": "cavity-full", "starts": size.starts},
        "dynamics": {"stage": "mc", "model": "model-full", "count": size.references},
    }
    return Default(parse_study(steps), left_out)


def _moments(ensemble: Ensemble, size: IsingStudy) -> dict[str, Any]:
    """Return the steps of moments; of too many weights for N × N, patterns for correlations."""
    if ensemble.n_weights <= size.max_correlations:
        return {"moments": {}}
    if not ensemble.signs:
        return {"moments": {"correlations": False}}
    patterns: dict[str, Any] = (
        {"low-rank": {}} if ensemble.n_rows >= size.min_configurations else {}
    )
    return {"moments": {"correlations": False}, **patterns}


def of_solutions(ensemble: Ensemble, landscape: bool, size: SolutionStudy | None = None) -> Default:
    """Return the study of real weights."""
    size, count = size or SolutionStudy(), ensemble.n_rows
    if not landscape or count < size.min_solutions:
        reason = _too_few(size.min_solutions, "solutions", ensemble) if landscape else SKIPPED
        return Default({}, {"loss landscape": reason})
    first = int(ensemble.column("configuration")[0])
    steps: dict[str, Any] = {
        "walks": {
            "stage": "walk",
            "sigma": list(size.sigmas),
            "steps": size.steps,
            "configurations": min(size.starts, count),
        },
        "constrained": {
            "stage": "walk",
            "kind": "constrained",
            "sigma": list(size.constrained_sigmas),
            "steps": size.constrained_steps,
            "examples": size.constrained_examples,
            "configurations": min(size.constrained_starts, count),
        },
        **{
            f"paths-{name}": {"stage": "interpolate", "pairs": size.pairs, "alignment": str(name)}
            for name in ALIGNMENTS
        },
        "swaps": {"configurations": min(size.copies, count)},
        "curvature": {"stage": "flatness", "configurations": min(size.curved, count)},
        "surface": {"configuration": first, "points": size.points},
        **{
            f"clusters-{name}": {"stage": "cluster", "alignment": name}
            for name in ("clustering", "matching")
        },
        "replicas": {"replicas": size.replicas},
        **{
            f"sk-{temperature:g}": {
                "stage": "sk",
                "n": size.sk_spins,
                "replicas": size.sk_replicas,
                "temperature": temperature,
                "temperatures": list(size.sk_temperatures),
            }
            for temperature in size.sk_temperatures
        },
    }
    return Default(parse_study(steps), {})


def _too_few(minimum: int, what: str, ensemble: Ensemble) -> str:
    return f"Needs at least {minimum} {what}; there are {ensemble.n_rows:,}."
