"""A whole run, its sections checked against each other."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from lsg_ray.errors import InputError, SpecError, meant, message_of, name_of, shown
from lsg_ray.html import table
from lsg_ray.registry import ALGORITHMS, FAMILIES
from lsg_ray.spec.beside import changed_tree
from lsg_ray.spec.dataset import STORED, DatasetSpec
from lsg_ray.spec.sections import YES_AND_NO, EnsembleSpec, NetworkSpec, Section, TrainingSpec
from lsg_ray.spec.steps import SAMPLED, Step, misnamed, parse_study
from lsg_ray.spec.times import resolved
from lsg_ray.typing import JsonObject

#: Number of ensembles beside the one of a specification, at most.
MAX_BESIDE = 32
#: Number of weights of a network, at most.
MAX_WEIGHTS = 10**8


class Spec(Section):
    """A whole run. `load_spec` reads one from YAML.

    Fields that are not given are those of the family of networks, where it has its own.
    """

    schema_version: Literal[1] = Field(1, description="Version of this schema.")
    name: str = Field("unnamed", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    dataset: DatasetSpec = DatasetSpec()
    network: NetworkSpec = NetworkSpec()
    training: TrainingSpec = TrainingSpec()
    ensemble: EnsembleSpec = EnsembleSpec()
    #: No part of an ensemble's identity, like the study.
    beside: dict[str, dict[str, Any]] = Field(
        {}, exclude=True,
        description="Further ensembles that the study reads, by name: the fields in which each "
        "differs, such as {training: {algorithm: least-action}}.",
    )  # fmt: skip
    #: No part of an ensemble's identity: the same may be studied in many ways.
    study: dict[str, Any] | None = Field(
        None, exclude=True, description="Stages to compute, by name; null for those of the family."
    )

    @field_validator("study", mode="before")
    @classmethod
    def _parsed_study(cls, given: Any, info: ValidationInfo) -> Any:
        if given is None:
            return None
        parsed = isinstance(given, Mapping) and all(isinstance(s, Step) for s in given.values())
        return dict(given) if parsed else parse_study(given, info.data.get("beside", {}))

    def __hash__(self) -> int:
        return hash(self.canonical_json())

    def _repr_html_(self) -> str:
        """Return a table for notebooks, a row for each section."""
        return table("lsg-ray specification", self.tree())

    def tree(self) -> JsonObject:
        """Return all fields as plain values, the study too."""
        tree = self.model_dump(mode="json")
        if self.dataset.options:  # also where the data lie
            tree["dataset"]["options"] = dict(self.dataset.options)
        if self.beside:
            tree["beside"] = dict(self.beside)
        if self.study is not None:
            tree["study"] = {name: step.tree() for name, step in self.study.items()}
        return tree

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_family(cls, tree: Any) -> Any:
        sections = tree if isinstance(tree, Mapping) else {}
        network = sections.get("network")
        family = network.get("family") if isinstance(network, Mapping) else None
        if not isinstance(family, str) or family not in FAMILIES:
            return tree
        filled = dict(sections)
        for name, defaults in FAMILIES[family].defaults.items():
            given = sections.get(name, {})
            if isinstance(given, Mapping):
                filled[name] = {**defaults, **given}
                if name == "training" and given.get("batch_fraction") and "batch_size" not in given:
                    filled[name]["batch_size"] = None
        return filled

    @model_serializer(mode="wrap")
    def _beside_defaults_of_family(self, dump: Any) -> JsonObject:
        """Keep fields that are left out elsewhere, where the family would fill them otherwise."""
        tree: JsonObject = dump(self)
        for name, defaults in FAMILIES[self.network.family].defaults.items():
            section = tree.get(name, {})
            for field in defaults.keys() - section.keys():
                section[field] = getattr(getattr(self, name), field)
        return tree

    @model_validator(mode="after")
    def _sections_fit(self) -> Spec:
        checks = (_misfits, _misfits_beside, _absent_snapshots)
        if faults := next(filter(None, (list(check(self)) for check in checks)), []):
            raise ValueError("\n".join(faults))
        return self

    @property
    def others(self) -> dict[str, Spec]:
        """Specifications of the ensembles beside this one, by name.

        >>> Spec(name="a", beside={"more": {"ensemble": {"seed": 5}}}).others["more"].name
        'a-more'
        """
        return {name: _changed(self, name, changes) for name, changes in self.beside.items()}

    @property
    def ensembles(self) -> dict[str, Spec]:
        """Specifications of all ensembles by the name of their store, this one first."""
        return {SAMPLED: self, **self.others}

    @property
    def loss(self) -> Literal["cross_entropy", "hinge"]:
        """Loss that follows from the labels: classes → cross entropy, parity → hinge."""
        return "hinge" if self.dataset.labels == "parity" else "cross_entropy"

    @property
    def block_size(self) -> int:
        """Configurations a block: as given, or 1,000, less where that leaves under 64 blocks.

        For torch, rounded up to whole stacks; of ReLU networks, one stack; for cuda, 16 launches.

        >>> Spec(ensemble=EnsembleSpec(count=500)).block_size
        8
        """
        if self.ensemble.block_size is not None:
            return self.ensemble.block_size
        return FAMILIES[self.network.family].block_size(self)

    @property
    def algorithm(self) -> str:
        """Name of the training algorithm.

        >>> Spec().algorithm
        'mean-field'
        """
        family = FAMILIES[self.network.family]
        if not family.has_outputs:
            raise InputError(
                f"network.family: {family.name!r} given; {family.about} are imported (lsg import), "
                "and cannot be sampled"
            )
        return self.training.algorithm or family.algorithm

    @property
    def stack(self) -> int:
        """Networks that are trained together, at addresses 0 to stack − 1, and so on.

        >>> parse_spec({"network": {"family": "relu"}}).stack
        5
        """
        return ALGORITHMS[self.algorithm].stack(self)

    @property
    def together(self) -> int:
        """Trials that are run at once, of any configurations."""
        return ALGORITHMS[self.algorithm].together(self)

    @property
    def times(self) -> tuple[str, tuple[int, ...]]:
        """Unit and times of the snapshots along training; none by default.

        >>> Spec(ensemble=EnsembleSpec(snapshots="log:4")).times
        ('epochs', (0, 1, 7, 50))
        """
        if self.ensemble.snapshots is None:
            return "epochs", ()
        unit, given = next(iter(self.ensemble.snapshots.items()))
        return unit, resolved(given, self.training.epochs * self.units_per_epoch(unit))

    @property
    def snapshot_steps(self) -> tuple[int, ...]:
        """Steps of the optimizer after which weights are stored."""
        unit, times = self.times
        per_epoch = self.units_per_epoch
        return tuple(time * per_epoch("steps") // per_epoch(unit) for time in times)

    def units_per_epoch(self, unit: str) -> int:
        """Return how many of a unit of time, ``epochs`` or ``steps``, an epoch has."""
        if unit == "epochs":
            return 1
        return -(-self.n_examples // self.training.batch(self.n_examples))

    @property
    def n_examples(self) -> int:
        """Training examples P."""
        return self.dataset.n_examples

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

    def replace(self, **sections: object) -> Spec:
        """Return a copy with some fields of sections changed, or a name or study, validated again.

        >>> Spec().replace(name="few", ensemble={"count": 10}).ensemble.count
        10
        """
        tree = self.tree()
        for section, changes in sections.items():
            before, whole = tree.get(section), section in ("study", "beside")
            if not whole and isinstance(before, dict) and isinstance(changes, Mapping):
                tree[section] = {**before, **changes}
            else:
                tree[section] = changes
        return parse_spec(tree)


def _misfits(spec: Spec) -> Iterable[str]:
    """Yield one line per contradiction between sections."""
    family = FAMILIES[spec.network.family]
    if not family.has_outputs:
        yield from _options("network", spec.network.options, family.name, family.config)
        yield from family.misfits(spec)
        return
    yield from spec.dataset.misfits()
    name: str = spec.dataset.name
    sizes = spec.dataset.sizes
    pixels, classes = sizes.n_inputs, sizes.n_classes
    noun = "pixels" if len(sizes.shape) > 1 else "inputs"
    widths = spec.network.widths
    components = spec.dataset.components
    if components is not None and components > pixels:
        yield f"dataset.components: {components} given; {name} has {pixels} {noun}"
    elif widths[0] != (components or pixels):
        source = "dataset.components" if components else f"{noun} of {name}"
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
    unit, times = spec.times
    last = spec.training.epochs * spec.units_per_epoch(unit)
    if times and times[-1] > last:
        yield f"ensemble.snapshots: {times[-1]} given; training ends after {last} {unit}"
    if spec.network.n_weights > MAX_WEIGHTS:
        yield f"network.widths: {spec.network.n_weights} weights; at most {MAX_WEIGHTS}"
    algorithm = ALGORITHMS[spec.algorithm]
    yield from _options("network", spec.network.options, family.name, family.config)
    yield from family.misfits(spec)
    if family.name not in algorithm.families:
        names = ALGORITHMS.names()
        algorithms = [name for name in names if family.name in ALGORITHMS[name].families]
        yield (
            f"training.algorithm: {algorithm.name!r} given; {family.name} networks are trained by "
            f"{', '.join(algorithms)}"
        )
        return
    yield from _options("training", spec.training.options, algorithm.name, algorithm.config)
    yield from algorithm.misfits(spec)


def _misfits_beside(spec: Spec) -> Iterable[str]:
    """Yield one line per fault of the ensembles beside."""
    if len(spec.beside) > MAX_BESIDE:
        yield f"beside: {len(spec.beside)} ensembles given; at most {MAX_BESIDE}"
        return
    seen: set[str] = set()
    for name, changes in spec.beside.items():
        if fault := misnamed(name, "store", seen):
            yield f"beside: {fault}"
            continue
        try:
            _changed(spec, name, changes)
        except SpecError as error:
            yield from (f"beside.{name}.{line}" for line in error.faults)


def _absent_snapshots(spec: Spec) -> Iterable[str]:
    """Yield one line per step of the study whose snapshot its ensemble does not have."""
    steps = {name: step for name, step in (spec.study or {}).items() if "snapshot" in step.view}
    times = {name: one.times for name, one in spec.ensembles.items()} if steps else {}
    for name, step in steps.items():
        for ensemble in step.chosen_from(times):
            unit, there = times[ensemble]
            if step.view["snapshot"] not in there:
                which = "" if ensemble == SAMPLED else f" of {ensemble}"
                yield (
                    f"study.{name}: snapshot {step.view['snapshot']}{which} given; "
                    f"there are, in {unit}: {', '.join(map(str, there)) or 'none'}"
                )


def _changed(spec: Spec, name: str, changes: Mapping[str, Any]) -> Spec:
    """Return the specification of an ensemble beside another."""

    def default(family: str) -> JsonObject:
        # Section by section: a whole one may need options of its data set, which have no default.
        own = FAMILIES[family].defaults
        network = NetworkSpec.model_validate({**own.get("network", {}), "family": family})
        named: JsonObject = {"network": network.model_dump(mode="json")}
        kinds = {"dataset": DatasetSpec, "training": TrainingSpec, "ensemble": EnsembleSpec}
        for section, kind in kinds.items():
            named[section] = kind().model_dump(mode="json") | dict(own.get(section, {}))
        return named

    return parse_spec(changed_tree(spec.tree(), name, changes, default))


def _options(
    section: str, given: Mapping[str, Any], name: str, config: type[BaseModel] | None
) -> Iterable[str]:
    """Yield one line per fault among the options of a family or an algorithm."""
    if config is None:
        if given:
            yield f"{section}.options: {shown(next(iter(given)))} given; {name} has none"
        return
    try:
        config.model_validate(given)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            path = ".".join((f"{section}.options", *map(name_of, fault["loc"])))
            yield f"{path}: {shown(fault['input'])} given; {message_of(fault['msg'])}"


def parse_spec(tree: object, source: str = "spec", *, stored: bool = False) -> Spec:
    """Validate a nested mapping.

    Parameters
    ----------
    tree
        Sections by name.
    source
        Where it came from, for messages.
    stored
        Whether it is of a store or a result, which may be a stranger's: then no file is read.

    Raises
    ------
    SpecError
        One line per fault: path, value seen, what is allowed.
    """
    if not isinstance(tree, Mapping):
        raise SpecError([f"{shown(tree)} given; a mapping of sections is needed"], source)
    try:
        return Spec.model_validate(tree, context={STORED: stored})
    except ValidationError as error:
        raise SpecError(list(_fault_lines(error)), source) from None


def _fault_lines(error: ValidationError) -> Iterable[str]:
    for fault in error.errors(include_url=False):
        path = ".".join(name_of(key) for key in fault["loc"])
        if fault["type"] == "extra_forbidden":
            yield f"{path}: unknown field; {_instead(fault['loc'])}"
        elif fault["type"] == "value_error":
            for line in fault["msg"].removeprefix("Value error, ").splitlines():
                # Validators of a section name the field themselves, those of a field do not.
                joint = "." if re.match(r"\w+: ", line) else ": "
                yield f"{path}{joint}{line}" if path else line
        else:
            message = f"{shown(fault['input'])} given; {message_of(fault['msg'])}"
            yield f"{path}: {message}{_about_quotes(fault['type'], fault['input'])}"


def _about_quotes(kind: str, value: Any) -> str:
    """Return what to do where text was meant that YAML reads as something else."""
    if kind not in ("string_type", "literal_error") or isinstance(value, (str, list, Mapping)):
        return ""
    if isinstance(value, bool):
        return f"; {YES_AND_NO}, so put text in quotes"
    return "" if value is None else "; put text in quotes"


def _instead(location: tuple[int | str, ...]) -> str:
    """Return the fields that are allowed in place of an unknown one, and which was meant."""
    *path, given = location
    model: type[BaseModel] = Spec
    for key in path:
        annotation = model.model_fields[str(key)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return "allowed are none"
        model = annotation
    known = list(model.model_fields)
    near = meant(str(given), known)
    if not near and not path:  # a field that is within a section
        sections = {section: field.annotation for section, field in Spec.model_fields.items()}
        within = (
            f"; did you mean {section}.{given}?"
            for section, kind in sections.items()
            if given in getattr(kind, "model_fields", ())
        )
        near = next(within, "")
    return f"allowed are {', '.join(known)}{near}"
