"""Search for directions along which the loss has a given shape, for many networks at once.

The unknown u gives ε = s ‖w‖ u/‖u‖ (two of them are made orthogonal); on minibatches B, drawn anew
at each step, Adam minimises

    Σ_k max(0, σ_k (h_k − h_0 − o_k) + m),   h_k = ln(L_B(w + λ_k ε) + f),

with σ = +1 for "at most" and −1 for "at least", a margin m, and h_0 on the same minibatch without a
gradient (`lsg_ray.loss_landscape.curves.targets`).  A network is done when all constraints hold on
all examples with a third of the margin.  In log-loss the search works where the loss is small too;
in the loss itself, what the ends may do would swamp the rest.

All points of all networks go through one forward and one backward pass
(`lsg_ray.networks.relu_subspace`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lsg_ray.loss_landscape.curves.targets import Target
from lsg_ray.loss_landscape.curves.types import CURVES
from lsg_ray.loss_landscape.terrain import Terrain
from lsg_ray.networks.relu_network import Layer, evaluate_layers, flat_of, layers_of
from lsg_ray.networks.relu_subspace import Subspace, subspace_step
from lsg_ray.typing import Array, Flags, Floats, Ints, Singles

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class MiningConfig:
    """Search for directions.

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon
        Of Adam (Kingma and Ba, 2015), for u that starts as a random unit vector: the shorter it
        is, the faster it turns.
    steps
        Largest number of steps.
    batch
        Examples of a minibatch, drawn with replacement.
    margin
        m, nats.
    first, every
        Steps after which the constraints are first tested on all examples, and then again.
    """

    learning_rate: float = 3e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    steps: int = 800
    batch: int = 400
    margin: float = 0.15
    first: int = 100
    every: int = 50


MINING = MiningConfig()


class Mined(NamedTuple):
    """Directions ε (n, D, N), steps (n,), whether the constraints hold on all examples (n,)."""

    epsilon: Singles
    steps: Ints
    held: Flags


def mine(
    terrain: Terrain,
    weights: Singles,
    target: Target,
    streams: Sequence[np.random.Generator],
    config: MiningConfig = MINING,
) -> Mined:
    """Search for directions of a shape from networks (n, N).

    Parameters
    ----------
    terrain
        Architecture and examples.
    weights
        Networks w (n, N).
    target
        Shape, which also says how many directions.
    streams
        Random numbers of each network: where it starts, and its minibatches.
    config
        The search.

    Returns
    -------
    Mined
        Directions of networks that are not done are the last ones.

    Notes
    -----
    A step costs 3 products of the first layer with the minibatch for each network, and of the other
    layers as many as there are points.  Memory: 16 D N bytes for each network.
    """
    search = _Search(terrain, weights, target, streams, config)
    epsilon = np.empty((len(weights), target.points.shape[1], weights.shape[1]), np.float32)
    steps = np.full(len(weights), config.steps)
    held = np.zeros(len(weights), bool)
    running = np.arange(len(weights))
    recent: list[Floats] = []
    allowed = len(target.sense) * config.margin * 2 / 3
    for step in range(1, config.steps + 1):
        recent.append(search.step(step))
        last = step == config.steps
        if not last and (step < config.first or step % config.every):
            continue
        # Where minibatches break more than a third of the margin allows, so do all examples.
        near = np.mean(recent[-config.every :], axis=0) <= allowed
        done = search.holds() if near.any() or last else near
        ended = done | last
        epsilon[running[ended]] = search.directions(ended)
        held[running[done]], steps[running[done]] = True, step
        if ended.all():
            break
        search.keep(~ended)
        running, recent = running[~ended], [row[~ended] for row in recent[-config.every :]]
    return Mined(epsilon, steps, held)


class _Search:
    """State of a search: u with Adam's moments, layer by layer, of the networks that go on."""

    def __init__(
        self,
        terrain: Terrain,
        weights: Singles,
        target: Target,
        streams: Sequence[np.random.Generator],
        config: MiningConfig,
    ) -> None:
        import torch

        (self.inputs, self.y), _ = terrain.on()
        self.network, self.target, self.config = terrain.network, target, config
        self.streams = list(streams)
        self.count = target.points.shape[1]
        shape = (self.count, weights.shape[1])
        start = np.concatenate([rng.standard_normal(shape) for rng in self.streams])
        start /= np.linalg.norm(start, axis=1, keepdims=True)
        self.base = layers_of(self.network, self._tensor(weights), self.inputs)
        self.u = layers_of(self.network, self._tensor(start), self.inputs)
        for tensor in self._tensors():
            tensor.requires_grad_()
        self.moments = [(torch.zeros_like(u), torch.zeros_like(u)) for u in self._tensors()]
        norms = np.linalg.norm(weights.astype(np.float64), axis=1)
        self.size = self._tensor(target.length * norms)
        # The solution itself is the first point: no constraint, no gradient.
        points = np.concatenate([np.zeros((1, self.count)), target.points])
        self.points, self.sense, self.offset = map(
            self._tensor, (points, target.sense, target.offset)
        )

    def _tensor(self, values: Array) -> Tensor:
        import torch

        return torch.tensor(values, dtype=self.inputs.dtype, device=self.inputs.device)

    def _tensors(self) -> list[Tensor]:
        return [tensor for layer in self.u for tensor in layer.tensors]

    def _excess(self, loss: Tensor) -> Tensor:
        """Return σ(h − h_0 − o) of mean losses (n, 1 + K): (n, K), at most 0 where all is well."""
        h = (loss + CURVES.floor).log()
        return self.sense * (h[:, 1:] - h[:, :1] - self.offset)

    def _epsilon(self) -> list[Tensor]:
        """Return ε of u, tensor by tensor, by Gram and Schmidt over all of them together."""
        n, count = len(self.streams), self.count
        parts = [u.view(n, count, -1) for u in self._tensors()]
        done: list[list[Tensor]] = []
        for number in range(count):
            vector = [part[:, number] for part in parts]
            for other in done:
                cosine = _dot(vector, other)
                vector = [v - cosine * o for v, o in zip(vector, other, strict=True)]
            norm = _dot(vector, vector).sqrt()
            done.append([v / norm for v in vector])
        return [
            (self.size[:, None, None] * _stacked(rows)).view_as(u)
            for u, rows in zip(self._tensors(), zip(*done, strict=True), strict=True)
        ]

    def _space(self, tensors: list[Tensor]) -> Subspace:
        moved = iter(tensors)
        along = [Layer(next(moved), None if u.b is None else next(moved)) for u in self.u]
        coefficients = self.points.expand(len(self.streams), -1, -1)
        return Subspace(self.inputs, self.base, along, coefficients)

    def step(self, number: int) -> Floats:
        """Make a step of Adam, and return the objectives (n,) before it."""
        import torch

        epsilon = self._epsilon()
        space = self._space([tensor.detach() for tensor in epsilon])
        drawn = [rng.integers(0, len(self.inputs), self.config.batch) for rng in self.streams]
        rows = torch.from_numpy(np.stack(drawn)).to(self.y.device)
        objective = np.empty(0)

        def slope(loss: Tensor) -> Tensor:
            nonlocal objective
            hinge = self._excess(loss) + self.config.margin
            objective = hinge.clamp(min=0).sum(1).double().cpu().numpy()
            slopes = torch.zeros_like(loss)
            slopes[:, 1:] = self.sense * (hinge > 0) / (loss[:, 1:] + CURVES.floor)
            return slopes

        gradients = subspace_step(self.network, space, rows, self.y[rows], slope).gradients
        slopes = [tensor for layer in gradients for tensor in layer.tensors]
        given = torch.autograd.grad(epsilon, self._tensors(), slopes)
        self._descend(number, given)
        return objective

    def _descend(self, number: int, gradients: Sequence[Tensor]) -> None:
        import torch

        c = self.config
        rate = c.learning_rate / (1 - c.beta1**number)
        with torch.no_grad():
            for u, (mean, square), g in zip(self._tensors(), self.moments, gradients, strict=True):
                mean.lerp_(g, 1 - c.beta1)
                square.mul_(c.beta2).addcmul_(g, g, value=1 - c.beta2)
                root = (square / (1 - c.beta2**number)).sqrt_().add_(c.epsilon)
                u.addcdiv_(mean, root, value=-rate)

    def holds(self) -> Flags:
        """Return whether the constraints hold on all examples with a third of the margin (n,)."""
        space = self._space([tensor.detach() for tensor in self._epsilon()])
        loss = evaluate_layers(self.network, space.layers, space, self.y).loss
        excess = self._excess(self._tensor(loss.reshape(len(self.streams), -1)))
        held: Flags = (excess <= -self.config.margin / 3).all(1).cpu().numpy()
        return held

    def directions(self, chosen: Flags) -> Singles:
        """Return ε of some networks (chosen, D, N)."""
        moved = iter([tensor.detach() for tensor in self._epsilon()])
        layers = [Layer(next(moved), None if u.b is None else next(moved)) for u in self.u]
        flat = flat_of(self.network, layers, self.inputs).view(len(self.streams), self.count, -1)
        epsilon: Singles = flat.cpu().numpy().astype(np.float32)[chosen]
        return epsilon

    def keep(self, chosen: Flags) -> None:
        """Go on with some networks."""
        import torch

        rows = torch.from_numpy(np.flatnonzero(chosen)).to(self.y.device)
        parts = (rows[:, None] * self.count + torch.arange(self.count, device=rows.device)).ravel()
        self.streams = [self.streams[row] for row in rows.tolist()]
        self.size = self.size[rows]
        self.base = [Layer(a.w[rows], None if a.b is None else a.b[rows]) for a in self.base]
        leaves = [
            [tensor.detach()[parts].requires_grad_() for tensor in layer.tensors]
            for layer in self.u
        ]
        self.u = [Layer(w, *b) if b else Layer(w, None) for w, *b in leaves]
        self.moments = [(mean[parts], square[parts]) for mean, square in self.moments]


def _dot(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Return inner products over all tensors (n, 1)."""
    terms = [(a * b).sum(1, keepdim=True) for a, b in zip(first, second, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _stacked(rows: Sequence[Tensor]) -> Tensor:
    import torch

    return torch.stack(list(rows), dim=1)
