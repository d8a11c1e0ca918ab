r"""Directions in weight space by their signs: noise of several laws, signs overwritten, scales.

A direction is noise of a law with unit variance (`LAWS`), of which a share r of the coordinates,
drawn at random, gets the sign of the weights θ, which leaves their size: the sign consistency with
θ is then r + (1 − r)/2 in the mean.  Its scale is

- ``raw``: as it is drawn;
- ``filter``: the weights into each unit at the norm that θ has there;
- ``norm``: each layer, and its biases, at the norm that θ has there.

Special directions: ``start``, the weights before training where they are stored; ``weights``, θ;
``signs``, sign θ; ``centred-signs``, sign(θ − μ), μ the mean of the layer; and, as controls,
``permuted-signs`` and ``permuted-centred-signs``, the same in random order within each layer
(arXiv:2405.12489).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from lsg_ray.loss_landscape.flatness import filter_normalised
from lsg_ray.spec import NetworkSpec
from lsg_ray.typing import Floats, Ints, Singles

Law = Literal["gaussian", "uniform", "signs", "laplace", "logistic", "triangular", "student"]
Scale = Literal["norm", "filter", "raw"]
Draw = Callable[[np.random.Generator, int], Floats]

#: Laws of noise, symmetric and of unit variance.
LAWS: dict[str, Draw] = {
    "gaussian": lambda rng, n: rng.standard_normal(n),
    "uniform": lambda rng, n: rng.uniform(-np.sqrt(3), np.sqrt(3), n),
    "signs": lambda rng, n: rng.choice([-1.0, 1.0], n),
    "laplace": lambda rng, n: rng.laplace(0, np.sqrt(0.5), n),
    "logistic": lambda rng, n: rng.logistic(0, np.sqrt(3) / np.pi, n),
    "triangular": lambda rng, n: rng.triangular(-np.sqrt(6), 0, np.sqrt(6), n),
    "student": lambda rng, n: rng.standard_t(5, n) * np.sqrt(3 / 5),
}
SPECIAL = ("start", "weights", "signs", "centred-signs", "permuted-signs", "permuted-centred-signs")


def sign_overwrite(noise: Floats, weights: Singles, chosen: Floats, ratio: float) -> Floats:
    """Give coordinates of the noise the sign of the weight, and leave their size.

    Parameters
    ----------
    noise, weights
        (…, N) and (N,).
    chosen
        (…, N) uniform numbers in [0, 1): those below the ratio are overwritten.
    ratio
        Share r of the coordinates.

    Examples
    --------
    >>> sign_overwrite(np.array([-2.0, 3.0]), np.array([1.0, -1.0]), np.array([0.1, 0.9]), 0.5)
    array([2., 3.])
    """
    return np.where(chosen < ratio, np.abs(noise) * np.sign(weights), noise)


def scaled(network: NetworkSpec, weights: Singles, noise: Floats, scale: Scale) -> Singles:
    """Bring directions (B, N) to the scale of the weights (N,); see above."""
    if scale == "raw":
        return noise.astype(np.float32)
    if scale == "filter":
        return filter_normalised(network, weights, noise)
    directions = np.empty(noise.shape, np.float32)
    for some in blocks(network):
        size = np.linalg.norm(noise[:, some], axis=1, keepdims=True)
        norm = np.linalg.norm(weights[some].astype(np.float64))
        directions[:, some] = noise[:, some] * (norm / np.where(size > 0, size, 1))
    return directions


def blocks(network: NetworkSpec) -> list[Ints]:
    """Return the indices of the weights of each layer, and of its biases."""
    indices = []
    for layer, shape in zip(network.layer_slices, network.shapes, strict=True):
        table = np.arange(layer.start, layer.stop).reshape(shape)
        parts = (table[:, :-1], table[:, -1:]) if network.biases else (table,)
        indices += [part.ravel() for part in parts]
    return indices


def special_directions(
    network: NetworkSpec, weights: Singles, start: Singles | None, rng: np.random.Generator
) -> dict[str, Floats]:
    """Return the special directions of a network by name (`SPECIAL`), before they are scaled."""
    w = weights.astype(np.float64)
    centred, orders = w.copy(), []
    for some in blocks(network):
        centred[some] -= w[some].mean()
        orders.append((some, rng.permutation(some)))

    def permuted(values: Floats) -> Floats:
        moved = np.empty_like(values)
        for some, order in orders:
            moved[some] = values[order]
        return moved

    signs, centred_signs = np.sign(w), np.sign(centred)
    known = {} if start is None else {"start": start.astype(np.float64)}
    return known | {
        "weights": w,
        "signs": signs,
        "centred-signs": centred_signs,
        "permuted-signs": permuted(signs),
        "permuted-centred-signs": permuted(centred_signs),
    }


def shared_signs(a: Singles, b: Singles) -> float:
    """Return the share of weights of equal sign, of those that are zero in neither; else NaN."""
    both = (a != 0) & (b != 0)
    return float(np.mean((a > 0)[both] == (b > 0)[both])) if both.any() else float("nan")
