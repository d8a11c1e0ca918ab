"""Examples that networks learn: a data set, its own options, and transforms in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import (
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_serializer,
    model_validator,
)

from lsg_ray.arrays import brief
from lsg_ray.errors import meant, message_of
from lsg_ray.registry import DATA_SETS
from lsg_ray.spec.sections import DatasetName, Natural, Options, Positive, Real, Section, Seed

#: In the context of validation: the specification is of a store or a result, and names no path.
STORED = "stored"


class Sizes(NamedTuple):
    """Sizes of a data set.

    shape: of one example, height and width of an image, or (inputs,); counts: number of training
    examples of each class, empty where only the data tell.
    """

    n_train: int
    n_test: int
    n_classes: int
    shape: tuple[int, ...]
    counts: tuple[int, ...] = ()

    @property
    def n_inputs(self) -> int:
        """Number of inputs of an example."""
        return math.prod(self.shape)


def _not_given(value: Any) -> bool:
    """Return whether a field has its value in the first specifications, and is not hashed."""
    return not value or value == "random"


def _options_in_schema(schema: dict[str, Any]) -> None:
    """Add the options of each data set, which may stand beside its name."""
    schema.pop("additionalProperties", None)
    schema["unevaluatedProperties"] = False
    schema["allOf"] = []
    for name in DATA_SETS.names():
        config = DATA_SETS[name].config
        if config is not None:
            own = config.model_json_schema()["properties"]
            own = {
                field: own[field]
                for field in DATA_SETS[name].option_names
                if field not in schema["properties"]
            }
            condition = {"properties": {"name": {"const": name}}, "required": ["name"]}
            schema["allOf"].append({"if": condition, "then": {"properties": own}})


class DatasetSpec(Section):
    """Examples that the networks learn.

    Transforms are applied in this order: `classes`; `binarize`; `subset`, `train_per_class`,
    `train_examples` and `validation_examples`; `shuffle_pixels`; `standardize`; `components`;
    `labels`; `label_noise`.  Whatever the subset, `standardize` and `components` are fitted on all
    training examples of the classes, binarized and not shuffled, and applied to all parts.
    """

    model_config = ConfigDict(json_schema_extra=_options_in_schema)

    name: DatasetName = "mnist"
    """Data set. LL Sec. II."""
    components: Positive | None = 20
    """Number of PCA components; null for raw pixels. LL App. D: 20."""
    train_examples: Positive | None = None
    """Number of training examples P, drawn by seed; null for all. LL Sec. II: 60,000."""
    validation_examples: Natural = 0
    """Number of training examples set aside for selection='validation'."""
    labels: Literal["class", "parity"] = "class"
    """Class labels (cross entropy) or parity (hinge loss). LL App. F."""
    seed: Seed = 0
    """Seed of generated data, of the subset, of shuffles and of label noise."""
    options: Options = Field({}, exclude_if=_not_given)
    """Options of the data set, by name; they may also stand beside its name."""
    classes: tuple[Natural, ...] | None = Field(None, exclude_if=_not_given)
    """Classes to use, numbered anew 0, 1, … in this order; null for all."""
    train_per_class: Positive | None = Field(None, exclude_if=_not_given)
    """Number of training examples of each class, instead of train_examples."""
    subset: Literal["random", "first"] = Field("random", exclude_if=_not_given)
    """Choice of training examples: drawn by seed, or first in file order (authors of LL)."""
    binarize: Literal["median", "feature-median", "zero"] | None = Field(
        None, exclude_if=_not_given
    )
    """Make inputs ±1: +1 above the median of the example, of the feature, or above zero."""
    shuffle_pixels: bool = Field(False, exclude_if=_not_given)
    """Whether to permute each feature over the examples, which destroys correlations."""
    standardize: bool = Field(False, exclude_if=_not_given)
    """Whether to scale each feature to mean 0 and standard deviation 1."""
    label_noise: Real = Field(0.0, ge=0, le=1, exclude_if=_not_given)
    """Probability that a training label is replaced by another one."""

    @model_validator(mode="before")
    @classmethod
    def _options_of_source(cls, tree: Any, info: ValidationInfo) -> Any:
        name = tree.get("name") if isinstance(tree, Mapping) else None
        if not isinstance(name, str) or name not in DATA_SETS:
            return tree
        source = DATA_SETS[name]
        filled = {**source.defaults, **tree}
        if source.config is None:
            if filled.get("options"):
                raise ValueError(f"options: {brief(filled['options'])} given; {name} has none")
            return filled
        own = [field for field in source.config.model_fields if field not in cls.model_fields]
        options = filled.get("options", {})
        if not isinstance(options, Mapping):
            return filled  # the field's own validator says what is wrong
        for field in [field for field in filled if field not in cls.model_fields]:
            if field not in own:
                shown = [name for name in own if name in source.option_names]
                allowed = ", ".join(
                    [*(name for name in cls.model_fields if name != "options"), *shown]
                )
                near = meant(field, allowed.split(", "))
                raise ValueError(
                    f"{brief(field)[1:-1]}: unknown field; allowed are {allowed}{near}"
                )
            if field in options and options[field] != filled[field]:
                raise ValueError(f"{field}: given twice, beside the name and in options")
            options = {**options, field: filled.pop(field)}
        stored = bool(info.context and info.context.get(STORED))
        for field in source.path_options if stored else ():
            if options.get(field) is not None:
                raise ValueError(f"{field}: {brief(options[field])} given; nothing stored names it")
        config = source.config
        try:
            values = config.model_validate(dict(options))
        except ValidationError as error:
            raise ValueError("\n".join(_faults(error, source.option_names))) from None
        if source.resolve is not None:
            values = source.resolve(values, stored)
        return {**filled, "options": values.model_dump(mode="json", exclude_none=True)}

    @field_serializer("options")
    def _without_paths(self, options: dict[str, Any]) -> dict[str, Any]:
        """Leave out paths of data, which do not enter the hash of a run."""
        paths = DATA_SETS[self.name].path_options if options else ()
        return {name: value for name, value in options.items() if name not in paths}

    @property
    def later(self) -> bool:
        """Whether fields are given that the first specifications did not have."""
        first = {"name", "components", "train_examples", "validation_examples", "labels", "seed"}
        return not set(self.model_dump()) <= first

    @property
    def sizes(self) -> Sizes:
        """Sizes of the data set, of the selected classes.

        >>> DatasetSpec(name="digits", classes=[3, 8]).sizes.n_classes
        2
        """
        sizes = DATA_SETS[self.name].sizes(self.options)
        if self.classes is None:
            return sizes
        counts = tuple(sizes.counts[c] for c in self.classes if c < len(sizes.counts))
        return sizes._replace(n_train=sum(counts), n_classes=len(self.classes), counts=counts)

    @property
    def n_examples(self) -> int:
        """Number of training examples P."""
        sizes = self.sizes
        if self.train_per_class is not None:
            return self.train_per_class * sizes.n_classes
        if self.classes is not None and not sizes.counts and self.train_examples is not None:
            return self.train_examples  # counts by class are known only from the data
        left = max(1, sizes.n_train - self.validation_examples)
        return left if self.train_examples is None else min(self.train_examples, left)

    def transforms(self) -> list[str]:
        """Return the transforms beside subset, components and labels, as lines of text.

        >>> DatasetSpec(name="digits", classes=[3, 4], binarize="median").transforms()
        ['classes 3, 4', 'binarize median']
        """
        names = ("classes", "binarize", "shuffle_pixels", "standardize", "label_noise")
        lines = []
        for name in names:
            if value := getattr(self, name):
                text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
                lines.append(name.replace("_", " ") + ("" if value is True else f" {text}"))
        return lines

    def misfits(self) -> Iterator[str]:
        """Yield one line per contradiction among the fields."""
        whole = DATA_SETS[self.name].sizes(self.options)
        if self.options and DATA_SETS[self.name].config is None:
            yield f"dataset.options: {brief(self.options)} given; {self.name} has none"
        if self.classes is not None:
            if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
                yield f"dataset.classes: {list(self.classes)} given; two or more, each once"
            if (largest := max(self.classes, default=0)) >= whole.n_classes:
                last = whole.n_classes - 1
                yield f"dataset.classes: {largest} given; {self.name} has classes 0 to {last}"
                return
            if not whole.counts and self.train_per_class is None and self.train_examples is None:
                yield (
                    f"dataset.classes: {list(self.classes)} given; how many examples {self.name} "
                    "has of a class is not known beforehand: set dataset.train_per_class"
                )
        if self.train_per_class is not None:
            if self.train_examples is not None:
                yield (
                    f"dataset.train_per_class: {self.train_per_class} given, with train_examples: "
                    f"{self.train_examples}; set one of them to null"
                )
            smallest = min(self.sizes.counts, default=self.train_per_class)
            if self.train_per_class > smallest:
                yield (
                    f"dataset.train_per_class: {self.train_per_class} given; {self.name} has a "
                    f"class of {smallest:,} training examples"
                )


def _faults(error: ValidationError, own: Sequence[str]) -> Iterator[str]:
    """Yield one line per fault among the options of a data set."""
    for fault in error.errors(include_url=False):
        name = str(fault["loc"][0]) if fault["loc"] else ""
        given = brief(fault["input"])
        if fault["type"] == "extra_forbidden":
            yield f"options: {brief(name)} given; allowed are {', '.join(own)}{meant(name, own)}"
        elif fault["type"] == "missing":
            yield f"{name}: missing; a value is needed"
        elif not name:
            yield fault["msg"].removeprefix("Value error, ")
        else:
            yield f"{name}: {given} given; {message_of(fault['msg'])}"
