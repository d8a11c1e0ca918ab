"""The stages: where each is declared, in which group it is found, and what it does in one line.

A module is loaded when its stage is used.  Installed packages add theirs by entry points of the
group ``lsg_ray.plugins``; a specification never names a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lsg_ray.errors import InputError
from lsg_ray.registry import declared, installed, loaded

if TYPE_CHECKING:
    from lsg_ray.stage import Stage

#: Groups of commands, in the order in which a person meets them.
GROUPS = (
    "sampling", "store", "statistics", "model", "entropy landscape", "loss landscape", "cluster",
    "project", "installed packages",
)  # fmt: skip


class Entry(NamedTuple):
    """Where a stage is declared, ``module:name``; its group; and what it does, in one line."""

    at: str
    group: str
    line: str


#: Stages of a specification; others read a store or a model.
OF_SPEC = ("sample", "pipeline")

STAGES: dict[str, Entry] = {
    "moments": Entry(
        "lsg_ray.statistics.moments:STAGE", "statistics",
        "m, C, connected C and third moments, with standard errors.",
    ),
    "overlaps": Entry(
        "lsg_ray.statistics.overlaps:STAGE", "statistics",
        "P(q) over all pairs or a sample, beside independent and random weights.",
    ),
    "distances": Entry(
        "lsg_ray.statistics.distances:STAGE", "statistics",
        "Hamming or Euclidean distances; neighbours, matrix.",
    ),
    "embed": Entry(
        "lsg_ray.statistics.maps:STAGE", "statistics",
        "Map of the configurations, by t-SNE or principal components.",
    ),
    "cluster": Entry(
        "lsg_ray.statistics.clustering:STAGE", "statistics",
        "Distances after reordering of hidden units: Gaussian fit, modes, tree.",
    ),
    "node-distances": Entry(
        "lsg_ray.statistics.before_after:STAGE", "statistics",
        "Distances before and after removal of the node-permutation symmetry.",
    ),
    "labels": Entry(
        "lsg_ray.statistics.symmetry:LABELS", "statistics",
        "Labels of the order of hidden units, and which configurations repeat.",
    ),
    "canonicalize": Entry(
        "lsg_ray.statistics.symmetry:CANONICALIZE", "statistics",
        "Store with hidden units in canonical order.",
    ),
    "permute": Entry(
        "lsg_ray.statistics.symmetry:PERMUTE", "statistics",
        "Store with random node permutations of a fraction mixed in.",
    ),
    "replicas": Entry(
        "lsg_ray.statistics.replicas:STAGE", "statistics",
        "P(q) and ultrametricity of networks, beside nulls.",
    ),
    "model-replicas": Entry(
        "lsg_ray.ising.replicas:STAGE", "statistics",
        "The same of replicas of an effective model.",
    ),
    "sk": Entry(
        "lsg_ray.ising.sk:STAGE", "statistics",
        "The same of the Sherrington-Kirkpatrick model.",
    ),
    "walk": Entry(
        "lsg_ray.landscape.walks:STAGE", "loss landscape",
        "Random walks from solutions: loss along them, width of the flat region.",
    ),
    "interpolate": Entry(
        "lsg_ray.landscape.interpolation:STAGE", "loss landscape",
        "Loss on straight paths between solutions, and the barriers.",
    ),
    "swaps": Entry(
        "lsg_ray.landscape.interpolation:SWAPS", "loss landscape",
        "Barriers between copies with k pairs of hidden nodes swapped.",
    ),
    "flatness": Entry(
        "lsg_ray.landscape.flatness:STAGE", "loss landscape",
        "Curvature of solutions, and the rise of the loss around them.",
    ),
    "compare": Entry(
        "lsg_ray.landscape.comparison:STAGE", "loss landscape",
        "Minima of two ensembles, pair by pair: small against large batches.",
    ),
    "surface": Entry(
        "lsg_ray.landscape.surface:STAGE", "loss landscape",
        "Loss on a plane through a solution.",
    ),
    "fit": Entry(
        "lsg_ray.ising.fit:STAGE", "model",
        "Effective Ising model (J, h), checked by independent Monte Carlo.",
    ),
    "check": Entry(
        "lsg_ray.ising.checks:STAGE", "model",
        "Three-body correlations, and energies of the configurations against accuracy.",
    ),
    "references": Entry(
        "lsg_ray.ising.checks:CHOICE", "model",
        "Configurations of low, medium and high energy under a model.",
    ),
    "scan": Entry(
        "lsg_ray.ising.entropy:STAGE", "entropy landscape",
        "Entropy s(d) around references by the cavity method: smooth, or first-order?",
    ),
    "anneal": Entry(
        "lsg_ray.ising.annealing:STAGE", "entropy landscape",
        "The same by Monte Carlo, where the cavity method fails.",
    ),
    "iso-energy": Entry(
        "lsg_ray.ising.isoenergy:STAGE", "entropy landscape",
        "s, β and e against d at the energy of each reference.",
    ),
    "tap": Entry(
        "lsg_ray.ising.tap:STAGE", "entropy landscape",
        "States of a model: fixed points of the TAP equations from random starts.",
    ),
    "mc": Entry(
        "lsg_ray.ising.dynamics:STAGE", "entropy landscape",
        "Monte Carlo from references: do they escape, or are they trapped?",
    ),
    "thermo": Entry(
        "lsg_ray.ising.thermodynamics:STAGE", "entropy landscape",
        "S(β) and C_v(β) by parallel tempering, without the cavity approximation.",
    ),
    "symmetry": Entry(
        "lsg_ray.ising.symmetry:STAGE", "entropy landscape",
        "Landscapes of ensembles with permuted fractions.",
    ),
}  # fmt: skip


def _plugins() -> dict[str, Stage]:
    """Return stages of installed packages, by name."""
    if not installed():
        return {}
    from lsg_ray.stage import Stage

    return declared(Stage)


def all_stages() -> dict[str, tuple[str, str]]:
    """Return the group of each stage, and what it does; without loading those of this package."""
    ours = {name: (entry.group, entry.line) for name, entry in STAGES.items()}
    others = {name: ("installed packages", stage.help) for name, stage in _plugins().items()}
    return others | ours


def job_stages() -> tuple[str, ...]:
    """Return what can be submitted as a job."""
    return (*OF_SPEC, *all_stages())


def stage_of(name: str) -> Stage:
    """Return a stage.

    Raises
    ------
    InputError
        There is none of that name; those that there are, are named.
    """
    if name in STAGES:
        found: Stage = loaded(STAGES[name].at)
        return found
    if name not in _plugins():
        raise InputError(f"{name[:64]!r} is no stage; there are {', '.join(all_stages())}")
    return _plugins()[name]
