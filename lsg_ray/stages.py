"""The stages: where each is declared, its group, and what it does in one line.

A module is loaded when its stage is used.  Installed packages add theirs by entry points of the
group ``lsg_ray.plugins``; a specification never names a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lsg_ray.registry import Registry

if TYPE_CHECKING:
    from lsg_ray.stage import Stage

#: Groups of commands, in the order of the help.
GROUPS = (
    "sampling",
    "store",
    "statistics",
    "model",
    "entropy landscape",
    "loss landscape",
    "wide flat minima",
    "neurons as spins",
    "cluster",
    "project",
    "installed packages",
)
#: Stages that take a specification; others read a store or a model.
OF_SPEC = ("sample", "pipeline")

#: By group and name: where a stage is declared, ``module:name``, and what it does, in one line.
_BY_GROUP = {
    "statistics": {
        "moments": ("lsg_ray.statistics.moments:STAGE",
            "Magnetizations m, correlations C and third moments, with standard errors."),
        "cross-moments": ("lsg_ray.statistics.cross_moments:STAGE",
            "Correlations between chosen weights and others, without N × N."),
        "overlaps": ("lsg_ray.statistics.overlaps:STAGE",
            "Overlap distribution P(q) of all pairs or a sample, beside independent weights."),
        "distances": ("lsg_ray.statistics.distances:STAGE",
            "Histogram of Hamming or Euclidean distances; nearest neighbours, matrix."),
        "sign-consistency": ("lsg_ray.statistics.sign_consistency:STAGE",
            "Share of weights of equal sign, of all pairs, in total and by layer."),
        "learning": ("lsg_ray.statistics.learning_curves:STAGE",
            "Loss and accuracy of networks by epoch of training, and their fluctuation."),
        "width-scan": ("lsg_ray.statistics.width_scan:STAGE",
            "Training and test error of networks over their width; peaks (double descent)."),
        "embed": ("lsg_ray.statistics.maps:STAGE",
            "Two-dimensional map of configurations, by t-SNE or principal components."),
        "cluster": ("lsg_ray.statistics.clustering:STAGE",
            "Distances after reordering of hidden units: Gaussian fit, modes, tree."),
        "node-distances": ("lsg_ray.statistics.before_after:STAGE",
            "Distances before and after removal of the node-permutation symmetry."),
        "labels": ("lsg_ray.statistics.node_symmetry:LABELS",
            "Order of the hidden units of configurations, and which of these repeat."),
        "canonicalize": ("lsg_ray.statistics.node_symmetry:CANONICALIZE",
            "Store with hidden units in canonical order."),
        "permute": ("lsg_ray.statistics.node_symmetry:PERMUTE",
            "Store in which hidden units of a fraction are randomly permuted."),
        "replicas": ("lsg_ray.statistics.replicas:STAGE",
            "Overlaps P(q) and ultrametricity of networks, beside null models."),
        "model-replicas": ("lsg_ray.ising.model_replicas:STAGE",
            "Overlaps P(q) and ultrametricity of replicas of an effective model."),
        "sk": ("lsg_ray.ising.sk:STAGE",
            "Overlaps P(q) and ultrametricity of the Sherrington-Kirkpatrick model."),
    },
    "loss landscape": {
        "walk": ("lsg_ray.loss_landscape.walks:STAGE",
            "Random walks from solutions: loss along them, width of the flat region."),
        "interpolate": ("lsg_ray.loss_landscape.interpolation:STAGE",
            "Loss on straight paths between solutions, and the barriers."),
        "swaps": ("lsg_ray.loss_landscape.interpolation:SWAPS",
            "Barriers between copies with k pairs of hidden units swapped."),
        "flatness": ("lsg_ray.loss_landscape.flatness:STAGE",
            "Curvature of solutions, and the rise of the loss around them."),
        "compare": ("lsg_ray.loss_landscape.comparison:STAGE",
            "Minima of two ensembles, pair by pair: small against large batches."),
        "surface": ("lsg_ray.loss_landscape.surface:STAGE", "Loss on a plane through a solution."),
        "curves": ("lsg_ray.loss_landscape.curves.curves:STAGE",
            "Types of loss curves (v-basin, w-peak, …) along directions by construction."),
        "mine-curves": ("lsg_ray.loss_landscape.curves.mined:STAGE",
            "Directions in which the loss has a given shape: five curves, saddle, bottle."),
        "slice-topology": ("lsg_ray.loss_landscape.curves.slices:STAGE",
            "Minima and saddles of the loss on planes, and their merge tree."),
        "valley-asymmetry": ("lsg_ray.loss_landscape.valleys.asymmetry:STAGE",
            "Asymmetry of the loss along directions whose signs are like those of the weights."),
        "sign-barrier": ("lsg_ray.loss_landscape.valleys.sign_barrier:STAGE",
            "Barriers between solutions against the signs that they share; fusion of pairs."),
    },
    "model": {
        "fit": ("lsg_ray.ising.fit:STAGE",
            "Effective Ising model (J, h), checked by independent Monte Carlo."),
        "low-rank": ("lsg_ray.ising.low_rank:STAGE",
            "Effective model of a few patterns, for up to 10⁵ weights, and its entropy."),
        "check": ("lsg_ray.ising.checks:STAGE",
            "Three-body correlations, and energies of the configurations against accuracy."),
        "references": ("lsg_ray.ising.checks:CHOICE",
            "Configurations of low, medium and high energy under a model."),
    },
    "entropy landscape": {
        "scan": ("lsg_ray.ising.entropy:STAGE",
            "Entropy s(d) around references by the cavity method: first-order or not."),
        "anneal": ("lsg_ray.ising.annealing:STAGE",
            "Entropy s(d) by Monte Carlo, where the cavity method fails."),
        "iso-energy": ("lsg_ray.ising.isoenergy:STAGE",
            "Entropy s(d) at constant energy, that of each reference."),
        "tap": ("lsg_ray.ising.tap:STAGE",
            "States of a model: fixed points of the TAP equations from random starts."),
        "mc": ("lsg_ray.ising.dynamics:STAGE",
            "Monte Carlo dynamics from references: escape or trapping."),
        "thermo": ("lsg_ray.ising.thermodynamics:STAGE",
            "S(β) and C_v(β) by parallel tempering, without the cavity approximation."),
        "symmetry": ("lsg_ray.ising.permuted_models:STAGE",
            "Entropy landscapes of ensembles with permuted fractions."),
    },
    "wide flat minima": {
        "local-entropy": ("lsg_ray.minima.local_entropy:STAGE",
            "Local entropy around solutions of ±1 weights, by belief propagation."),
        "spherical-local-entropy": ("lsg_ray.minima.spherical_local_entropy:STAGE",
            "Local entropy around solutions on the sphere, by belief propagation."),
        "hessian": ("lsg_ray.minima.hessian:STAGE",
            "Curvature of the smooth network in place of one of signs."),
        "local-energy": ("lsg_ray.minima.local_energy:LOCAL_ENERGY",
            "Errors under noise on the weights."),
        "input-robustness": ("lsg_ray.minima.local_energy:INPUT_ROBUSTNESS",
            "Errors under noise on the inputs."),
        "flatness-table": ("lsg_ray.minima.flatness_table:STAGE",
            "All measures of flatness by algorithm, and their rank correlations."),
        "replica-entropy": ("lsg_ray.minima.replica_entropy:STAGE",
            "Entropy of solutions of random patterns and capacity, by replica theory."),
        "dense-regions": ("lsg_ray.minima.dense_regions:STAGE",
            "Entropy of the densest regions of solutions, by replica theory."),
        "cross-entropy-landscape": ("lsg_ray.minima.cross_entropy_landscape:STAGE",
            "Solutions around minimizers of the cross entropy, by replica theory."),
    },
    "neurons as spins": {
        "melting": ("lsg_ray.neuron_spins.melting:STAGE",
            "Glass and melting temperatures of the units of networks, along training."),
        "bond-spectrum": ("lsg_ray.neuron_spins.spectrum:STAGE",
            "Spectrum of the couplings between units: bulk, outliers, rich or lazy."),
        "neuron-tap": ("lsg_ray.neuron_spins.census:STAGE",
            "Census of TAP solutions of the units, trained, untrained and shuffled."),
        "neuron-mc": ("lsg_ray.neuron_spins.monte_carlo:STAGE",
            "Equilibrium of the units by heat bath: overlaps by layer, P(q), order."),
    },
}  # fmt: skip


class Entry(NamedTuple):
    """Where a stage is declared, ``module:name``; its group; and what it does, in one line."""

    path: str
    group: str
    line: str


STAGES = {
    name: Entry(path, group, line)
    for group, stages in _BY_GROUP.items()
    for name, (path, line) in stages.items()
}
_REGISTRY: Registry[Stage] = Registry(
    "stage", "lsg_ray.stage:Stage", {name: entry.path for name, entry in STAGES.items()}
)


def all_stages() -> dict[str, tuple[str, str]]:
    """Return the group of each stage, and what it does; without loading those of this package."""
    builtin = {name: (entry.group, entry.line) for name, entry in STAGES.items()}
    plugins = _REGISTRY.plugins().items()
    return {name: ("installed packages", stage.help) for name, stage in plugins} | builtin


def job_stages() -> tuple[str, ...]:
    """Return what can be submitted as a job."""
    return (*OF_SPEC, *all_stages())


def stage_of(name: str) -> Stage:
    """Return a stage.

    Raises
    ------
    InputError
        The name is unknown; the message lists the known ones.
    """
    return _REGISTRY[name]
