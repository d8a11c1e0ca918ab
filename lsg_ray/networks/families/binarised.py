"""Networks of real weights with ±1 units, trained by the straight-through gradient.

The arithmetic is that of `lsg_ray.networks.binarised_network`; data, columns and acceptance are
those of ReLU networks.  Inputs are ±1 by default.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from lsg_ray.networks import binarised_network
from lsg_ray.networks.families.relu import _Relu, fixed_field
from lsg_ray.networks.family import not_neutral
from lsg_ray.spec import NetworkSpec, Spec
from lsg_ray.typing import Array


class _Binarised(_Relu):
    name = "binarised"
    about = "networks of ±1 units"
    differentiable = False
    algorithm = "straight-through"
    study = "lsg_ray.studies:of_statistics"
    evaluation = staticmethod(binarised_network.evaluate)
    defaults: ClassVar = {
        **_Relu.defaults,
        "dataset": {"components": None, "binarize": "zero"},
        "network": {"widths": (784, 256, 128, 10), "leaky_slope": 0.0},
        # As in the re-implementation rknzhl/spin_glass, but for the learning rate.
        "training": {
            **_Relu.defaults["training"],
            "optimizer": "sgd",
            "momentum": 0.9,
            "learning_rate": 1e-3,
            "batch_size": 64,
            "epochs": 20,
        },
    }

    def misfits(self, spec: Spec) -> Iterable[str]:
        yield from super().misfits(spec)
        yield from not_neutral(spec, {"network.leaky_slope": 0.0}, fixed_field(self.name))

    def activation(self, network: NetworkSpec, layer: int, z: Array) -> Array:
        del network, layer
        return np.where(z >= 0, 1.0, -1.0)


FAMILY = _Binarised()
