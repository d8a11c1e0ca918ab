"""State dicts: tensors by name, one mapping a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lsg_ray.arrays import as_numbers
from lsg_ray.errors import InputError, shown
from lsg_ray.exchange.format import Request
from lsg_ray.exchange.layers import Match, match_layers
from lsg_ray.exchange.source import Rows, Source
from lsg_ray.spec.specification import MAX_WEIGHTS
from lsg_ray.typing import Array

Tensors = Mapping[str, Array]
#: Largest number of tensors of a state dict.
MAX_TENSORS = 1_000
#: Keys under which training scripts save a state dict beside other objects.
WRAPPERS = ("state_dict", "model_state_dict", "model")


class StateDicts(Source):
    """Configurations of state dicts that have the same names and shapes.

    Parameters
    ----------
    name
        Name for messages.
    names
        Name of each state dict, for messages.
    load
        Function that returns a state dict by its index.
    request
        Widths and layout of the network, where they are known.
    notes
        List to which ``load`` adds notes for the user.
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        load: Callable[[int], Tensors],
        request: Request,
        notes: list[str],
    ) -> None:
        self._names, self._load = names, load
        first = load(0)
        self._shapes = {key: tensor.shape for key, tensor in first.items()}
        self._match: Match | None = None
        n_weights = sum(tensor.size for tensor in first.values())
        super().__init__(name, len(names), n_weights, self._shapes)
        self.notes = notes
        if request.widths is not None:
            self._match = match_layers(self._shapes, request.widths, request.layout, names[0])
            self.matched, self.biases = True, self._match.biases
            self._add_notes(self._match, request)
        elif request.layout is not None:
            raise InputError(f"layout {request.layout!r} given without the widths of a network")

    def _add_notes(self, match: Match, request: Request) -> None:
        if match.layout == "in-out":
            self.notes.append("matrices are [in, out] and are transposed")
        elif not match.certain and request.layout is None:
            self.notes.append(
                "matrices are taken as [out, in], as torch has them; their shapes fit [in, out] as "
                "well, for which pass --layout in-out"
            )
        order = [layer.matrix for layer in match.layers]
        self.notes.append(f"layers: {', '.join(order)}{', with biases' if match.biases else ''}")

    def read(self, start: int, stop: int) -> Rows:
        rows: list[Array] = []
        for number in range(start, stop):
            tensors = self._load(number)
            self._check(number, tensors)
            if self._match is not None:
                rows.append(self._match.row(tensors))
            else:
                rows.append(np.concatenate([tensors[key].ravel() for key in self._shapes]))
        return Rows(np.stack(rows), {})

    def _check(self, number: int, tensors: Tensors) -> None:
        shapes = {key: tensor.shape for key, tensor in tensors.items()}
        if shapes == self._shapes:
            return
        name, first = self._names[number], self._names[0]
        for key in [*self._shapes, *shapes]:
            shape, expected = shapes.get(key), self._shapes.get(key)
            if shape != expected:
                raise InputError(
                    f"{name}: {shown(key)} is {shape or 'missing'}, and {expected or 'missing'} in "
                    f"{first}; all must have the same names and shapes"
                )


class Stacked(StateDicts):
    """State dicts in tensors whose first axis runs over configurations."""

    def __init__(self, name: str, tensors: Tensors, request: Request, notes: list[str]) -> None:
        sizes = {tensor.shape[0] if tensor.ndim else 0 for tensor in tensors.values()}
        if len(sizes) != 1 or 0 in sizes:
            raise InputError(
                f"{name}: tensors of {sorted(sizes)} configurations; all must be of as many"
            )
        names = [f"{name}: configuration {number}" for number in range(sizes.pop())]
        super().__init__(
            name, names or [name], lambda i: {k: t[i] for k, t in tensors.items()}, request, notes
        )


def plain_tensors(contents: object, name: str, notes: list[str]) -> dict[str, Array]:
    """Return the tensors of a state dict as arrays; counters are left out.

    Parameters
    ----------
    contents
        Object that was read.
    name
        Name of the file, for messages.
    notes
        List to which notes on tensors left out are added.

    Raises
    ------
    InputError
        It is no state dict, or too large.
    """
    tree: Any = contents
    if isinstance(tree, Mapping):
        inner = [key for key in WRAPPERS if isinstance(tree.get(key), Mapping)]
        if inner:
            tree = tree[inner[0]]
            _note(notes, f"the state dict is read from key {inner[0]!r}")
    if not isinstance(tree, Mapping) or not tree:
        raise InputError(
            f"{name}: {type(contents).__name__} given; a state dict is needed: names and tensors, "
            "as torch.save(model.state_dict(), PATH) writes it"
        )
    if len(tree) > MAX_TENSORS:
        raise InputError(f"{name}: {len(tree):,} tensors; at most {MAX_TENSORS:,}")
    tensors, total = {}, 0
    for key, tensor in tree.items():
        if not isinstance(key, str) or not key.isprintable() or not key.isascii() or not key:
            raise InputError(f"{name}: tensor {shown(key)}: names are plain characters")
        if not hasattr(tensor, "shape") or not hasattr(tensor, "dtype"):
            raise InputError(
                f"{name}: {key} is {type(tensor).__name__}, and no tensor; save the state dict "
                "alone"
            )
        size = int(np.prod(tensor.shape, dtype=np.float64))
        total += size
        if total > MAX_WEIGHTS:
            raise InputError(
                f"{name}: {total:,} weights in one configuration; at most {MAX_WEIGHTS:,}"
            )
        if not len(tensor.shape) and "int" in str(tensor.dtype):
            _note(notes, f"counters are left out: {key}")
            continue
        array = as_numbers(tensor, f"{name}: {key}", None)
        if not array.size:
            raise InputError(f"{name}: {key} of shape {tuple(array.shape)} is empty")
        # Half precision as float32, so that rows have one type.
        tensors[key] = array.astype(np.float32) if array.dtype == np.float16 else array
    return tensors


def _note(notes: list[str], line: str) -> None:
    if line not in notes:
        notes.append(line)


def in_memory(
    states: Sequence[object], request: Request, name: str = "state dicts", entry: str = "state dict"
) -> StateDicts:
    """Return state dicts in memory as a source; ``entry``: what one of several is called.

    Raises
    ------
    InputError
        One is no state dict.
    """
    notes: list[str] = []
    names = [f"{entry} {number}" for number in range(len(states))] if len(states) > 1 else [name]

    def load(number: int) -> Tensors:
        return plain_tensors(states[number], names[number], notes)

    return StateDicts(name, names, load, request, notes)
