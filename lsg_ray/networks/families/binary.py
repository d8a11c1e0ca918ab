"""Networks of ±1 weights, without biases, of leaky ReLU units (liquid-like paper, Sec. II).

A trial trains one network (`lsg_ray.networks.solvers.mean_field`); configurations are stored one
bit a weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lsg_ray.arrays import read_only
from lsg_ray.datasets import Dataset
from lsg_ray.ensemble.schema import ArrayLayout, scalars
from lsg_ray.networks import binary_network
from lsg_ray.networks.family import RELU_ONLY, SCALAR_COLUMNS, Family, not_neutral
from lsg_ray.networks.layout import Arena, chunk_examples
from lsg_ray.networks.solvers.mean_field import Frozen, draw, initial_fields
from lsg_ray.networks.trial import Purpose, check_examples
from lsg_ray.spec import NetworkSpec, Spec
from lsg_ray.typing import Array, Floats, Signs


class _Binary(Family):
    name = "binary"
    about = "binary networks"
    signs = True
    algorithm = "mean-field"
    study = "lsg_ray.studies:of_signs"

    def misfits(self, spec: Spec) -> Iterable[str]:
        yield from not_neutral(spec, {"network.biases": False}, RELU_ONLY)
        parts = spec.network.parts
        for part in spec.ensemble.frozen_parts:
            if part not in parts:
                allowed = ", ".join(parts)
                yield f"ensemble.frozen_parts: {part!r} given; this network has {allowed}"
        if set(spec.ensemble.frozen_parts) >= set(parts):
            yield "ensemble.frozen_parts: every part is frozen; leave one to be trained"

    def columns(self, spec: Spec) -> tuple[ArrayLayout, ...]:
        names = ("accuracy", "loss", "test_accuracy", "trial", "epochs", "polarization")
        columns = scalars({name: SCALAR_COLUMNS[name] for name in names})
        if not spec.ensemble.store_fields:
            return columns
        about = {"description": "trained fields theta"}
        row = (spec.network.n_weights,)
        return (*columns, ArrayLayout("fields", "<f4", row, ("configuration", "weight"), about))

    def prepare(self, spec: Spec, dataset: Dataset) -> Arena:
        test = chunk_examples(dataset.test.x, dataset.test.y)
        chosen = dataset.examples(spec.ensemble.selection)
        selection = test if chosen is dataset.test else chunk_examples(chosen.x, chosen.y)
        x, y = dataset.train.x, dataset.train.y
        check_examples(spec.network, x, y, spec.loss)
        return Arena(read_only(x, np.float32), read_only(y, np.int32), selection, test)

    def measure(self, spec: Spec, arena: Arena, weights: Signs) -> Mapping[str, Floats]:
        accuracy, loss = binary_network.evaluate(spec.network, weights, arena.selection, spec.loss)
        tested, _ = binary_network.evaluate(spec.network, weights, arena.test, spec.loss)
        return {"accuracy": accuracy, "loss": loss, "test_accuracy": tested}

    def evaluate(self, spec: Spec, weights: Array, x: Array, y: Array) -> tuple[Floats, Floats]:
        return binary_network.evaluate(spec.network, weights, chunk_examples(x, y), spec.loss)

    def activation(self, network: NetworkSpec, layer: int, z: Array) -> Array:
        a = super().activation(network, layer, z)
        a /= math.sqrt(network.widths[layer])
        return a

    def starts(self, spec: Spec, seeds: Sequence[np.random.SeedSequence]) -> Array:
        frozen = Frozen(spec.ensemble.frozen_parts, spec.ensemble.frozen_field)
        fields = initial_fields(spec.network, spec.training, seeds, frozen)
        fixed = frozen.weights(spec.network)
        drawn = [draw(f, 1, s, fixed, Purpose.START) for f, s in zip(fields, seeds, strict=True)]
        return np.concatenate(drawn)

    def advice(self, spec: Spec, accepted: int, missed: Floats, losses: Floats) -> str:
        del losses
        diverged = int(np.isnan(missed).sum())
        low, quarter, median, high, top = np.quantile(
            np.nan_to_num(missed), [0, 0.25, 0.5, 0.75, 1]
        )
        ensemble = spec.ensemble
        return (
            f"{accepted} of {accepted + len(missed)} trials reached "
            f"ensemble.threshold = {ensemble.threshold:g}"
            f"{f', {diverged} diverged (lower training.learning_rate)' if diverged else ''}.\n"
            f"Best accuracies of {ensemble.draws} draws on the {ensemble.selection} set, of those "
            f"that missed: min {low:.4f}, quartiles {quarter:.4f} {median:.4f} {high:.4f}, "
            f"max {top:.4f}.\n"
            f"Lower ensemble.threshold (half of these trials reach {median:.4f}), train longer "
            f"(training.epochs = {spec.training.epochs}), or widen network.widths, each with "
            "another --out, as it makes another ensemble; or raise ensemble.give_up_after."
        )


FAMILY = _Binary()
