"""Why valleys are asymmetric: the variance of the softmax, and which ReLU units stay active."""

from __future__ import annotations

from typing import Any

import numpy as np

from lsg_ray.loss_landscape.terrain import Terrain, batches
from lsg_ray.networks.relu_network import forward, layers_of
from lsg_ray.typing import Floats, Singles

#: Number of examples of a chunk.
EXAMPLES_AT_ONCE = 512


def diagnostics(terrain: Terrain, w: Singles, networks: Singles) -> Floats:
    """Compare networks with a solution on the test set: (2, B).

    The first is the mean over examples of tr(diag p − ppᵀ) = 1 − Σ p², p the softmax of the scores;
    the second the share of hidden units and examples that are active, or not, as in the solution.

    Parameters
    ----------
    terrain
        Architecture and examples.
    w
        (N,) the solution.
    networks
        (B, N).
    """
    import torch

    network, (_, (inputs, _)) = terrain.network, terrain.on()

    def layers(flat: Singles) -> Any:
        tensor = torch.as_tensor(flat, dtype=inputs.dtype, device=inputs.device)
        return layers_of(network, tensor, inputs)

    hidden, own, parts = sum(network.widths[1:-1]), layers(w[None]), []
    for batch in batches(networks):
        moved = layers(batch)
        sums = torch.zeros(2, len(batch), dtype=torch.float64, device=inputs.device)
        for begin in range(0, len(inputs), EXAMPLES_AT_ONCE):
            rows = slice(begin, min(begin + EXAMPLES_AT_ONCE, len(inputs)))
            *units, scores = forward(network, moved, inputs, rows)
            *units_of_w, _ = forward(network, own, inputs, rows)
            p = scores.softmax(1)
            sums[0] += (1 - (p * p).sum(1)).sum(1)
            for one, other in zip(units, units_of_w, strict=True):
                sums[1] += ((one > 0) == (other > 0)).sum((1, 2)) / hidden
        parts.append((sums / len(inputs)).cpu().numpy())
    return np.concatenate(parts, axis=1)
