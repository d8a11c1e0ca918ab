"""What solvers by message passing share: sweeps until the signs of the fields solve the patterns.

A solver is an iterator of total fields (K, n), first those it starts from, then those after each
sweep over all patterns, which is an epoch; where its protocol ends, it does.  Weights are the signs
of the fields, without decimation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.datasets import Dataset
from lsg_ray.errors import InputError
from lsg_ray.networks.algorithm import Algorithm
from lsg_ray.networks.factor_graph import gauged
from lsg_ray.networks.families.committee import Stop
from lsg_ray.networks.solvers import committee_trial
from lsg_ray.networks.solvers.committee_trial import Config, End, Trial, epochs_only
from lsg_ray.networks.trial import Purpose
from lsg_ray.spec import Spec
from lsg_ray.typing import Floats, Signs

#: Largest number of bytes of messages: a worker holds those of one trial.
MAX_BYTES = 2**34


class Messages(BaseModel, extra="forbid", frozen=True):
    """Options of the random numbers that messages start from."""

    start: float = Field(0.01, gt=0, description="Standard deviation of the first messages.")
    noise: float = Field(
        0.1,
        ge=0,
        description="Standard deviation of random fields on the weights; at 0 most trials end "
        "in the same solution.",
    )


def search(
    fields: Iterator[Floats],
    errors: Callable[[Floats], int],
    max_sweeps: int,
    visit: Callable[[Floats], None] = lambda _: None,
) -> End:
    """Sweep until no pattern is wrong, the protocol ends, or the largest number of sweeps is made.

    Parameters
    ----------
    fields
        Of a solver; see above.
    errors
        Number of wrong patterns of weights with the signs of fields (K, n).
    max_sweeps
        Sweeps, at most.
    visit
        Called with the fields before each sweep.
    """
    now = next(fields)
    for sweep in range(1, max_sweeps + 1):
        visit(now)
        new = next(fields, None)
        if new is None:
            return End(now, sweep - 1, Stop.PROTOCOL)
        now = new
        if not np.isfinite(now).all():
            return End(now, sweep, Stop.DIVERGED)
        if errors(now) == 0:
            return End(now, sweep, Stop.SOLVED)
    return End(now, max_sweeps, Stop.EPOCHS)


def algorithm(
    name: str,
    families: tuple[str, ...],
    config: type[Config],
    solver: Callable[[Signs, int, Config, np.random.Generator], Iterator[Floats]],
    check: Callable[[Spec, Dataset], None],
) -> Algorithm:
    """Return the training algorithm of a solver.

    Parameters
    ----------
    name, families, config, check
        As of `Algorithm`.
    solver
        ``solver(x, K, options, rng)``: its fields, for patterns x of P with labels absorbed, and K
        hidden units.
    """

    def solve(trial: Trial, options: Config) -> End:
        fields = solver(
            gauged(trial.patterns.x, trial.patterns.s),
            trial.shape[0],
            options,
            trial.rng(Purpose.INITIAL),
        )

        def errors(now: Floats) -> int:
            return int(trial.errors(now[None])[0])

        return search(fields, errors, trial.epochs, lambda now: trial.sweep(now[None]))

    def warm_up(_: Spec) -> None:
        fields = solver(np.ones((1, 1, 1), np.int8), 1, config(), np.random.default_rng(0))
        next(fields)
        next(fields)

    return committee_trial.algorithm(
        name, families, config, solve, misfits=epochs_only, unused={}, check=check, warm_up=warm_up
    )


def check_memory(spec: Spec, dataset: Dataset) -> None:
    """Raise `InputError` where messages, 8 P N bytes, would take too much memory."""
    count, n = len(dataset.train.y), spec.network.n_weights
    need = 8 * count * n
    if need > MAX_BYTES:
        raise InputError(
            f"messages of {count:,} patterns to {n:,} weights take {need / 2**30:,.0f} GiB of "
            f"memory; at most {MAX_BYTES / 2**30:.0f}: take fewer, or training.algorithm: "
            "reinforced-amp, which keeps none"
        )
