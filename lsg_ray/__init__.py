"""lsg-ray: sample neural-network weight configurations and measure the geometry of weight space.

    import lsg_ray

    spec = lsg_ray.load_spec("spec.yaml")
    lsg_ray.sample(spec, "ensemble.zarr", workers=2)
    ensemble = lsg_ray.open_ensemble("ensemble.zarr")
    moments = lsg_ray.moments(ensemble.part("LB"))

Names load where they are first used, so that importing the package is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_PUBLIC = {
    "Spec": "lsg_ray.spec",
    "load_spec": "lsg_ray.spec",
    "load_dataset": "lsg_ray.datasets",
    "sample": "lsg_ray.cluster.sample",
    "Ensemble": "lsg_ray.ensemble.reader",
    "open_ensemble": "lsg_ray.ensemble.reader",
    "query": "lsg_ray.ensemble.query",
    "verify": "lsg_ray.ensemble.verify",
    "moments": "lsg_ray.statistics.moments",
    "overlaps": "lsg_ray.statistics.overlaps",
    "distances": "lsg_ray.statistics.distances",
    "canonicalize": "lsg_ray.statistics.symmetry",
    "permute": "lsg_ray.statistics.symmetry",
    "node_symmetry": "lsg_ray.statistics.symmetry",
    "embed": "lsg_ray.statistics.maps",
    "clustering": "lsg_ray.statistics.clustering",
    "flat_clusters": "lsg_ray.statistics.hierarchy",
    "match_weights": "lsg_ray.networks.symmetry",
    "IsingModel": "lsg_ray.ising.model",
    "load_model": "lsg_ray.ising.model",
    "sample_model": "lsg_ray.ising.montecarlo",
    "fit_boltzmann": "lsg_ray.ising.boltzmann",
    "entropy_scan": "lsg_ray.ising.entropy",
    "anneal_scan": "lsg_ray.ising.annealing",
    "iso_energy": "lsg_ray.ising.isoenergy",
    "tap_states": "lsg_ray.ising.tap",
    "thermodynamics": "lsg_ray.ising.thermodynamics",
    "relax": "lsg_ray.ising.dynamics",
    "replica_overlaps": "lsg_ray.statistics.rsb",
    "draw_replicas": "lsg_ray.ising.replicas",
    "sk_model": "lsg_ray.ising.sk",
    "sk_replicas": "lsg_ray.ising.sk",
    "spherical_minima": "lsg_ray.landscape.spherical",
    "random_walk": "lsg_ray.landscape.walks",
    "interpolate": "lsg_ray.landscape.interpolation",
    "swap_barriers": "lsg_ray.landscape.interpolation",
    "flatness": "lsg_ray.landscape.flatness",
    "loss_surface": "lsg_ray.landscape.surface",
    "compare_minima": "lsg_ray.landscape.comparison",
    "permutation_effect": "lsg_ray.ising.symmetry",
    "run": "lsg_ray.pipeline",
}

__all__ = [
    "Ensemble",
    "IsingModel",
    "Spec",
    "anneal_scan",
    "canonicalize",
    "clustering",
    "compare_minima",
    "distances",
    "draw_replicas",
    "embed",
    "entropy_scan",
    "fit_boltzmann",
    "flat_clusters",
    "flatness",
    "interpolate",
    "iso_energy",
    "load_dataset",
    "load_model",
    "load_spec",
    "loss_surface",
    "match_weights",
    "moments",
    "node_symmetry",
    "open_ensemble",
    "overlaps",
    "permutation_effect",
    "permute",
    "query",
    "random_walk",
    "relax",
    "replica_overlaps",
    "run",
    "sample",
    "sample_model",
    "sk_model",
    "sk_replicas",
    "spherical_minima",
    "swap_barriers",
    "tap_states",
    "thermodynamics",
    "verify",
]

if TYPE_CHECKING:
    from lsg_ray.cluster.sample import sample
    from lsg_ray.datasets import load_dataset
    from lsg_ray.ensemble.query import query
    from lsg_ray.ensemble.reader import Ensemble, open_ensemble
    from lsg_ray.ensemble.verify import verify
    from lsg_ray.ising.annealing import anneal_scan
    from lsg_ray.ising.boltzmann import fit_boltzmann
    from lsg_ray.ising.dynamics import relax
    from lsg_ray.ising.entropy import entropy_scan
    from lsg_ray.ising.isoenergy import iso_energy
    from lsg_ray.ising.model import IsingModel, load_model
    from lsg_ray.ising.montecarlo import sample_model
    from lsg_ray.ising.replicas import draw_replicas
    from lsg_ray.ising.sk import sk_model, sk_replicas
    from lsg_ray.ising.symmetry import permutation_effect
    from lsg_ray.ising.tap import tap_states
    from lsg_ray.ising.thermodynamics import thermodynamics
    from lsg_ray.landscape.comparison import compare_minima
    from lsg_ray.landscape.flatness import flatness
    from lsg_ray.landscape.interpolation import interpolate, swap_barriers
    from lsg_ray.landscape.spherical import spherical_minima
    from lsg_ray.landscape.surface import loss_surface
    from lsg_ray.landscape.walks import random_walk
    from lsg_ray.networks.symmetry import match_weights
    from lsg_ray.pipeline import run
    from lsg_ray.spec import Spec, load_spec
    from lsg_ray.statistics.clustering import clustering
    from lsg_ray.statistics.distances import distances
    from lsg_ray.statistics.hierarchy import flat_clusters
    from lsg_ray.statistics.maps import embed
    from lsg_ray.statistics.moments import moments
    from lsg_ray.statistics.overlaps import overlaps
    from lsg_ray.statistics.rsb import replica_overlaps
    from lsg_ray.statistics.symmetry import canonicalize, node_symmetry, permute


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'lsg_ray' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
