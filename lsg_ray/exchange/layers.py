"""Which tensor is which layer of a network, and how its matrix lies.

A state dict lists tensors by name.  Layers of known widths are looked for by their shapes, in the
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
    """Names of the matrix of a layer and of its biases, or None without."""

    matrix: str
    bias: str | None


class Match(NamedTuple):
    """Tensors of each layer, and how matrices lie."""

    layers: tuple[LayerTensors, ...]
    layout: Layout
    #: Whether the shapes say so, or both layouts have the same.
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
    """Return what names are sorted by, so that numbers in them count as numbers.

    >>> sorted(["net10.pt", "net9.pt"], key=natural)
    ['net9.pt', 'net10.pt']
    """
    return [(int(part), "") if part.isdecimal() else (0, part.lower())
            for part in re.split(r"(\d+)", name)]  # fmt: skip


def match_layers(shapes: Shapes, widths: Sequence[int], layout: Layout | None, name: str) -> Match:
    """Find the layers of a network of given widths among tensors.

    Parameters
    ----------
    shapes
        Of the tensors by name, in order.
    widths
        From input to output.
    layout
        Of the matrices, if it is said.
    name
        Of the file, for messages.

    Raises
    ------
    InputError
        No tensor fits a layer, or one belongs to none; both are named.
    """
    if layout == "parameters":
        raise InputError("layout 'parameters' given; it is of flat vectors, and tensors have names")
    out_in = _matrices(shapes, widths, transposed=False)
    in_out = _matrices(shapes, widths, transposed=True)
    chosen = layout or ("out-in" if out_in is not None else "in-out")
    matrices = out_in if chosen == "out-in" else in_out
    if matrices is None:
        there = ", ".join(f"{key} {_text(shape)}" for key, shape in itertools.islice(
            shapes.items(), 12))  # fmt: skip
        raise InputError(
            f"{name}: no tensors of a network {'-'.join(map(str, widths))} ({chosen}); there are "
            f"{there or 'none'}"
        )
    layers = []
    for matrix, out in zip(matrices, widths[1:], strict=True):
        module = _module(matrix)
        biases = [key for key, shape in shapes.items()
                  if _module(key) == module and shape == (out,)]  # fmt: skip
        layers.append(LayerTensors(matrix, biases[0] if biases else None))
    bare = [layer.matrix for layer in layers if layer.bias is None]
    if bare and len(bare) < len(layers):
        raise InputError(
            f"{name}: {bare[0]} has no biases, and other layers do; all or none must have them"
        )
    used = {key for layer in layers for key in layer}
    if unused := [key for key in shapes if key not in used]:
        raise InputError(
            f"{name}: {unused[0]} {_text(shapes[unused[0]])} belongs to no layer of "
            f"{'-'.join(map(str, widths))}; leave --network out to store all tensors as they are"
        )
    return Match(tuple(layers), chosen, layout is None and (out_in is None or in_out is None))


def _matrices(shapes: Shapes, widths: Sequence[int], transposed: bool) -> list[str] | None:
    """Return the first tensors, in order, that have the shapes of the layers; None if some lack."""
    names: list[str] = []
    for into, out in itertools.pairwise(widths):
        need = (into, out) if transposed else (out, into)
        fits = (key for key, shape in shapes.items() if shape == need and key not in names)
        key = next(fits, None)
        if key is None:
            return None
        names.append(key)
    return names


def _module(name: str) -> str:
    """Return the module that a tensor belongs to: ``0`` of ``0.weight``, ``a`` of ``a/kernel``."""
    return re.split(r"[./][^./]*\Z", name)[0]


def _text(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def infer_widths(shapes: Shapes) -> tuple[int, ...] | None:
    """Return the widths of a chain of layers [out, in]; None if tensors are none.

    >>> infer_widths({"0.weight": (5, 3), "0.bias": (5,), "2.weight": (2, 5), "2.bias": (2,)})
    (3, 5, 2)
    """
    matrices = [shape for shape in shapes.values() if len(shape) == 2]
    if not matrices or any(a[0] != b[1] for a, b in itertools.pairwise(matrices)):
        return None
    return (matrices[0][1], *(shape[0] for shape in matrices))


def flat_order(widths: Sequence[int], biases: bool, layout: Layout) -> Ints | None:
    """Return the order that brings flat weights into that of stores; None if they are in it."""
    if layout == "out-in" or (layout == "parameters" and not biases):
        return None
    indices, first = [], 0
    for into, out in itertools.pairwise(widths):
        if layout == "parameters":
            matrix = first + np.arange(out * into).reshape(out, into)
            bias = first + out * into + np.arange(out)
            matrix = np.concatenate([matrix, bias[:, None]], axis=1)
        else:
            columns = into + biases
            matrix = first + np.arange(out * columns).reshape(columns, out).T
        indices.append(matrix.ravel())
        first += matrix.size
    return np.concatenate(indices)
