"""Committees of ±1 weights: hidden units of sign, the majority decides."""

import numpy as np
from pydantic import BaseModel

from lsg_ray.ensemble.schema import scalars
from lsg_ray.networks.family import Family


class Options(BaseModel, extra="forbid"):
    bias: float = 0.0


class Committee(Family):
    name, about, signs, algorithm = "toy-committee", "committees", True, "toy-search"
    config = Options
    defaults = {"dataset": {"components": None}, "ensemble": {"threshold": 0.5}}
    measures = ("accuracy", "loss", "test_accuracy")

    def activation(self, network, layer, z):
        return np.where(z >= 0, 1.0, -1.0)

    def columns(self, spec):
        return scalars(
            {
                "accuracy": ("<f8", "accuracy"),
                "loss": ("<f8", "share of errors"),
                "test_accuracy": ("<f8", "accuracy on the test set"),
                "trial": ("<i4", "trial"),
            }
        )

    def prepare(self, spec, dataset):
        return dataset.train.x - 0.5, dataset.train.y, dataset.test.x - 0.5, dataset.test.y

    def evaluate(self, spec, weights, x, y):
        z = self.outputs(spec.network, weights, x) + spec.network.options.get("bias", 0.0)
        right = (z.argmax(axis=1) == y).mean(axis=1)
        return right, 1 - right

    def measure(self, spec, arena, weights):
        x, y, x_test, y_test = arena
        accuracy, loss = self.evaluate(spec, weights, x, y)
        tested, _ = self.evaluate(spec, weights, x_test, y_test)
        return {"accuracy": accuracy, "loss": loss, "test_accuracy": tested}

    def starts(self, spec, seeds):
        draws = [np.random.default_rng(s).integers(0, 2, spec.network.n_weights) for s in seeds]
        return (2 * np.array(draws) - 1).astype(np.int8)


FAMILY = Committee()
