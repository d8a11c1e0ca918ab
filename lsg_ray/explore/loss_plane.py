"""The loss of ReLU networks on planes that turn, fast enough to follow a slider.

A plane goes through a network w₀ and is spanned by orthonormal directions e₁ and

    d(φ) = e₂ cos φ + e₃ sin φ,

which are made of the differences between w₀ and three others by Gram and Schmidt.  The
pre-activations of the first layer are linear in the weights: they are computed once for w₀, e₁, e₂
and e₃, and only added up at each point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.flatness import filter_normalised
from lsg_ray.loss_landscape.terrain import Terrain, open_solutions, terrain_of
from lsg_ray.networks.relu_network import output_scale
from lsg_ray.rng import Stream, generator
from lsg_ray.typing import Floats, Singles

#: Examples that the loss is computed on, and points along a side of the plane.
EXAMPLES, POINTS = 500, 21
#: Multiplications of a plane, at most: those of half a second of one core.
MAX_PRODUCTS = 10_000_000_000
#: What stands for a random direction in place of a configuration.
RANDOM = -1
#: Part of a direction that must be left without the ones before it.
_INDEPENDENT = 1e-4


class Surface(NamedTuple):
    """Loss (points, points) in nats over b and a; a, b (points,); places (4, 2) of the networks.

    Both axes are distances in weight space; places are those of w₀ and of the three others,
    projected onto the plane.
    """

    loss: Floats
    a: Floats
    b: Floats
    places: Floats


class LossPlane:
    """Planes through a network.

    Parameters
    ----------
    terrain
        Architecture and training examples.
    centre
        Network w₀ (N,).
    differences
        Differences of three others from it (3, N).

    Raises
    ------
    InputError
        The network is too large, or the differences span no three dimensions.
    """

    def __init__(self, terrain: Terrain, centre: Singles, differences: Singles) -> None:
        network = terrain.network
        later = sum(out * into for out, into in network.shapes[1:]) + network.shapes[0][0]
        products = len(terrain.train.y) * later * POINTS**2
        if products > MAX_PRODUCTS:
            raise InputError(
                f"{products:.2g} multiplications for a plane of these networks; up to "
                f"{MAX_PRODUCTS:.0e} follow the sliders; compute larger ones with lsg surface"
            )
        self.network, self._scale = network, output_scale(network)
        x = terrain.train.x
        dense = x if isinstance(x, np.ndarray) else x.dense()
        if network.biases:
            dense = np.concatenate([dense, np.ones((len(dense), 1), np.float32)], axis=1)
        self._y = terrain.train.y
        basis = orthonormal(differences.astype(np.float64))
        self.places = differences.astype(np.float64) @ basis.T
        #: Of w₀, e₁, e₂ and e₃: pre-activations of the first layer, and weights of the others.
        vectors = np.concatenate([centre[None], basis]).astype(np.float32)
        first, shape = network.layer_slices[0], network.shapes[0]
        self._first = np.stack([dense @ v[first].reshape(shape).T for v in vectors])
        self._rest = [
            vectors[:, where].reshape(-1, *shape)
            for where, shape in zip(network.layer_slices[1:], network.shapes[1:], strict=True)
        ]

    def surface(self, angle: float, extent: float) -> Surface:
        """Return the loss on the plane of an angle.

        Parameters
        ----------
        angle
            φ in radians.
        extent
            Half of the side, in units of the distance between w₀ and the first of the others.
        """
        # Rounded, so that w₀ itself, at 0, is on the grid.
        side = np.round(np.linspace(-1, 1, POINTS), 12) * extent * self.places[0, 0]
        turn = np.array([np.cos(angle), np.sin(angle)])
        loss = np.array([[self._loss(a, *(b * turn)) for a in side] for b in side])
        flat = np.stack([self.places[:, 0], self.places[:, 1:] @ turn], axis=1)
        return Surface(loss, side, side, np.concatenate([np.zeros((1, 2)), flat]))

    def _loss(self, a: float, b: float, c: float) -> float:
        """Return the mean loss at w₀ + a e₁ + b e₂ + c e₃."""
        at = np.array([1, a, b, c], np.float32)
        z = np.tensordot(at, self._first, 1)
        for vectors in self._rest:
            hidden = np.maximum(z, np.float32(self.network.leaky_slope) * z)
            w = np.tensordot(at, vectors, 1)
            z = hidden @ w[:, :-1].T + w[:, -1] if self.network.biases else hidden @ w.T
        scores = z.astype(np.float64) * self._scale
        largest = scores.max(axis=1)
        own = scores[np.arange(len(scores)), self._y]
        spread = np.log(np.exp(scores - largest[:, None]).sum(axis=1))
        return float((spread + (largest - own)).mean())


def orthonormal(differences: Floats) -> Floats:
    """Return an orthonormal basis (3, N) of three differences, each without the ones before it.

    Raises
    ------
    InputError
        They span no three dimensions.

    >>> orthonormal(np.array([[2.0, 0, 0], [1, 1, 0], [0, 0, 3]])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    basis: list[Floats] = []
    for number, vector in enumerate(differences):
        left = vector.copy()
        for _ in range(2):  # the second time for what rounding has left
            for one in basis:
                left -= (left @ one) * one
        size = float(np.linalg.norm(left))
        if not size > _INDEPENDENT * float(np.linalg.norm(vector)):
            raise InputError(
                f"direction {number + 1} lies in the span of those before it, or is zero; choose "
                f"another configuration, or {RANDOM} for a random one"
            )
        basis.append(left / size)
    return np.array(basis)


def plane_of(ensemble: Ensemble, centre: int, others: Sequence[int]) -> LossPlane:
    """Return the planes through a configuration that three others, or random directions, span.

    Parameters
    ----------
    ensemble
        Ensemble of ReLU networks; its data set is read, and nothing is downloaded.
    centre
        Number of the configuration w₀.
    others
        Numbers of three others; `RANDOM` for a random direction, as large as w₀ unit by unit.

    Raises
    ------
    InputError
        There is no such configuration, the data are others, or `LossPlane` cannot be made of it.
    """
    stored = [number for number in others if number != RANDOM]
    read = open_solutions(ensemble, list(dict.fromkeys([centre, *stored])))
    weights = dict(zip(read.numbers.tolist(), read.weights, strict=True))
    middle = weights[centre]
    rng = generator(0, Stream.LANDSCAPE, 6, centre)
    random = filter_normalised(
        read.network, middle, rng.standard_normal((len(others), len(middle)), np.float32)
    )
    differences = [
        random[place] if number == RANDOM else weights[number] - middle
        for place, number in enumerate(others)
    ]
    return LossPlane(terrain_of(ensemble, EXAMPLES), middle, np.array(differences))
