"""The sections of a specification: every field, its default, and where that comes from.

- LL: "Liquid-like" paper (deep networks of binary weights), with appendix or section,
- SG: "Spin-glass lens" paper (ReLU networks).

Names of families, algorithms and data sets are those of `lsg_ray.registry`; what a family has where
a specification says nothing is declared by it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from lsg_ray.arrays import brief
from lsg_ray.errors import meant
from lsg_ray.registry import ALGORITHMS, DATA_SETS, FAMILIES, Registry
from lsg_ray.spec.times import Snapshots

Selection = Literal["test", "train", "validation"]
Part = Literal["LB", "ITR", "RB"]


#: For errors: these words are often meant as text.
YES_AND_NO = "in YAML, unquoted on, yes, off and no are true and false"


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} given; a number is needed ({YES_AND_NO})")
    return value


Real = Annotated[float, BeforeValidator(_not_bool)]
Positive = Annotated[int, Field(gt=0, le=2**31 - 1), BeforeValidator(_not_bool)]
Natural = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(_not_bool)]
Seed = Annotated[int, Field(ge=0, lt=2**128), BeforeValidator(_not_bool)]


def _plain_options(given: Any) -> Any:
    """Take a mapping of names to plain values and lists of these."""
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"{brief(given)} given; a mapping of names is needed, such as {{}}")
    for name, value in given.items():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if item is not None and not isinstance(item, (bool, int, float, str)):
                raise ValueError(f"{brief(name)}: {brief(value)} given; plain values are needed")
    return dict(given)


#: Options of one family or algorithm alone, which it declares.
Options = Annotated[dict[str, Any], BeforeValidator(_plain_options)]


def _name_in(registry: Registry[Any]) -> Any:
    """Return the type of a name that is registered."""

    def known(name: str) -> str:
        if name not in registry:
            known = registry.names()
            near = meant(str(name), known)
            raise ValueError(f"{brief(name)} given; choose one of {', '.join(known)}{near}")
        return name

    def listed(schema: dict[str, Any]) -> None:
        schema["enum"] = list(registry.names())

    return Annotated[str, AfterValidator(known), Field(json_schema_extra=listed)]


FamilyName: Any = _name_in(FAMILIES)
AlgorithmName: Any = _name_in(ALGORITHMS)
DatasetName: Any = _name_in(DATA_SETS)


def _not_given(value: Any) -> bool:
    """Return whether a field that came later is as before, and no part of what a run is."""
    return not value


class Section(BaseModel):
    """Frozen fields, and no others than those."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        strict=False,
        use_attribute_docstrings=True,
    )

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


class NetworkSpec(Section):
    """Architecture: layer widths from input to output."""

    family: FamilyName = "binary"
    """binary: weights ±1 (LL); relu: real weights (SG)."""
    widths: tuple[Positive, ...] = (20, 15, 15, 10)
    """Layer widths, input to output. LL App. D: 20-15-15-10."""
    leaky_slope: Real = Field(0.1, ge=0, le=1)
    """Slope below zero. LL Sec. II: 0.1; SG: 0, the plain ReLU."""
    biases: bool = False
    """relu: whether units have biases, the last column of their layer's weights."""
    options: Options = Field({}, exclude_if=_not_given)
    """Options of the family, by name."""

    @model_validator(mode="after")
    def _at_least_one_layer(self) -> NetworkSpec:
        if len(self.widths) < 2:
            raise ValueError(f"widths: {list(self.widths)} has no layer; give input and output")
        return self

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Shape ``(fan_out, fan_in)`` of each weight matrix, input to output.

        With biases, each has one more column, the last.
        """
        return FAMILIES[self.family].shapes(self)

    @property
    def n_weights(self) -> int:
        """Number of weights N.

        >>> NetworkSpec(widths=(20, 15, 15, 10)).n_weights
        675
        """
        return sum(out * fan_in for out, fan_in in self.shapes)

    @property
    def layer_slices(self) -> tuple[slice, ...]:
        """Where each layer stands in a flat configuration (row-major ``[out, in]``)."""
        ends = list(itertools.accumulate((o * i for o, i in self.shapes), initial=0))
        return tuple(slice(a, b) for a, b in itertools.pairwise(ends))

    @property
    def parts(self) -> dict[str, slice]:
        """Parts by name: ``LB`` first layer, ``RB`` last, ``ITR`` all between (deep only).

        >>> NetworkSpec(widths=(20, 15, 15, 10)).parts["ITR"]
        slice(300, 525, None)
        """
        return FAMILIES[self.family].parts(self)


class TrainingSpec(Section):
    """How the fields θ of one binary network, or the weights of a ReLU network, are trained."""

    optimizer: Literal["adam", "sgd"] = "adam"
    """Optimizer. LL App. D: Adam."""
    learning_rate: Real = Field(0.3, gt=0, le=1e6)
    """Learning rate. LL App. D: 0.3; 0.1 for wide networks."""
    momentum: Real = Field(0.0, ge=0, lt=1)
    """Momentum of SGD."""
    beta1: Real = Field(0.9, ge=0, lt=1)
    """Decay rate of Adam's first moment. LL App. D."""
    beta2: Real = Field(0.999, ge=0, lt=1)
    """Decay rate of Adam's second moment. LL App. D."""
    epsilon: Real = Field(1e-8, gt=0)
    """Constant that Adam adds to the root. LL App. D."""
    decay_steps: Positive | None = None
    """Number of steps after which the learning rate is divided. LL App. F: 25,000."""
    decay_factor: Real = Field(10.0, gt=1)
    """Factor by which the learning rate is divided. LL App. F: 10."""
    batch_size: Positive | None = 200
    """Number of examples of a mini-batch; null for all. LL App. D: 200; SG Sec. 4.5: 256."""
    batch_fraction: Real | None = Field(None, gt=0, le=1)
    """Size of a mini-batch as a share of the examples. SG Sec. 4.5: 0.1."""
    epochs: Positive = 50
    """Largest number of passes over the training set. Authors' runs: 50."""
    target_loss: Real | None = Field(None, gt=0)
    """relu: training loss at which training ends; null: after all epochs."""
    gamma: Real = Field(1e-5, ge=0, le=1e6)
    """Coefficient γ of the L2 penalty on the fields, added as γθ. LL App. D: 1e-5."""
    initial_std: Real = Field(0.1, ge=0, le=1e3)
    """Standard deviation of the initial fields, normal around 0. LL App. A: 0.1."""
    engine: Literal["numba", "torch", "cuda", "auto"] = "numba"
    """Engine: numba (CPU, float32), torch (stacked networks, CPU or CUDA), cuda (one network a
    thread block, numba-cuda), or auto: cuda or torch with a GPU, else numba."""
    stack: Positive | None = None
    """relu: number of networks trained together; null: up to 8, of 4 MiB in all."""
    algorithm: AlgorithmName | None = Field(None, exclude_if=_not_given)
    """Training algorithm; null for the family's own."""
    options: Options = Field({}, exclude_if=_not_given)
    """Options of the training algorithm, by name."""

    @model_validator(mode="before")
    @classmethod
    def _fraction_replaces_size(cls, tree: Any) -> Any:
        if isinstance(tree, Mapping) and tree.get("batch_fraction") is not None:
            return {"batch_size": None, **tree}
        return tree

    @model_validator(mode="after")
    def _one_batch_size(self) -> TrainingSpec:
        if self.batch_fraction is not None and self.batch_size is not None:
            raise ValueError(
                f"batch_fraction: {self.batch_fraction} and batch_size {self.batch_size} given; "
                "set one of them to null"
            )
        return self

    def batch(self, n_examples: int) -> int:
        """Return the examples of a mini-batch.

        >>> TrainingSpec(batch_fraction=0.1).batch(60_000)
        6000
        """
        if self.batch_fraction is not None:
            return max(1, round(self.batch_fraction * n_examples))
        return min(self.batch_size or n_examples, n_examples)


class EnsembleSpec(Section):
    """Which configurations are accepted, and how many."""

    count: Positive = 2_000_000
    """Number of configurations M. LL Sec. II: 2,000,000."""
    threshold: Real = Field(0.80, ge=0, le=1)
    """Accuracy from which a configuration is accepted. LL Sec. II: 0.80."""
    draws: Positive = 100
    """binary: number of configurations drawn in a trial; the best is taken. Authors' runs: 100."""
    selection: Selection = "test"
    """Set on which the accuracy is measured. LL selects on the test set."""
    block_size: Positive | None = None
    """Number of configurations in a block; null: 1,000, fewer for small ensembles."""
    seed: Seed = 0
    """Root of the seed tree."""
    frozen_parts: tuple[Part, ...] = ()
    """Parts held at random ±1 while the rest learns. LL Sec. IV: ITR."""
    frozen_field: Real = Field(10.0, gt=0)
    """|θ| of frozen weights. LL Sec. IV: 10."""
    store_fields: bool = False
    """Whether to store the trained fields θ (float32)."""
    give_up_after: Positive = 300
    """Number of trials in which at least one must be accepted, or sampling stops."""
    snapshots: Snapshots = Field(
        None,
        exclude_if=_not_given,
        description="Times at which weights are stored along training: epochs [0, 1, 2, 5], "
        "log:20, or steps {steps: [0, 10, 100]}.",
    )

    @field_validator("frozen_parts")
    @classmethod
    def _in_order(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(part for part in get_args(Part) if part in parts)
