r"""Descent of related ReLU networks: children of one parent, or signs that are kept alike.

Consecutive configurations form groups of ``group`` networks; those of different groups are
independent.  Within a group,

- with ``parent_epochs``, all start from one parent: a network that was trained for that many epochs
  from its own start, in its own order of examples, and is not stored.  0 is a common start.
- with ``sign_penalty`` γ, all but the first are pulled to the signs of the first, a: they minimise

      loss + γ Σ_i max(0, −sign(a_i) w_i),

  whose gradient is −γ sign(a_i) where the signs differ.  The first is trained without it.

The order of examples is each network's own.  Otherwise as `lsg_ray.networks.solvers.descent`.

Signs that networks share, and what their average is like, are of arXiv:2405.12489 (NeurIPS 2024);
this form of the penalty is of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, ValidationError

from lsg_ray.networks.algorithm import Algorithm, Candidate, Run
from lsg_ray.networks.families.relu import Arena, fixed_field
from lsg_ray.networks.family import not_neutral
from lsg_ray.networks.initial_weights import initial_weights
from lsg_ray.networks.solvers.descent import (
    FIXED_FIELDS,
    DescentOptions,
    Related,
    Solutions,
    candidates,
    check_memory,
    stack_size,
    train_networks,
)
from lsg_ray.networks.threads import one_thread
from lsg_ray.networks.trial import Purpose, trial_seed
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import Spec
from lsg_ray.typing import Ints, Singles

if TYPE_CHECKING:
    from torch import Tensor

    from lsg_ray.networks.first_layer import Inputs


class Options(DescentOptions):
    """Options of descent of related networks."""

    group: int = Field(
        4, ge=2, le=1024, description="Number of consecutive networks that are related."
    )
    parent_epochs: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="Number of epochs of the parent that a group starts from; null for own starts.",
    )
    sign_penalty: float = Field(
        0.0, ge=0, le=1e6, description="Coefficient γ of the penalty on signs unlike the first's."
    )


def group_of(spec: Spec) -> int:
    """Return the number of consecutive configurations that are related; 1 where all are
    independent.
    """
    if spec.training.algorithm != ALGORITHM.name:
        return 1
    return Options.model_validate(spec.training.options).group


def _trainer(spec: Spec, arena: Arena, device: str | None) -> Run:
    """Return a function that runs trials, with the examples on the device."""
    groups = _Groups(spec, [part.on(device) for part in arena])

    def run(configurations: Sequence[int], trial: int) -> list[Candidate]:
        with one_thread():
            return groups.run(np.array(configurations), trial)

    return run


class _Groups:
    """Training of the networks of some groups."""

    def __init__(self, spec: Spec, sets: list[tuple[Inputs, Tensor]]) -> None:
        self.spec, self.sets = spec, sets
        self.options = Options.model_validate(spec.training.options)

    def run(self, numbers: Ints, trial: int) -> list[Candidate]:
        """Run trial number ``trial`` of some configurations."""
        if not self.options.sign_penalty:
            return self._candidates(numbers, trial)
        first = numbers % self.options.group == 0
        # All of a group have one reference, whichever trials are accepted.
        owners, owner = np.unique(numbers - numbers % self.options.group, return_inverse=True)
        references = self._trained(owners, 0)
        signs = np.sign(references.weights)[owner[~first]]
        # At trial 0 stacks are whole, so the references are the first of all groups.
        of_first = (
            candidates(self.spec, self.sets, references)
            if trial == 0
            else self._candidates(numbers[first], trial)
        )
        firsts, others = iter(of_first), iter(self._candidates(numbers[~first], trial, signs))
        return [next(firsts if one else others) for one in first]

    def _candidates(
        self, numbers: Ints, trial: int, signs: Singles | None = None
    ) -> list[Candidate]:
        if not len(numbers):
            return []
        return candidates(self.spec, self.sets, self._trained(numbers, trial, signs))

    def _trained(self, numbers: Ints, trial: int, signs: Singles | None = None) -> Solutions:
        spec = self.spec
        train, _, test = self.sets
        epochs = self.options.parent_epochs
        starts = None if epochs is None else self.parents(numbers, epochs)
        related = Related(starts, signs, self.options.sign_penalty)
        return train_networks(
            spec.network,
            spec.training,
            train,
            test,
            _seeds(spec, numbers, [trial] * len(numbers)),
            spec.snapshot_steps,
            related=related,
        )

    def parents(self, numbers: Ints, epochs: int) -> Singles:
        """Train the parents of networks; return their weights (networks, N)."""
        owners, owner = np.unique(numbers - numbers % self.options.group, return_inverse=True)
        seeds = _parent_seeds(self.spec, owners)
        training = self.spec.training.model_copy(update={"epochs": epochs, "target_loss": None})
        train, _, test = self.sets
        return train_networks(self.spec.network, training, train, test, seeds).weights[owner]


def _seeds(spec: Spec, numbers: Ints, trials: Sequence[int]) -> list[np.random.SeedSequence]:
    """Return the addresses of trials in the seed tree."""
    pairs = zip(numbers.tolist(), trials, strict=True)
    return [seed_sequence(spec.ensemble.seed, Stream.TRIAL, n, trial) for n, trial in pairs]


def _parent_seeds(spec: Spec, owners: Ints) -> list[np.random.SeedSequence]:
    """Return the addresses of the parents of groups, by the first of each; all trials have one."""
    seeds = _seeds(spec, owners, [0] * len(owners))
    return [trial_seed(seed, Purpose.PARENT) for seed in seeds]


def _starts(
    spec: Spec, configurations: Sequence[int], trials: Sequence[int], arena: Callable[[], Arena]
) -> Singles:
    """Return the weights (rows, N) that trials start from: their parent's, or drawn for each.

    Parents are trained again where they were trained, in the stacks of sampling, as a network
    depends on those beside it by rounding.
    """
    options = Options.model_validate(spec.training.options)
    numbers = np.array(configurations)
    if options.parent_epochs is None:
        return initial_weights(spec.network, spec.training, _seeds(spec, numbers, trials))
    if options.parent_epochs == 0:
        seeds = _parent_seeds(spec, numbers - numbers % options.group)
        return initial_weights(spec.network, spec.training, seeds)
    starts = np.empty((len(numbers), spec.network.n_weights), np.float32)
    with one_thread():
        groups = _Groups(spec, [part.on() for part in arena()])
        for first in np.unique(numbers - numbers % spec.stack):
            stack = np.arange(first, first + spec.stack)
            parents = groups.parents(stack, options.parent_epochs)
            here = (numbers >= first) & (numbers < first + spec.stack)
            starts[here] = parents[numbers[here] - first]
    return starts


def _stack(spec: Spec) -> int:
    """Return whole groups, as many as `descent` would train together."""
    group = group_of(spec)
    return spec.training.stack or max(1, stack_size(spec) // group) * group


def _misfits(spec: Spec) -> Iterable[str]:
    yield from not_neutral(spec, FIXED_FIELDS, fixed_field("relu"))
    try:
        options = Options.model_validate(spec.training.options)
    except ValidationError:
        return  # each fault has a line already
    if (stack := spec.training.stack) and stack % options.group:
        yield (
            f"training.stack: {stack} given; it must be a multiple of training.options.group = "
            f"{options.group}, as a group is trained together"
        )
    if options.parent_epochs is None and not options.sign_penalty:
        yield (
            "training.options: networks without parent_epochs and sign_penalty are not related; "
            "give one of them, or leave out training.algorithm"
        )


ALGORITHM = Algorithm(
    "related-descent",
    ("relu",),
    _trainer,
    config=Options,
    stack=_stack,
    check=check_memory,
    in_batches=True,
    starts=_starts,
    misfits=_misfits,
)
