"""Networks of real weights, the twins of binary ones: the same network with weights of any value.

Architecture, units, losses and data are those of `lsg_ray.networks.families.binary`; what binary
weights cost is then the difference between the two (liquid-like paper, App. F, Fig. 17).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from lsg_ray.ensemble.schema import ArrayLayout, scalars
from lsg_ray.networks.families.binary import _Binary
from lsg_ray.networks.families.relu import fixed_field
from lsg_ray.networks.family import SCALAR_COLUMNS, Family, not_neutral
from lsg_ray.networks.solvers.mean_field import initial_fields
from lsg_ray.spec import Spec
from lsg_ray.typing import Floats


class _Real(_Binary):
    name = "real"
    about = "networks of real weights"
    signs = False
    algorithm = "backpropagation"
    study = "lsg_ray.studies:of_statistics"
    defaults: ClassVar = {
        # Weights start at the size of ±1, and move at a tenth of it.
        "training": {"learning_rate": 0.1, "gamma": 0.0, "initial_std": 1.0},
        "ensemble": {"count": 100, "threshold": 0.0, "draws": 1, "give_up_after": 3},
    }

    def misfits(self, spec: Spec) -> Iterable[str]:
        neutral = {
            "network.biases": False,
            "ensemble.draws": 1,
            "ensemble.frozen_parts": (),
            "ensemble.store_fields": False,
        }
        yield from not_neutral(spec, neutral, fixed_field(self.name))

    def columns(self, spec: Spec) -> tuple[ArrayLayout, ...]:
        del spec
        names = (*self.measures, "train_accuracy", "train_loss", "trial", "epochs")
        return scalars({name: SCALAR_COLUMNS[name] for name in names})

    def starts(self, spec: Spec, seeds: Sequence[np.random.SeedSequence]) -> Floats:
        return initial_fields(spec.network, spec.training, seeds).astype(np.float64)

    def advice(self, spec: Spec, accepted: int, missed: Floats, losses: Floats) -> str:
        diverged = int(np.isnan(missed).sum())
        head = f"{diverged} diverged: lower training.learning_rate.\n" if diverged else ""
        return head + Family.advice(self, spec, accepted, missed, losses)


FAMILY = _Real()
