"""Networks of binary weights (liquid-like paper, App. A): their outputs, accuracy and loss.

A flat configuration lists the layers from input to output, each row-major ``[out, in]``; there are
no biases.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.networks.layout import ChunkedExamples, Layout
from lsg_ray.networks.trial import Loss
from lsg_ray.spec import NetworkSpec
from lsg_ray.typing import Array, Floats


def loss_number(loss: Loss) -> int:
    """Return the number of a loss in kernels."""
    from lsg_ray.kernels import classification

    return classification.CROSS_ENTROPY if loss == "cross_entropy" else classification.HINGE


def evaluate(
    network: NetworkSpec, weights: Array, examples: ChunkedExamples, loss: Loss = "cross_entropy"
) -> tuple[Floats, Floats]:
    """Accuracy and mean loss of configurations, without noise.

    Parameters
    ----------
    network
        Architecture.
    weights
        (configurations, N), ±1 or real.
    examples
        Examples from `chunk_examples`; computed in their precision.
    loss
        Loss, as in `train`.

    Returns
    -------
    accuracy, loss
        (configurations,) float64 each; loss in nats (or margin units for the hinge).

    Notes
    -----
    2 N flop per configuration and example: 0.3 ms for 20-15-15-10 on 10,000 digits.
    """
    from lsg_ray.kernels import classification

    weights = np.atleast_2d(weights)
    if weights.shape[1] != network.n_weights:
        raise InputError(
            f"configurations of {weights.shape[1]} weights given; "
            f"widths {list(network.widths)} have {network.n_weights}"
        )
    layout = Layout(network.widths)
    padded = layout.pad(weights, examples.x.dtype.type)
    correct, mean_loss = classification.evaluate(
        padded, examples.x, examples.y, layout.widths, network.leaky_slope, loss_number(loss)
    )
    return correct / examples.y.size, mean_loss
