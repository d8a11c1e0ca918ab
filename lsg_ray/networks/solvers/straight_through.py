"""Descent of networks of ±1 units by the straight-through gradient, many at a time.

Everything but loss and gradient (`lsg_ray.networks.binarised_network`) is that of the descent of
ReLU networks.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

from lsg_ray.networks import binarised_network
from lsg_ray.networks.algorithm import Algorithm
from lsg_ray.networks.families.relu import fixed_field
from lsg_ray.networks.family import not_neutral
from lsg_ray.networks.solvers.descent import (
    FIXED_FIELDS,
    Arithmetic,
    check_memory,
    stack_size,
    trainer_of,
)


class Options(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Options of the descent of networks of ±1 units."""

    initial_variance: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="Initial variance C of weights, times their number of inputs; at 1 the "
        "pre-activations of ±1 units have variance 1.",
    )


BINARISED = Arithmetic(binarised_network.loss_step, binarised_network.evaluate_layers)

ALGORITHM = Algorithm(
    "straight-through",
    ("binarised",),
    trainer_of(BINARISED),
    Options,
    stack=stack_size,
    check=check_memory,
    in_batches=True,
    misfits=lambda spec: not_neutral(spec, FIXED_FIELDS, fixed_field("binarised")),
)
