"""The experiments: where each is declared.  Installed packages add theirs by entry points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsg_ray.registry import Registry

if TYPE_CHECKING:
    from lsg_ray.experiments.experiment import Experiment

_LIQUID, _LENS = "lsg_ray.experiments.liquid_like", "lsg_ray.experiments.spin_glass_lens"

EXPERIMENTS: Registry[Experiment] = Registry(
    "experiment",
    "lsg_ray.experiments.experiment:Experiment",
    {
        "ll-fig3": f"{_LIQUID}.effective_model:EXPERIMENT",
        "ll-fig2": f"{_LIQUID}.solutions:EXPERIMENT",
        "ll-fig4": f"{_LIQUID}.sparse_models:EXPERIMENT",
        "ll-fig5": f"{_LIQUID}.entropy_landscapes:EXPERIMENT",
        "ll-fig7": f"{_LIQUID}.constant_energy:EXPERIMENT",
        "ll-fig8": f"{_LIQUID}.states_and_dynamics:EXPERIMENT",
        "ll-fig10": f"{_LIQUID}.permuted:EXPERIMENT",
        "ll-fig11": f"{_LIQUID}.frozen_interior:EXPERIMENT",
        "ll-fig15": f"{_LIQUID}.shallow_parameters:EXPERIMENT",
        "ll-fig16": f"{_LIQUID}.fashion:EXPERIMENT",
        "ll-fig17": f"{_LIQUID}.double_descent:EXPERIMENT",
        "ll-fig18": f"{_LIQUID}.width:EXPERIMENT",
        "ll-search": f"{_LIQUID}.search:EXPERIMENT",
        "sg-fig2": f"{_LENS}.walks:EXPERIMENT",
        "sg-fig3": f"{_LENS}.swaps:EXPERIMENT",
        "sg-fig4": f"{_LENS}.distances:EXPERIMENT",
        "sg-figA3": f"{_LENS}.distances_sgd:EXPERIMENT",
        "sg-rsb": f"{_LENS}.replicas:EXPERIMENT",
        "sg-fig6": f"{_LENS}.batches:EXPERIMENT",
        "sg-figA4": f"{_LENS}.learning:EXPERIMENT",
    },
)
