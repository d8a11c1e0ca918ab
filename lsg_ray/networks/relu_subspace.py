"""ReLU networks at many points of a subspace: w + Σ_d c_d ε_d, for a stack of networks at once.

The pre-activations of the first layer are linear in its weights,

    x (W + Σ_d c_d V_d)ᵀ = x Wᵀ + Σ_d c_d x V_dᵀ,

so all points of a line share two products with the examples, and all points of a plane three.  The
first layer holds nearly all weights of most networks here: a line of 41 points costs little more
than two networks.  Backwards the same holds of the slope along the directions,

    ∂/∂V_d = Σ_points c_d (δ_point)ᵀ x = (Σ_points c_d δ_point)ᵀ x.

A `Subspace` is to `lsg_ray.networks.relu_network` what examples are (`Inputs`), for a stack of
``networks × points``; forward, loss and backward are those of all networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lsg_ray.networks.first_layer import Inputs, Rows
from lsg_ray.networks.relu_network import (
    MAX_CHUNK_ACTIVATIONS,
    Evaluation,
    Layer,
    evaluate_layers,
    layers_of,
    loss_step,
)
from lsg_ray.spec import NetworkSpec
from lsg_ray.typing import Array, Floats

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Fewest examples of a chunk (`lsg_ray.networks.relu_network`), which bounds points at a time.
_CHUNK_ROWS = 64


class Subspace:
    """Examples as they are read by networks at points w + Σ_d c_d ε_d.

    Parameters
    ----------
    inputs
        Examples.
    base
        Layers of the networks w (n), as of `layers_of`.
    along
        Layers of the directions ε, (n · D): all of the first network, then of the second, …
    coefficients
        c (n, points, D).
    """

    def __init__(
        self, inputs: Inputs, base: Sequence[Layer], along: Sequence[Layer], coefficients: Tensor
    ) -> None:
        self._inputs, self._base, self._along = inputs, base, along
        self._coefficients = coefficients
        #: Layers of the networks at all points (n · points); the first layer has a bias alone.
        self.layers = [
            Layer(
                self._moved(a.w, v.w) if number else a.w.new_empty(self.points, 0),
                None if a.b is None or v.b is None else self._moved(a.b, v.b),
            )
            for number, (a, v) in enumerate(zip(base, along, strict=True))
        ]

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def points(self) -> int:
        """Number of networks at all points."""
        n, count, _ = self._coefficients.shape
        return n * count

    @property
    def device(self) -> str:
        """Device of the examples."""
        return self._inputs.device

    @property
    def dtype(self) -> torch.dtype:
        """Their torch type."""
        return self._inputs.dtype

    def pack(self, weights: Tensor) -> Tensor:
        """Return weights in the layout of the examples."""
        return self._inputs.pack(weights)

    def unpack(self, packed: Tensor, units: int) -> Tensor:
        """Return packed weights as (networks, units, inputs)."""
        return self._inputs.unpack(packed, units)

    def product(self, packed: Tensor, rows: Rows) -> Tensor:  # noqa: ARG002
        """Return the pre-activations of the first layer at all points, (n · points, rows, units).

        ``rows`` (n, rows) of each network, or a slice.
        """
        base = self._inputs.product(self._base[0].w, rows)
        return self._moved(base, self._inputs.product(self._along[0].w, self._repeated(rows)))

    def gradient(self, delta: Tensor, rows: Rows) -> Tensor:
        """Return Σ c δᵀ x over the points, packed as the directions are: (n · D, …)."""
        return self._inputs.gradient(self.summed(delta), self._repeated(rows))

    def summed(self, values: Tensor) -> Tensor:
        """Return Σ_points c_d of values (n · points, …) for each direction: (n · D, …)."""
        n, count, directions = self._coefficients.shape
        flat = self._coefficients.transpose(1, 2) @ values.reshape(n, count, -1)
        return flat.reshape(n * directions, *values.shape[1:])

    def slopes(self, gradients: Sequence[Layer]) -> list[Layer]:
        """Return gradients along the directions, of those of `loss_step` at the points."""
        return [
            Layer(
                self.summed(layer.w) if number else layer.w,
                None if layer.b is None else self.summed(layer.b),
            )
            for number, layer in enumerate(gradients)
        ]

    def _moved(self, base: Tensor, along: Tensor) -> Tensor:
        n, count, directions = self._coefficients.shape
        shift = self._coefficients @ along.reshape(n, directions, -1)
        shift += base.reshape(n, 1, -1)
        return shift.reshape(n * count, *base.shape[1:])

    def _repeated(self, rows: Rows) -> Rows:
        directions = self._coefficients.shape[2]
        if isinstance(rows, slice) or directions == 1:
            return rows
        return rows.repeat_interleave(directions, 0)


class Slopes(NamedTuple):
    """Mean loss at the points (n, points), float64; gradient along directions, layers (n · D)."""

    loss: Tensor
    gradients: list[Layer]


def subspace_step(
    network: NetworkSpec,
    space: Subspace,
    rows: Tensor,
    y: Tensor,
    slope: Callable[[Tensor], Tensor],
) -> Slopes:
    """Compute the gradient of an objective of the losses at all points, along the directions.

    Parameters
    ----------
    network
        Architecture.
    space
        Points.
    rows, y
        Examples of each network (n, b), and their classes (n, b).
    slope
        Function of the mean losses (n, points) float64 that returns the derivative of the objective
        with respect to each, of the same shape.

    Notes
    -----
    Three products of the first layer, and of the others as many as there are points.
    """
    n, size = rows.shape
    points = space.points // n

    def share(loss: Tensor) -> Tensor:
        return slope(loss.view(n, points) / size).reshape(-1) / size

    classes = y.repeat_interleave(points, 0)
    step = loss_step(network, space.layers, space, rows, classes, share)
    return Slopes(step.loss.view(n, points) / size, space.slopes(step.gradients))


def evaluate_subspace(
    network: NetworkSpec,
    w: Array,
    directions: Array,
    coefficients: Floats,
    inputs: Inputs,
    y: Tensor,
) -> Evaluation:
    """Mean loss and accuracy of a network at points w + Σ_d c_d ε_d.

    Parameters
    ----------
    network
        Architecture.
    w, directions
        Network (N,) and directions ε (D, N).
    coefficients
        c (points, D).
    inputs, y
        Examples, and their classes (n,).

    Returns
    -------
    Evaluation
        Over points.

    Notes
    -----
    1 + D products of the first layer for each batch of points; a batch holds as many as fit in the
    caches with 64 examples.
    """
    import torch

    def layers(flat: Array) -> list[Layer]:
        tensor = torch.as_tensor(flat, dtype=inputs.dtype, device=inputs.device)
        return layers_of(network, tensor, inputs)

    base, along = layers(w[None]), layers(directions)
    size = max(1, MAX_CHUNK_ACTIVATIONS // (_CHUNK_ROWS * max(network.widths[1:])))
    results = []
    for begin in range(0, len(coefficients), size):
        some: Any = torch.tensor(coefficients[None, begin : begin + size], dtype=inputs.dtype)
        space = Subspace(inputs, base, along, some.to(inputs.device))
        results.append(evaluate_layers(network, space.layers, space, y))
    return Evaluation(*map(np.concatenate, zip(*results, strict=True)))
