"""Directions by construction from a solution w, each scaled to ‖ε‖ = s ‖w‖ or so.

- ``gradient``: −∇L of the training loss;
- ``weights``: w itself, along which the logits are scaled;
- ``solution``: w_B − w, not scaled: at λ = 1 the curve is at another solution;
- ``top``, ``bottom``: eigenvectors of the largest and the smallest eigenvalue of the Hessian, by
  Lanczos iteration with full reorthogonalisation (`lsg_ray.loss_landscape.curvature`);
- ``gaussian``: independent normal numbers;
- ``filter-normalised``: the same, scaled unit by unit (`lsg_ray.loss_landscape.flatness`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from lsg_ray.loss_landscape.flatness import filter_normalised
from lsg_ray.loss_landscape.terrain import Terrain
from lsg_ray.networks.relu_network import flat_of, hessian_product, layers_of, loss_step
from lsg_ray.spec import NetworkSpec
from lsg_ray.typing import Array, Floats, Singles

#: Directions of which each network has one, in their order.
SINGLE = ("gradient", "weights", "solution", "top", "bottom")
#: Directions that are drawn, several of each.
DRAWN = ("gaussian", "filter-normalised")
#: Whether norms are those of all weights, or of each layer for itself.
Scaling = Literal["whole", "layer"]
#: Largest residual of an eigenvector, relative to the eigenvalue of largest modulus, and steps that
#: the iteration ends after.
EIGEN_TOLERANCE, EIGEN_STEPS = 1e-2, 100
#: Examples of a part of the gradient.
_PART = 1000


class Directions(NamedTuple):
    """Directions (D, N) in the order of `kinds_of`; residuals of top and bottom (2,)."""

    epsilon: Singles
    residual: Floats


def kinds_of(draws: int) -> list[str]:
    """Return the names of the directions, of which the last are drawn.

    >>> kinds_of(1)[-3:]
    ['bottom', 'gaussian', 'filter-normalised']
    """
    return [*SINGLE, *(name for name in DRAWN for _ in range(draws))]


def scaled(
    network: NetworkSpec, w: Array, directions: Array, length: float, scaling: Scaling
) -> Singles:
    """Return directions (D, N) of s times the norm of w, as a whole or layer by layer.

    A direction that is zero there stays so.
    """
    parts = network.layer_slices if scaling == "layer" else [slice(None)]
    out = np.zeros(directions.shape)
    for part in parts:
        d = directions[:, part].astype(np.float64)
        size = np.linalg.norm(d, axis=1, keepdims=True)
        norm = np.linalg.norm(w[part].astype(np.float64))
        out[:, part] = d * (length * norm / np.where(size > 0, size, 1))
    return out.astype(np.float32)


def gradient(terrain: Terrain, w: Singles) -> Singles:
    """Return ∇L of the training loss at w (N,)."""
    import torch

    (inputs, y), _ = terrain.on()
    network = terrain.network
    flat = torch.tensor(w[None], dtype=inputs.dtype, device=inputs.device)
    layers, total = layers_of(network, flat, inputs), torch.zeros_like(flat, dtype=torch.float64)
    for begin in range(0, len(y), _PART):
        rows = slice(begin, min(begin + _PART, len(y)))
        step = loss_step(network, layers, inputs, rows, y[rows], 1 / len(y))
        total += flat_of(network, step.gradients, inputs)
    return total[0].cpu().numpy().astype(np.float32)


def products(terrain: Terrain, w: Singles, directions: Singles) -> Floats:
    """Return H ε of the training loss at w (N,) for directions (D, N), float64."""
    import torch

    (inputs, y), _ = terrain.on()
    flat = torch.tensor(w[None], dtype=inputs.dtype, device=inputs.device)
    along = torch.tensor(directions, dtype=inputs.dtype, device=inputs.device)
    stack = flat.expand(len(along), -1)
    return hessian_product(terrain.network, stack, along, inputs, y).double().cpu().numpy()


def curvatures(terrain: Terrain, w: Singles, directions: Singles) -> Floats:
    """Return εᵀHε = d²L(w + λε)/dλ² at λ = 0 (D,), of the training loss."""
    pairs = zip(directions, (products(terrain, w, one[None])[0] for one in directions), strict=True)
    return np.array([one.astype(np.float64) @ product for one, product in pairs])


def extreme_eigenvectors(
    terrain: Terrain, w: Singles, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return eigenvectors (2, N) of the largest and smallest eigenvalue of H, and residuals (2,).

    The residual ‖Hv − λv‖ is relative to the eigenvalue of largest modulus; above
    `EIGEN_TOLERANCE` the vector has not converged in `EIGEN_STEPS` steps.  Its largest entry is
    positive.
    """
    from scipy.linalg import eigh_tridiagonal

    n = len(w)
    start = rng.standard_normal(n)
    basis = np.empty((min(EIGEN_STEPS, n), n), np.float32)
    basis[0] = start / np.linalg.norm(start)
    diagonal, beside = [], []
    for step in range(1, len(basis) + 1):
        rest = products(terrain, w, basis[step - 1 : step])[0]
        diagonal.append(float(rest @ basis[step - 1]))
        # Twice is enough (Parlett): the second pass removes what rounding leaves in the first.
        for _ in range(2):
            rest -= (basis[:step] @ rest.astype(np.float32)) @ basis[:step]
        beside.append(float(np.linalg.norm(rest)))
        values, vectors = eigh_tridiagonal(diagonal, beside[:-1])
        scale = max(np.abs(values).max(), np.finfo(float).tiny)
        residual = beside[-1] * np.abs(vectors[-1, [-1, 0]]) / scale
        if step == len(basis) or (residual <= EIGEN_TOLERANCE).all():
            break
        basis[step] = rest / beside[-1]
    ritz = vectors[:, [-1, 0]].T @ basis[:step].astype(np.float64)
    largest = np.take_along_axis(ritz, np.abs(ritz).argmax(axis=1)[:, None], 1)
    return ritz * np.sign(largest), residual


def directions_of(
    terrain: Terrain,
    w: Singles,
    other: Singles,
    rng: np.random.Generator,
    *,
    draws: int,
    length: float,
    scaling: Scaling,
) -> Directions:
    """Construct the directions of a network.

    Parameters
    ----------
    terrain
        Architecture and examples.
    w, other
        The network (N,), and another solution.
    rng
        Random numbers.
    draws
        Number of directions of each kind that is drawn.
    length, scaling
        s, and whether norms are of all weights or layer by layer.
    """
    vectors, residual = extreme_eigenvectors(terrain, w, rng)
    gaussian = rng.standard_normal((draws, len(w)))
    filters = filter_normalised(terrain.network, w, rng.standard_normal((draws, len(w))))

    def of(rows: Array) -> Singles:
        return scaled(terrain.network, w, rows, length, scaling)

    rows = [
        of(-gradient(terrain, w)[None]),
        of(w[None]),
        (other - w)[None],
        of(vectors),
        of(gaussian),
        np.float32(length) * filters,
    ]
    return Directions(np.concatenate(rows), residual)
