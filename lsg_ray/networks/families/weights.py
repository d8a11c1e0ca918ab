"""Weights alone: of networks that nothing is known of but their numbers, by layer.

Such a store is imported, never sampled.  Everything that is computed of weights can be computed of
it: moments, overlaps, distances, clusters, effective models; what needs outputs is refused with
what to add.  The layers are tensors of any shape, by name; each is stored as a matrix, whose rows
run along the first axis.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from lsg_ray.ensemble.schema import ArrayLayout
from lsg_ray.ensemble.view import NO_OUTPUTS
from lsg_ray.errors import InputError
from lsg_ray.networks.family import Family
from lsg_ray.spec import NetworkSpec, Spec
from lsg_ray.spec.specification import MAX_WEIGHTS
from lsg_ray.typing import JsonObject

_SHAPE = re.compile(r"[1-9]\d{0,9}(x[1-9]\d{0,9}){0,7}")
_NAME = re.compile(r"[ -~]{1,200}")


class LayerOptions(BaseModel):
    """Layers by name: ``names``, and ``shapes`` as text, such as ``15x20``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    names: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()

    @field_validator("names")
    @classmethod
    def _printable(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_NAME.fullmatch(name) for name in names) or len(set(names)) < len(names):
            raise ValueError("distinct names of plain characters are needed, 200 at most each")
        return names

    @field_validator("shapes")
    @classmethod
    def _sizes(cls, shapes: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_SHAPE.fullmatch(shape) for shape in shapes):
            raise ValueError("shapes such as 15x20 are needed")
        return shapes

    @model_validator(mode="after")
    def _one_each(self) -> LayerOptions:
        if len(self.names) != len(self.shapes):
            raise ValueError(f"{len(self.names)} names and {len(self.shapes)} shapes given")
        return self


def layer_options(layers: Mapping[str, Sequence[int]]) -> JsonObject:
    """Return the options of a network whose layers have these names and shapes.

    >>> layer_options({"0.weight": (15, 20), "scale": ()})
    {'names': ['0.weight', 'scale'], 'shapes': ['15x20', '1']}
    """
    return {
        "names": list(layers),
        "shapes": ["x".join(map(str, shape or (1,))) for shape in layers.values()],
    }


def joined_name(module: int) -> str:
    """Return the name of a layer [out, in + 1] that holds a matrix and its biases.

    >>> joined_name(2)
    '2.weight|2.bias'
    """
    return f"{module}.weight|{module}.bias"


def layers_of(network: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the layers by name; empty where they are not known."""
    names, shapes = (network.options.get(key, ()) for key in ("names", "shapes"))
    try:
        known = LayerOptions(names=names, shapes=shapes)
    except ValueError:  # reported with the specification
        return {}
    return {
        name: tuple(map(int, shape.split("x")))
        for name, shape in zip(known.names, known.shapes, strict=True)
    }


class _Weights(Family):
    has_outputs = False
    measures = ()
    algorithm = ""
    config = LayerOptions
    sections = ()

    def shapes(self, network: NetworkSpec) -> tuple[tuple[int, int], ...]:
        layers = layers_of(network)
        if not layers:
            return tuple((out, into) for into, out in itertools.pairwise(network.widths))
        return tuple((shape[0], math.prod(shape[1:])) for shape in layers.values())

    def layer_name(self, network: NetworkSpec, layer: int) -> str:
        named = list(layers_of(network).items())
        if not named:
            return super().layer_name(network, layer)
        name, shape = named[layer]
        return f"{name}, {'x'.join(map(str, shape))}"

    def block_size(self, spec: Spec) -> int:
        return min(1000, spec.ensemble.count)

    def columns(self, spec: Spec) -> tuple[ArrayLayout, ...]:
        del spec
        return ()

    def misfits(self, spec: Spec) -> Iterable[str]:
        if spec.network.biases:
            yield "network.biases: true given; layers of weights alone are named in network.options"
        if spec.network.n_weights > MAX_WEIGHTS:
            yield f"network.options: {spec.network.n_weights} weights; at most {MAX_WEIGHTS}"
        if spec.training.algorithm is not None or spec.ensemble.snapshots:
            yield "training, ensemble.snapshots: weights alone are imported, and not trained"

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise InputError(f"this ensemble {NO_OUTPUTS}")

    prepare = measure = evaluate = outputs = starts = _refuse


class _Signs(_Weights):
    name, about, signs = "weights", "weights of ±1 without a network", True


class _Reals(_Weights):
    name, about, signs = "real-weights", "real weights without a network", False


SIGNS, REALS = _Signs(), _Reals()
