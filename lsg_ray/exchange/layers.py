"""Match tensors to the layers of a network, and determine the layout of their matrices.

A state dict lists tensors by name.  Layers of known widths are matched by their shapes, in the
order of the names: a matrix [out, in], or its transpose [in, out], and the biases of the same
module.  One layout holds for all matrices of a network; where all are square, it is torch's.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.exchange.format import Layout
from lsg_ray.typing import Array, Ints

Shapes = Mapping[str, tuple[int, ...]]


class LayerTensors(NamedTuple):
    """Names of the matrix of a layer, and of its biases or None."""

    matrix: str
    bias: str | None


class Match(NamedTuple):
    """Tensors of each layer, and the layout of matrices."""

    layers: tuple[LayerTensors, ...]
    layout: Layout
    #: Whether the layout was not given and only one fits the shapes.
    certain: bool

    @property
    def biases(self) -> bool:
        """Whether the layers have biases."""
        return self.layers[0].bias is not None

    def row(self, tensors: Mapping[str, Array]) -> Array:
        """Return a configuration (N,): layers [out, in], a bias in the last column."""
        matrices = []
        for name, bias in self.layers:
            matrix = tensors[name].T if self.layout == "in-out" else tensors[name]
            if bias is not None:
                matrix = np.concatenate([matrix, tensors[bias][:, None]], axis=1)
            matrices.append(matrix.ravel())
        return np.concatenate(matrices)


def natural(name: str) -> list[tuple[int, str]]:
    """Return the sort key of a name in natural order, in which digits count as numbers.

    >>> sorted(["net10.pt", "net9.pt"], key=natural)
    ['net9.pt', 'net10.pt']
    """
    return [
        (int(part), "") if part.isdecimal() else (0, part.lower())
        for part in re.split(r"(\d+)", name)
    ]


def match_layers(shapes: Shapes, widths: Sequence[int], layout: Layout | None, name: str) -> Match:
    """Match tensors to the layers of a network of given widths.

    Parameters
    ----------
    shapes
        Shapes of the tensors by name, in order.
    widths
        Widths of the network from input to output.
    layout
        Layout of the matrices; None to infer it.
    name
        Name of the file, for messages.

    Raises
    ------
    InputError
        No tensor fits a layer, or a tensor fits none; the message names it.  Or two layouts fit,
        and that of torch only with the layers in another order.
    """
    if layout == "parameters":
        raise InputError("layout 'parameters' given; it is of flat vectors, and tensors have names")
    out_in = _matrices(shapes, widths, transposed=False)
    in_out = _matrices(shapes, widths, transposed=True)
    # One reading has the layers as they are listed, the other has matrices as torch does.
    unclear = _disordered(out_in, shapes) and in_out and not _disordered(in_out, shapes)
    if unclear and layout is None:
        raise InputError(
            f"{name}: its matrices, in the order of their names, are layers of "
            f"{'-'.join(map(str, widths))} as [in, out], and in another order as [out, in]; "
            "pass --layout in-out or --layout out-in"
        )
    chosen = layout or ("out-in" if out_in is not None else "in-out")
    matrices = out_in if chosen == "out-in" else in_out
    if matrices is None:
        available = ", ".join(
            f"{key} {_text(shape)}" for key, shape in itertools.islice(shapes.items(), 12)
        )
        kind = f" ({layout})" if layout else ""
        raise InputError(
            f"{name}: no tensors of a network {'-'.join(map(str, widths))}{kind}; there are "
            f"{available or 'none'}: leave --network out to store them as they are"
        )
    layers = []
    for matrix, out in zip(matrices, widths[1:], strict=True):
        module = _module(matrix)
        biases = [
            key for key, shape in shapes.items() if _module(key) == module and shape == (out,)
        ]
        layers.append(LayerTensors(matrix, biases[0] if biases else None))
    without = [layer.matrix for layer in layers if layer.bias is None]
    if without and len(without) < len(layers):
        raise InputError(
            f"{name}: {without[0]} has no biases, and other layers do; all or none must have them"
        )
    used = {key for layer in layers for key in layer}
    if unused := [key for key in shapes if key not in used]:
        raise InputError(
            f"{name}: {unused[0]} {_text(shapes[unused[0]])} belongs to no layer of "
            f"{'-'.join(map(str, widths))}; leave --network out to store all tensors as they are"
        )
    return Match(tuple(layers), chosen, layout is None and (out_in is None or in_out is None))


def _matrices(shapes: Shapes, widths: Sequence[int], transposed: bool) -> list[str] | None:
    """Return the first tensors, in order, with the shapes of the layers; None if one is missing."""
    names: list[str] = []
    for n_in, n_out in itertools.pairwise(widths):
        expected = (n_in, n_out) if transposed else (n_out, n_in)
        matches = (key for key, shape in shapes.items() if shape == expected and key not in names)
        key = next(matches, None)
        if key is None:
            return None
        names.append(key)
    return names


def _disordered(names: list[str] | None, shapes: Shapes) -> int:
    """Return how many layers are listed before the one that they follow; 0 of no layers."""
    numbers = [list(shapes).index(name) for name in names or ()]
    return sum(a > b for a, b in itertools.pairwise(numbers))


def _module(name: str) -> str:
    """Return the module that a tensor belongs to: ``0`` of ``0.weight``, ``a`` of ``a/kernel``."""
    return re.split(r"[./][^./]*\Z", name)[0]


def _text(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def infer_widths(shapes: Shapes) -> tuple[int, ...] | None:
    """Return the widths of a chain of layers [out, in]; None if tensors are no such chain.

    >>> infer_widths({"0.weight": (5, 3), "0.bias": (5,), "2.weight": (2, 5), "2.bias": (2,)})
    (3, 5, 2)
    """
    matrices = [shape for shape in shapes.values() if len(shape) == 2]
    if not matrices or any(a[0] != b[1] for a, b in itertools.pairwise(matrices)):
        return None
    return (matrices[0][1], *(shape[0] for shape in matrices))


def flat_order(widths: Sequence[int], biases: bool, layout: Layout) -> Ints | None:
    """Return the permutation of flat weights into the order of stores; None for the identity."""
    if layout == "out-in" or (layout == "parameters" and not biases):
        return None
    indices, first = [], 0
    for n_in, n_out in itertools.pairwise(widths):
        if layout == "parameters":
            matrix = first + np.arange(n_out * n_in).reshape(n_out, n_in)
            bias = first + n_out * n_in + np.arange(n_out)
            matrix = np.concatenate([matrix, bias[:, None]], axis=1)
        else:
            columns = n_in + biases
            matrix = first + np.arange(n_out * columns).reshape(columns, n_out).T
        indices.append(matrix.ravel())
        first += matrix.size
    return np.concatenate(indices)
