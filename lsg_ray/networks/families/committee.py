"""Perceptrons, committees and parity machines, of ±1 weights or of weights on the sphere.

K hidden units with n inputs each read a pattern ξ, its own n inputs each (tree, K n in all) or the
same (full), and only their weights W (K, n) are learned, N = K n:

    h_l = ξ_l · W_l,  τ_l = sign h_l,  committee: sign Σ_l τ_l,  parity machine: Π_l τ_l.

A pattern is wrong where its label s = ±1 differs from that; L_NE is the number of wrong ones, and a
configuration with L_NE = 0 on its P = αN patterns is a solution.  Weights on the sphere have
|W_l|² = n; only directions matter.  Ties must not be: K of a majority is odd (a product has none),
and with ±1 weights and inputs n too.

Source: C. Baldassi, F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833, Sec. 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.arrays import read_only
from lsg_ray.ensemble.schema import ArrayLayout, scalars
from lsg_ray.errors import InputError
from lsg_ray.networks.family import SCALAR_COLUMNS, Family
from lsg_ray.networks.trial import Purpose, check_examples, trial_generator
from lsg_ray.registry import FAMILIES
from lsg_ray.typing import Array, Flags, Floats, Ints, Signs, Singles

if TYPE_CHECKING:
    from lsg_ray.datasets import Dataset
    from lsg_ray.spec import NetworkSpec, Spec

#: Fields h that are computed at a time.
_FIELDS_AT_A_TIME = 2**24
#: Columns of a configuration beside those of all families.
_COLUMNS = {
    "errors": ("<i4", "wrong patterns L_NE of the training set"),
    "epochs": ("<i4", "epochs or sweeps of the accepted trial"),
    "alpha": ("<f8", "patterns per weight P/N"),
    "norm": ("<f8", "root mean square of the weights"),
    "stopped": (
        "<i4",
        "why training ended: 0 solved, 1 epochs used up, 2 no longer finite, 3 end of its protocol",
    ),
}


class Stop(IntEnum):
    """Why a trial ended."""

    SOLVED = 0  # no error on the patterns, and what else its solver waits for
    EPOCHS = 1  # training.epochs were used up before that
    DIVERGED = 2  # weights are no longer finite
    PROTOCOL = 3  # its protocol came to its end, with errors left


class Options(BaseModel, extra="forbid", frozen=True):
    """Options of committees and parity machines."""

    connection: Literal["tree", "full"] = Field(
        "tree", description="Inputs of hidden units: their own (tree), or all inputs (full)."
    )


class Patterns(NamedTuple):
    """Patterns as the hidden units read them: x (P, K, n), or (P, 1, n) shared; labels s (P,)."""

    x: Singles
    s: Signs

    @property
    def n_patterns(self) -> int:
        """Number of patterns P."""
        return len(self.x)


class Arena(NamedTuple):
    """What is learned, what configurations are chosen on, and what they are tested on."""

    train: Patterns
    selection: Patterns
    test: Patterns


def n_units(network: NetworkSpec) -> int:
    """Return the number of hidden units K; 1 of a perceptron."""
    return 1 if len(network.widths) == 2 else network.widths[1]


def patterns_of(network: NetworkSpec, x: Array, y: Array) -> Patterns:
    """Lay out examples x (P, inputs) and labels ±1 for `fields`."""
    ((units, n),) = network.shapes
    shared = units * n != network.widths[0]
    return Patterns(
        read_only(np.reshape(x, (len(x), 1 if shared else units, n)), np.float32),
        read_only(y, np.int8),
    )


def fields(weights: Array, x: Array) -> Floats:
    """Return h (rows, P, K) of weights (rows, K, n) and patterns (P, K or 1, n).

    ±1 weights in float32, where sums of ±1 inputs are exact; others in float64.  Cost: 2 N P rows
    flop.
    """
    kind = np.float32 if weights.dtype == np.int8 else np.float64
    w, x = weights.astype(kind), x.astype(kind, copy=False)
    units = w.shape[1]
    h = np.empty((len(w), len(x), units), kind)
    for unit in range(units):
        h[..., unit] = w[:, unit] @ x[:, unit if x.shape[1] > 1 else 0].T
    return h


class _Committee(Family):
    """Committees; perceptrons and parity machines differ in what decides."""

    study = "lsg_ray.studies:of_statistics"
    permutable = False
    config: ClassVar[type[BaseModel] | None] = Options
    #: Whether the output is the product of the hidden units, and not their majority.
    product: ClassVar[bool] = False
    #: Whether there is one unit, without a layer of its own.
    single: ClassVar[bool] = False
    defaults: ClassVar = {
        "dataset": {"name": "random-patterns", "components": None, "labels": "parity"},
        "network": {"widths": (495, 9, 1), "leaky_slope": 0.0},
        "training": {"epochs": 1000, "gamma": 0.0},
        # Solutions only: no error on the patterns.
        "ensemble": {"selection": "train", "threshold": 1.0, "draws": 1, "count": 100},
    }

    def shapes(self, network: NetworkSpec) -> tuple[tuple[int, int], ...]:
        units = n_units(network)
        full = network.options.get("connection", "tree") == "full"
        return ((units, network.widths[0] if full else network.widths[0] // units),)

    def parts(self, network: NetworkSpec) -> dict[str, slice]:
        return {"LB": network.layer_slices[0]}

    def misfits(self, spec: Spec) -> Iterable[str]:
        widths = spec.network.widths
        if spec.dataset.labels != "parity":
            yield (
                f"dataset.labels: {spec.dataset.labels!r} given; {self.about} learn labels ±1: "
                "'parity'"
            )
        if spec.network.biases:
            yield f"network.biases: True given; {self.about} have none"
        layers = 2 if self.single else 3
        if len(widths) != layers:
            form = "inputs and 1" if self.single else "inputs, hidden units and 1"
            yield f"network.widths: {list(widths)} given; {self.about} have {form}"
            return
        units = n_units(spec.network)
        if units % 2 == 0 and not self.product:
            yield f"network.widths: {units} hidden units given; an odd number has no ties"
        ((_, n),) = self.shapes(spec.network)
        full = spec.network.options.get("connection", "tree") == "full"
        if not full and widths[0] % units:
            yield f"network.widths: {widths[0]} inputs given; a tree needs a multiple of {units}"
        elif self.signs and n % 2 == 0:
            yield (
                f"network.widths: {n} inputs of each unit given; with ±1 weights an odd number has "
                "no ties"
            )

    def columns(self, spec: Spec) -> tuple[ArrayLayout, ...]:
        del spec
        return scalars(
            {name: SCALAR_COLUMNS[name] for name in (*self.measures, "trial")} | _COLUMNS
        )

    def prepare(self, spec: Spec, dataset: Dataset) -> Arena:
        check_examples(spec.network, dataset.train.x, dataset.train.y, "hinge")
        chosen = dataset.examples(spec.ensemble.selection)
        parts = {
            id(part): patterns_of(spec.network, part.x, part.y)
            for part in (dataset.train, dataset.test, chosen)
        }
        if self.signs and not _are_odd(parts[id(dataset.train)].x):
            raise InputError(
                "inputs are not ±1; with ±1 weights sums could tie: set dataset.binarize, or use "
                f"spherical-{self.name}"
            )
        return Arena(parts[id(dataset.train)], parts[id(chosen)], parts[id(dataset.test)])

    def output_of(self, h: Floats) -> Floats:
        """Return what decides (rows, P) of fields h (rows, P, K); its sign is the output."""
        if self.single:
            return h[..., 0]
        tau = np.where(h >= 0, np.int8(1), np.int8(-1))
        return np.prod(tau, axis=-1) if self.product else tau.sum(axis=-1, dtype=np.int32)

    def errors(self, network: NetworkSpec, weights: Array, patterns: Patterns) -> Ints:
        """Return the number of wrong patterns L_NE (rows,) of configurations (rows, N).

        A field of exactly zero is wrong: it has no sign.
        """
        errors = np.zeros(len(weights), np.int64)
        for wrong in self._wrong(network, weights, patterns):
            errors += wrong.sum(axis=1)
        return errors

    def wrong(self, network: NetworkSpec, weights: Array, patterns: Patterns) -> Flags:
        """Return which patterns are wrong (rows, P), as `errors` counts them."""
        return np.concatenate(list(self._wrong(network, weights, patterns)), axis=1)

    def _wrong(self, network: NetworkSpec, weights: Array, patterns: Patterns) -> Iterator[Flags]:
        """Yield which patterns are wrong, some at a time."""
        ((units, n),) = network.shapes
        w = np.reshape(weights, (len(weights), units, n))
        size = max(1, _FIELDS_AT_A_TIME // max(1, len(w) * units))
        for start in range(0, patterns.n_patterns, size):
            h = fields(w, patterns.x[start : start + size])
            yield ~(self.output_of(h) * patterns.s[start : start + size] > 0)

    def measure(self, spec: Spec, arena: Arena, weights: Array) -> Mapping[str, Floats]:
        own = self.errors(spec.network, weights, arena.selection)
        tested = self.errors(spec.network, weights, arena.test)
        loss = own / arena.selection.n_patterns
        return {
            "accuracy": 1 - loss,
            "loss": loss,
            "test_accuracy": 1 - tested / arena.test.n_patterns,
        }

    def evaluate(self, spec: Spec, weights: Array, x: Array, y: Array) -> tuple[Floats, Floats]:
        loss = self.errors(spec.network, weights, patterns_of(spec.network, x, y)) / len(x)
        return 1 - loss, loss

    def outputs(self, network: NetworkSpec, weights: Array, x: Array) -> Floats:
        ((units, n),) = network.shapes
        patterns = patterns_of(network, x, np.ones(len(x)))
        h = fields(np.reshape(weights, (len(weights), units, n)), patterns.x)
        return self.output_of(h)[:, None].astype(np.float64)

    def starts(self, spec: Spec, seeds: Sequence[np.random.SeedSequence]) -> Array:
        ((units, n),) = spec.network.shapes
        drawn = [trial_generator(seed, Purpose.START).standard_normal((units, n)) for seed in seeds]
        return np.array([self.stored(w) for w in drawn])

    def stored(self, weights: Floats) -> Array:
        """Return weights (K, n) as they are stored, flat: their signs, or rows of norm √n."""
        if self.signs:
            return np.where(weights >= 0, 1, -1).astype(np.int8).ravel()
        scale = np.sqrt(weights.shape[1]) / np.linalg.norm(weights, axis=1, keepdims=True)
        return (weights * scale).astype(np.float32).ravel()

    def outcome(
        self, spec: Spec, arena: Arena, weights: Floats, epochs: int, stopped: Stop = Stop.SOLVED
    ) -> tuple[float, Array, dict[str, float]]:
        """Return accuracy on the selection set, stored weights, and columns of a solver's result.

        Errors are those of the weights as they are stored: no solver is taken at its word, and
        none of its trials is solved with errors.
        """
        flat = self.stored(weights)
        errors = int(self.errors(spec.network, flat[None], arena.train)[0])
        chosen = self.errors(spec.network, flat[None], arena.selection)[0]
        if errors and stopped == Stop.SOLVED:
            stopped = Stop.EPOCHS
        columns = {
            "errors": errors,
            "epochs": epochs,
            "alpha": arena.train.n_patterns / flat.size,
            "norm": float(np.sqrt(np.mean(flat.astype(np.float64) ** 2))),
            "stopped": int(stopped),
        }
        return 1 - float(chosen) / arena.selection.n_patterns, flat, columns

    def advice(self, spec: Spec, accepted: int, missed: Floats, losses: Floats) -> str:
        del losses
        good = missed[np.isfinite(missed)]
        best = f"; the best had accuracy {good.max():.4f}" if len(good) else ""
        return (
            f"{accepted} of {accepted + len(missed)} trials reached ensemble.threshold = "
            f"{spec.ensemble.threshold:g}{best}.\nRaise training.epochs, take fewer patterns, or "
            f"choose another training.algorithm than {spec.algorithm}; or lower "
            "ensemble.threshold, to keep configurations with errors."
        )


def committee_of(spec: Spec) -> _Committee:
    """Return the family of a specification whose solver is of committees."""
    family = FAMILIES[spec.network.family]
    if not isinstance(family, _Committee):
        raise InputError(f"{family.about} given; {spec.algorithm} is of perceptrons and committees")
    return family


def _are_odd(x: Singles) -> bool:
    """Return whether inputs are ±1, so that sums of an odd number never vanish."""
    return bool(np.all(np.abs(x) == 1))


class _BinaryPerceptron(_Committee):
    name, about, signs, algorithm = "perceptron", "perceptrons of ±1 weights", True, "focusing-bp"
    single = True
    config = None
    defaults: ClassVar = {
        **_Committee.defaults,
        "network": {"widths": (1001, 1), "leaky_slope": 0.0},
    }


class _BinaryCommittee(_Committee):
    name, about, signs, algorithm = "committee", "committees of ±1 weights", True, "focusing-bp"


class _BinaryParity(_Committee):
    name, about, signs, algorithm = "parity", "parity machines of ±1 weights", True, "annealing"
    product = True


class _SphericalPerceptron(_BinaryPerceptron):
    name, about, signs = "spherical-perceptron", "perceptrons on the sphere", False
    algorithm = "least-action"


class _SphericalCommittee(_Committee):
    name, about, signs = "spherical-committee", "committees on the sphere", False
    algorithm = "least-action"


class _SphericalParity(_BinaryParity):
    name, about, signs = "spherical-parity", "parity machines on the sphere", False
    algorithm = "least-action"


PERCEPTRON, COMMITTEE, PARITY = _BinaryPerceptron(), _BinaryCommittee(), _BinaryParity()
SPHERICAL_PERCEPTRON, SPHERICAL_COMMITTEE = _SphericalPerceptron(), _SphericalCommittee()
SPHERICAL_PARITY = _SphericalParity()
