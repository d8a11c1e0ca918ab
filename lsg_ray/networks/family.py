"""A family of networks: what a configuration is, and what can be computed from it.

A new one is a file in `lsg_ray.networks.families` with a ``FAMILY``, and a line in
`lsg_ray.registry.FAMILIES`; that of an installed package is an entry point.  All other code calls
the methods of the family, and knows none by name.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lsg_ray.errors import shown
from lsg_ray.spec import NetworkSpec, Spec
from lsg_ray.typing import Array, Floats

if TYPE_CHECKING:
    from pydantic import BaseModel

    from lsg_ray.datasets import Dataset
    from lsg_ray.ensemble.schema import ArrayLayout

#: Launches of a block, where trials are run many at once: the last of them are not full, and a
#: process that uses a GPU begins anew with each block.
LAUNCHES = 16
#: Type and description of columns that families store of a configuration.
SCALAR_COLUMNS = {
    "accuracy": ("<f8", "accuracy on the set that the configuration was selected on"),
    "loss": ("<f8", "mean loss on the selection set"),
    "test_accuracy": ("<f8", "accuracy on the test set"),
    "test_loss": ("<f8", "mean loss on the test set"),
    "train_accuracy": ("<f8", "accuracy on the training set"),
    "train_loss": ("<f8", "mean loss on the training set"),
    "trial": ("<i4", "index of the accepted trial of this configuration"),
    "epochs": ("<i4", "epochs of training of the accepted trial"),
    "polarization": ("<f4", "mean |tanh(theta/2)| over the weights"),
}


#: Message for a field that only networks of real weights have.
RELU_ONLY = "only relu networks have it (network.family)"


def not_neutral(spec: Spec, neutral: Mapping[str, object], reason: str) -> Iterator[str]:
    """Yield one line for each field, ``section.name``, that differs from its only allowed value.

    ``reason``: end of the line, with ``{}`` for the allowed value.
    """
    for path, value in neutral.items():
        section, _, name = path.partition(".")
        given = getattr(getattr(spec, section), name)
        if given != value:
            yield f"{path}: {shown(given)} given; {reason.format(shown(value))}"


class Family(ABC):
    """A family of networks.

    Networks are chains of layers of the given widths, unless `shapes` says otherwise; a
    configuration lists the layers one after another, each row-major ``[out, in]``.
    """

    #: Name in `network.family`.
    name: ClassVar[str]
    #: Name in reports, in the plural.
    about: ClassVar[str]
    #: Whether weights are ±1, stored as bits, or else real numbers.
    signs: ClassVar[bool]
    #: Whether networks of it have outputs, or else only weights are known.
    has_outputs: ClassVar[bool] = True
    #: Whether networks are chains of fully connected layers, whose hidden units can be permuted.
    permutable: ClassVar[bool] = True
    #: Whether loss and gradient are those of `lsg_ray.networks.relu_network`.
    differentiable: ClassVar[bool] = False
    #: Names of what `measure` returns.
    measures: ClassVar[tuple[str, ...]] = ("accuracy", "loss", "test_accuracy")
    #: Default training algorithm.
    algorithm: ClassVar[str]
    #: Model of `network.options`; None if there are none.
    config: ClassVar[type[BaseModel] | None] = None
    #: Default values of fields by section, where they differ from those of the specification.
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: Path of the default study, ``module:function``: called with an ensemble, and whether models
    #: or the loss landscape are explored.
    study: ClassVar[str] = "lsg_ray.studies:of_statistics"
    #: Paths of the first sections of reports: functions of ensemble and data set.
    sections: ClassVar[tuple[str, ...]] = ("lsg_ray.report.figures.accuracy:accuracy_section",)

    # What a configuration is

    def shapes(self, network: NetworkSpec) -> tuple[tuple[int, int], ...]:
        """Return the shape ``(fan_out, fan_in)`` of each weight matrix, input to output."""
        extra = int(network.biases)
        return tuple((out, into + extra) for into, out in itertools.pairwise(network.widths))

    def layer_name(self, network: NetworkSpec, layer: int) -> str:
        """Return what a layer, counted from 0, is called in the description of its array."""
        del network
        return f"layer {layer}"

    def parts(self, network: NetworkSpec) -> dict[str, slice]:
        """Return the slice of each named part: ``LB`` first layer, ``RB`` last, ``ITR`` between."""
        layers = network.layer_slices
        parts = {"LB": layers[0]}
        if len(layers) > 2:
            parts["ITR"] = slice(layers[1].start, layers[-2].stop)
        if len(layers) > 1:
            parts["RB"] = layers[-1]
        return parts

    def misfits(self, spec: Spec) -> Iterable[str]:
        """Yield one line for each field of a specification that these networks do not support."""
        del spec
        return ()

    def block_size(self, spec: Spec) -> int:
        """Return the default size of a block: 1,000 configurations, or fewer to make 64 blocks."""
        size = min(1000, -(-spec.ensemble.count // 64))
        if spec.together > 1:  # the last launches of a block are not full
            size = max(size, min(spec.ensemble.count, LAUNCHES * spec.together))
        return -(-size // spec.stack) * spec.stack

    @abstractmethod
    def columns(self, spec: Spec) -> tuple[ArrayLayout, ...]:
        """Return the columns of a configuration beside its weights: ``accuracy``, ``trial``, …"""

    # What can be computed from it

    @abstractmethod
    def prepare(self, spec: Spec, dataset: Dataset) -> Any:
        """Convert a data set for trials; done once per run, shared by all workers.

        Raises
        ------
        InputError
            The examples do not fit the networks.
        """

    @abstractmethod
    def measure(self, spec: Spec, arena: Any, weights: Array) -> Mapping[str, Array]:
        """Return `measures` of configurations (rows, N): ``accuracy``, ``loss`` on the selection
        set, ``test_accuracy``, ….
        """

    @abstractmethod
    def evaluate(self, spec: Spec, weights: Array, x: Array, y: Array) -> tuple[Floats, Floats]:
        """Return accuracy and mean loss (rows,) of configurations on examples x (P, inputs), y."""

    def activation(self, network: NetworkSpec, layer: int, z: Array) -> Array:
        """Return the activations of a hidden layer, counted from 0, from its pre-activations."""
        del layer
        # Leaky ReLU is max(z, slope z), for slopes up to 1.
        return np.maximum(z, network.leaky_slope * z)

    def outputs(self, network: NetworkSpec, weights: Array, x: Array) -> Floats:
        """Return outputs (rows, outputs, P) for inputs x (P, inputs), in float64."""
        a = np.broadcast_to(x.T.astype(np.float64), (len(weights), *x.T.shape))
        layers = zip(network.layer_slices, network.shapes, strict=True)
        for layer, (layer_slice, shape) in enumerate(layers):
            W = weights[:, layer_slice].reshape(-1, *shape).astype(np.float64)
            z = W[..., :-1] @ a + W[..., -1:] if network.biases else W @ a
            if layer + 1 < len(network.shapes):
                a = self.activation(network, layer, z)
        return z

    @abstractmethod
    def starts(self, spec: Spec, seeds: Sequence[np.random.SeedSequence]) -> Array:
        """Return the initial configurations of trials, (N,) for each seed."""

    def advice(self, spec: Spec, accepted: int, missed: Floats, losses: Floats) -> str:
        """Describe what was observed, and what to change, where too few trials are accepted."""
        del losses
        ensemble = spec.ensemble
        return (
            f"{accepted} of {accepted + len(missed)} trials were accepted; lower "
            f"ensemble.threshold = {ensemble.threshold:g}, train longer, or raise "
            "ensemble.give_up_after"
        )
