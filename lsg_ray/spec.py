"""What a run is: a frozen, validated specification.

A specification has four sections, `dataset`, `network`, `training` and `ensemble`.  Every default
is the papers' own value, and its description names the source:

- LL: "Liquid-like" paper (deep networks of binary weights), with appendix or section,
- SG: "Spin-glass lens" paper (ReLU networks).

Two specifications with the same canonical JSON are the same run.  `Spec.hash` covers everything;
the stored ensemble quotes it as provenance.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from lsg_ray.errors import SpecError

DatasetName = Literal["digits", "mnist", "fashion-mnist", "cifar10", "cifar100"]
Selection = Literal["test", "train", "validation"]
Part = Literal["LB", "ITR", "RB"]


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} given; a number is needed")
    return value


Real = Annotated[float, BeforeValidator(_not_bool)]
Positive = Annotated[int, Field(gt=0, le=2**31 - 1), BeforeValidator(_not_bool)]
Seed = Annotated[int, Field(ge=0, lt=2**128), BeforeValidator(_not_bool)]

#: Networks that the torch engine trains together, configurations 0 to 63, 64 to 127, ...: fixed,
#: since they share their noise.
STACK = 64
#: ReLU networks that are trained together by default, at most, and the bytes of their weights.
#: More gain little on a CPU, and the last stack of an ensemble is trained whole.
REAL_STACK, STACK_BYTES = 8, 4 << 20
#: Most weights a network may have.
MAX_WEIGHTS = 10**8
#: Most bytes of a specification's file, and keys of one mapping in it; ours have some thousand.
MAX_FILE, MAX_KEYS = 2**18, 10_000

#: Pixels and classes of each data set: what the first and the last width must fit.
DATASET_SHAPES: dict[str, tuple[int, int]] = {
    "digits": (64, 10),
    "mnist": (784, 10),
    "fashion-mnist": (784, 10),
    "cifar10": (3072, 10),
    "cifar100": (3072, 100),
}


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, strict=False
    )


class DatasetSpec(_Section):
    """Which examples the networks learn."""

    name: DatasetName = Field("mnist", description="Data set. LL Sec. II.")
    components: Positive | None = Field(
        20, description="PCA components kept; null for raw pixels. LL App. D: 20."
    )
    train_examples: Positive | None = Field(
        None, description="Training examples P, drawn by seed; null for all. LL Sec. II: 60,000."
    )
    validation_examples: int = Field(
        0, ge=0, description="Training examples set aside for selection='validation'."
    )
    labels: Literal["class", "parity"] = Field(
        "class", description="Class labels (cross entropy) or parity (hinge loss). LL App. F."
    )
    seed: Seed = Field(0, description="Seed of the subset of training examples.")


class NetworkSpec(_Section):
    """Architecture: layer widths from input to output."""

    family: Literal["binary", "relu"] = Field(
        "binary", description="binary: weights ±1 (LL); relu: real weights (SG)."
    )
    widths: tuple[Positive, ...] = Field(
        (20, 15, 15, 10), description="Layer widths, input to output. LL App. D: 20-15-15-10."
    )
    leaky_slope: float = Field(
        0.1, ge=0, le=1, description="Slope below zero. LL Sec. II: 0.1; SG: 0, the plain ReLU."
    )
    biases: bool = Field(
        False, description="relu: a bias per unit, the last column of its layer's weights."
    )

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
        extra = int(self.biases)
        return tuple((out, fan_in + extra) for fan_in, out in itertools.pairwise(self.widths))

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
        layers = self.layer_slices
        if len(layers) == 1:
            return {"LB": layers[0]}
        parts = {"LB": layers[0]}
        if len(layers) > 2:
            parts["ITR"] = slice(layers[1].start, layers[-2].stop)
        parts["RB"] = layers[-1]
        return parts


class TrainingSpec(_Section):
    """How the fields θ of one binary network, or the weights of a ReLU network, are trained."""

    optimizer: Literal["adam", "sgd"] = Field("adam", description="LL App. D: Adam.")
    learning_rate: float = Field(
        0.3, gt=0, le=1e6, description="LL App. D: 0.3; 0.1 for wide networks."
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="SGD only.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam, first moment. LL App. D.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam, second moment. LL App. D.")
    epsilon: float = Field(1e-8, gt=0, description="Adam, added to the root. LL App. D.")
    decay_steps: Positive | None = Field(
        None, description="Divide the learning rate every so many steps. LL App. F: 25,000."
    )
    decay_factor: float = Field(10.0, gt=1, description="By how much. LL App. F: 10.")
    batch_size: Positive | None = Field(
        200, description="Mini-batch; null for full batch. LL App. D: 200; SG Sec. 4.5: 256."
    )
    batch_fraction: Real | None = Field(
        None, gt=0, le=1, description="Mini-batch as a share of the examples. SG Sec. 4.5: 0.1."
    )
    epochs: Positive = Field(
        50, description="Passes over the training set, at most. Authors' runs: 50."
    )
    target_loss: Real | None = Field(
        None,
        gt=0,
        description="relu: train until the training loss is no larger; null: all epochs.",
    )
    gamma: float = Field(
        1e-5, ge=0, le=1e6, description="L2 on the fields, added as γθ. LL App. D: 1e-5."
    )
    initial_std: float = Field(
        0.1, ge=0, le=1e3, description="Fields start from N(0, initial_std²). LL App. A: 0.1."
    )
    engine: Literal["numba", "torch"] = Field(
        "numba", description="numba: CPU, float32; torch: stacked networks, CPU or CUDA."
    )
    stack: Positive | None = Field(
        None, description="relu: networks trained together; null: up to 8, of 4 MiB in all."
    )

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


class EnsembleSpec(_Section):
    """Which configurations are kept, and how many."""

    count: Positive = Field(2_000_000, description="Configurations M. LL Sec. II: 2,000,000.")
    threshold: float = Field(
        0.80, ge=0, le=1, description="Accepted from this accuracy on. LL Sec. II: 0.80."
    )
    draws: Positive = Field(
        100, description="binary: configurations drawn per trial, best kept. Authors' runs: 100."
    )
    selection: Selection = Field(
        "test", description="Set that accuracy is taken on. LL selects on the test set."
    )
    block_size: Positive | None = Field(
        None, description="Configurations a block; null: 1,000, fewer for small ensembles."
    )
    seed: Seed = Field(0, description="Root of the seed tree.")
    frozen_parts: tuple[Part, ...] = Field(
        (), description="Parts held at random ±1 while the rest learns. LL Sec. IV: ITR."
    )
    frozen_field: float = Field(10.0, gt=0, description="|θ| of frozen weights. LL Sec. IV: 10.")
    store_fields: bool = Field(False, description="Also keep the trained fields θ (float32).")
    give_up_after: Positive = Field(
        300, description="Stop when fewer than one trial in so many is accepted."
    )

    @field_validator("frozen_parts")
    @classmethod
    def _in_order(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(part for part in get_args(Part) if part in parts)


#: What a ReLU network's specification has where it says nothing: section, field, value, source.
RELU_DEFAULTS: dict[str, dict[str, Any]] = {
    "dataset": {"components": None},  # raw pixels: SG Sec. 4.1
    "network": {
        "widths": (784, 256, 10),  # SG App. A.2: 64 to 1,024 hidden units
        "leaky_slope": 0.0,  # SG Sec. 4.1: ReLU
    },
    "training": {
        "optimizer": "adam",  # SG Sec. 4.2, 4.5; SGD in Sec. 4.4
        "learning_rate": 1e-3,  # Adam's own, Kingma and Ba (2015); SG names none
        "batch_size": 256,  # SG Sec. 4.5
        "epochs": 50,
        "gamma": 0.0,  # SG: no penalty
        "initial_std": 0.0,  # Glorot uniform, SG App. A.4.2
        "engine": "torch",
    },
    "ensemble": {
        "count": 100,  # SG App. A.4.2: 100 or 200
        "threshold": 0.0,  # every trained network is a solution
        "draws": 1,
        "give_up_after": 3,
    },
}


class Spec(_Section):
    """A whole run. `load_spec` reads one from YAML.

    With ``network.family: relu`` the fields that are not given are those of `RELU_DEFAULTS`.
    """

    schema_version: Literal[1] = Field(1, description="Version of this schema.")
    name: str = Field("unnamed", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    dataset: DatasetSpec = DatasetSpec()
    network: NetworkSpec = NetworkSpec()
    training: TrainingSpec = TrainingSpec()
    ensemble: EnsembleSpec = EnsembleSpec()

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_family(cls, tree: Any) -> Any:
        sections = tree if isinstance(tree, Mapping) else {}
        network = sections.get("network")
        if not isinstance(network, Mapping) or network.get("family") != "relu":
            return tree
        filled = dict(sections)
        for name, defaults in RELU_DEFAULTS.items():
            given = sections.get(name, {})
            if isinstance(given, Mapping):
                filled[name] = {**defaults, **given}
                if name == "training" and given.get("batch_fraction") and "batch_size" not in given:
                    filled[name]["batch_size"] = None
        return filled

    @model_validator(mode="after")
    def _sections_fit(self) -> Spec:
        faults = list(_misfits(self))
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def loss(self) -> Literal["cross_entropy", "hinge"]:
        """Loss that follows from the labels: classes → cross entropy, parity → hinge."""
        return "hinge" if self.dataset.labels == "parity" else "cross_entropy"

    @property
    def block_size(self) -> int:
        """Configurations a block: as given, or 1,000, less where that leaves under 64 blocks.

        For the torch engine, rounded up to whole stacks; of ReLU networks, one stack.

        >>> Spec(ensemble=EnsembleSpec(count=500)).block_size
        8
        """
        if self.ensemble.block_size is not None:
            return self.ensemble.block_size
        if self.network.family == "relu":
            return min(self.stack, self.ensemble.count)
        size = min(1000, -(-self.ensemble.count // 64))
        return -(-size // self.stack) * self.stack

    @property
    def stack(self) -> int:
        """Networks that are trained together, at addresses 0 to stack − 1, and so on.

        >>> parse_spec({"network": {"family": "relu"}}).stack
        5
        """
        if self.network.family == "relu":
            most = max(1, min(REAL_STACK, STACK_BYTES // (4 * self.network.n_weights)))
            return self.training.stack or most
        return STACK if self.training.engine == "torch" else 1

    @property
    def n_blocks(self) -> int:
        """Number of blocks; the last may be short."""
        return -(-self.ensemble.count // self.block_size)

    def canonical_json(self) -> str:
        """Return JSON with sorted keys and no white space: equal for equal runs."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def replace(self, **sections: Mapping[str, Any]) -> Spec:
        """Return a copy with some fields changed, validated again.

        >>> Spec().replace(ensemble={"count": 10}).ensemble.count
        10
        """
        tree = self.model_dump(mode="json")
        for section, changes in sections.items():
            tree[section].update(changes)
        return parse_spec(tree)


def _misfits(spec: Spec) -> Iterable[str]:
    """Yield one line per contradiction between sections."""
    name: str = spec.dataset.name
    pixels, classes = DATASET_SHAPES[name]
    widths = spec.network.widths
    components = spec.dataset.components
    if components is not None and components > pixels:
        yield f"dataset.components: {components} given; {name} has {pixels} pixels"
    elif widths[0] != (components or pixels):
        source = "dataset.components" if components else f"pixels of {name}"
        yield f"network.widths: first width {widths[0]} given; {source} need {components or pixels}"
    outputs = 1 if spec.dataset.labels == "parity" else classes
    if widths[-1] != outputs:
        yield (
            f"network.widths: last width {widths[-1]} given; "
            f"{spec.dataset.labels} labels of {name} need {outputs}"
        )
    if spec.ensemble.selection == "validation" and spec.dataset.validation_examples == 0:
        yield (
            "ensemble.selection: 'validation' given; "
            "set dataset.validation_examples above 0 to have such a set"
        )
    if spec.network.n_weights > MAX_WEIGHTS:
        yield f"network.widths: {spec.network.n_weights} weights; at most {MAX_WEIGHTS}"
    if spec.network.family == "relu":
        yield from _relu_misfits(spec)
    else:
        for name, value in (
            ("network.biases", spec.network.biases),
            ("training.target_loss", spec.training.target_loss),
            ("training.stack", spec.training.stack),
        ):
            if value:
                yield f"{name}: {value} given; only relu networks have it (network.family)"
    for part in spec.ensemble.frozen_parts:
        if part not in spec.network.parts and spec.network.family == "binary":
            allowed = ", ".join(spec.network.parts)
            yield f"ensemble.frozen_parts: {part!r} given; this network has {allowed}"
    if set(spec.ensemble.frozen_parts) >= set(spec.network.parts):
        yield "ensemble.frozen_parts: every part is frozen; leave one to be trained"


def _relu_misfits(spec: Spec) -> Iterable[str]:
    """Yield one line per field that ReLU networks do not have."""
    training, ensemble = spec.training, spec.ensemble
    for name, value, neutral in (
        ("training.engine", training.engine, "torch"),
        ("training.initial_std", training.initial_std, 0.0),
        ("ensemble.draws", ensemble.draws, 1),
        ("ensemble.frozen_parts", ensemble.frozen_parts, ()),
        ("ensemble.store_fields", ensemble.store_fields, False),
    ):
        if value != neutral:
            yield f"{name}: {value!r} given; relu networks have {neutral!r}: leave it out"
    if spec.dataset.labels != "class":
        yield f"dataset.labels: {spec.dataset.labels!r} given; relu networks learn 'class' labels"
    if len(spec.network.widths) < 3:
        yield f"network.widths: {list(spec.network.widths)} given; relu networks have hidden layers"


def parse_spec(tree: Any, source: str = "spec") -> Spec:
    """Validate a nested mapping.

    Raises
    ------
    SpecError
        One line per fault: path, value seen, what is allowed.
    """
    if not isinstance(tree, Mapping):
        raise SpecError([f"{_shown(tree)} given; a mapping of sections is needed"], source)
    try:
        return Spec.model_validate(tree)
    except ValidationError as error:
        raise SpecError(list(_fault_lines(error)), source) from None


def load_spec(path: str | Path, overrides: Iterable[str] = ()) -> Spec:
    """Read a specification from a YAML file and apply ``section.field=value`` overrides.

    Parameters
    ----------
    path
        YAML (or JSON) file; read with the safe loader.
    overrides
        Assignments such as ``training.epochs=5``; values are YAML.

    Raises
    ------
    SpecError
        The file is missing, is not YAML, or a field is wrong.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise SpecError([f"over {MAX_FILE:,} bytes long; this is no specification"], str(path))
        text = data.decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text file"
        raise SpecError([f"cannot be read: {reason}"], str(path)) from None
    try:
        tree = _read_yaml(text)
    except ValueError as error:
        raise SpecError([str(error)], str(path)) from None
    tree = {} if tree is None else tree
    if isinstance(tree, Mapping):
        tree = override(tree, overrides)
    return parse_spec(tree, str(path))


def override(tree: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return a copy of a nested mapping with ``a.b=c`` assignments applied.

    >>> override({"training": {"epochs": 50}}, ["training.epochs=5"])
    {'training': {'epochs': 5}}
    """
    result = dict(tree)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise SpecError([f"{_shown(assignment)} given; write section.field=value"], "--set")
        try:
            result = _assigned(result, keys, _read_yaml(text))
        except ValueError as error:
            fault = f"{_name(path)}: {_shown(text)} given; {error}"
            raise SpecError([fault], "--set") from None
    return result


def _assigned(tree: Mapping[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    """Return a copy with the value at the end of a path of keys; what it leaves alone is shared."""
    key, *rest = keys
    if not rest:
        return {**tree, key: value}
    child = {} if tree.get(key) is None else tree[key]
    if not isinstance(child, Mapping):
        raise ValueError(f"{key!r} is a value, not a section")
    return {**tree, key: _assigned(child, rest, value)}


class _Loader(yaml.SafeLoader):
    """YAML's safe loader; a key that stands twice in a mapping is an error."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    problem = f"{_shown(key.value)} is given twice"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MAX_KEYS:  # merges of merges grow as a power
            problem = f"a mapping has more than {MAX_KEYS:,} keys"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _read_yaml(text: str) -> Any:
    """Read YAML; `ValueError` says in one line what is wrong with it."""
    try:
        return yaml.load(text, _Loader)
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
        LookupError,
        AttributeError,
        TypeError,
    ) as error:
        line = "".join(mark if mark.isprintable() else " " for mark in str(error))
        raise ValueError(f"not valid YAML: {' '.join(line.split())}") from None


_brief = reprlib.Repr()
_brief.maxlevel, _brief.maxstring, _brief.maxother = 2, 80, 80


def _shown(value: Any) -> str:
    """Return a value as text of one line, cut short where it is long."""
    return _brief.repr(value)


def _fault_lines(error: ValidationError) -> Iterable[str]:
    for fault in error.errors(include_url=False):
        path = ".".join(_name(key) for key in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            yield f"{path}: unknown field; allowed are {_allowed_fields(fault['loc'][:-1])}"
        elif fault["type"] == "value_error":
            for line in message.splitlines():
                # Validators of a section name the field themselves, those of a field do not.
                joint = "." if re.match(r"\w+: ", line) else ": "
                yield f"{path}{joint}{line}" if path else line
        else:
            yield f"{path}: {_shown(fault['input'])} given; {message[:1].lower()}{message[1:]}"


def _name(key: int | str) -> str:
    return str(key) if str(key).isprintable() else _shown(key)


def _allowed_fields(path: tuple[int | str, ...]) -> str:
    model: type[BaseModel] = Spec
    for key in path:
        annotation = model.model_fields[str(key)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return "none"
        model = annotation
    return ", ".join(model.model_fields)
