"""The best of some random configurations."""

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.networks.algorithm import Algorithm, Candidate
from lsg_ray.registry import FAMILIES
from lsg_ray.rng import Stream, seed_sequence


class Options(BaseModel, extra="forbid"):
    tries: int = Field(10, gt=0)


def trainer(spec, arena, device):
    family = FAMILIES[spec.network.family]
    options = Options(**spec.training.options)

    def one(configuration, trial):
        seed = seed_sequence(spec.ensemble.seed, Stream.TRIAL, configuration, trial)
        rng = np.random.default_rng(seed)
        weights = rng.integers(0, 2, (options.tries, spec.network.n_weights)) * 2 - 1
        weights = weights.astype(np.int8)
        accuracy, _ = family.evaluate(spec, weights, arena[0], arena[1])
        best = int(accuracy.argmax())
        kept = np.array([weights[best]] * len(spec.snapshot_steps))
        return Candidate(float(accuracy[best]), weights[best], {}, kept)

    return lambda configurations, trial: [one(c, trial) for c in configurations]


ALGORITHM = Algorithm("toy-search", ("toy-committee",), trainer, config=Options)
