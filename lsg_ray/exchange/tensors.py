"""Configurations as tensors with the names that PyTorch's modules have."""

from __future__ import annotations

import numpy as np

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.exchange.table import Table
from lsg_ray.networks.families.weights import layers_of
from lsg_ray.typing import Array


def only_weights(table: Table) -> None:
    """Refuse columns other than the weights, for formats that hold weights only.

    Raises
    ------
    InputError
        Other columns were asked for.
    """
    if table.chosen and table.names != ("weights",):
        raise InputError(
            f"columns {', '.join(table.names)} given; this format holds the weights alone "
            "(--columns weights)"
        )
    table.names = ("weights",)


def named_tensors(ensemble: Ensemble, weights: Array) -> dict[str, Array]:
    """Return configurations (rows, N) as tensors (rows, …) by name, float32.

    Layers of a network are called as those of ``Sequential(Linear, ReLU, Linear, …)``: ``0.weight``
    [out, in], ``0.bias``, ``2.weight``, …; imported tensors have their original names.

    Raises
    ------
    InputError
        The ensemble is a view of a part.
    """
    if ensemble.is_part:
        raise InputError("a view of a part given; state dicts are of whole networks")
    network = ensemble.spec.network
    rows, tensors = len(weights), {}
    named = {} if ensemble.header.family.has_outputs else layers_of(network)
    flat_layers = [np.asarray(weights[:, where], np.float32) for where in network.layer_slices]
    if named:
        for (name, shape), flat in zip(named.items(), flat_layers, strict=True):
            matrix = flat.reshape(rows, *shape)
            weight, joint, bias = name.partition("|")
            if joint and len(shape) == 2:
                tensors[weight] = np.ascontiguousarray(matrix[..., :-1])
                tensors[bias] = np.ascontiguousarray(matrix[..., -1])
            else:
                tensors[name] = matrix
        return tensors
    if not ensemble.header.family.has_outputs:
        return {"weights": np.asarray(weights, np.float32)}
    for layer, (shape, flat) in enumerate(zip(network.shapes, flat_layers, strict=True)):
        matrix = flat.reshape(rows, *shape)
        if network.biases:
            tensors[f"{2 * layer}.weight"] = np.ascontiguousarray(matrix[..., :-1])
            tensors[f"{2 * layer}.bias"] = np.ascontiguousarray(matrix[..., -1])
        else:
            tensors[f"{2 * layer}.weight"] = matrix
    return tensors
