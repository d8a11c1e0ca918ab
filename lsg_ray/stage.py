"""What a method is, declared once beside its function.

    STAGE = Stage("tap", tap_states, reads={"model": MODEL}, summary=("states", "stable_states"))

From the declaration and the function's own signature and docstring follow the command with its
options and help, the stage of a study with its cached result, the job, and the section of the
report.  A keyword argument of the function is an option: its type with bounds (`lsg_ray.typing`)
and its default are in the signature, or in a group of options that functions share
(`lsg_ray.typing.Tasks`); its help is its entry under ``Parameters``.  The arguments named in
`CONTEXT` are passed by whoever runs the stage.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from annotated_types import Ge, Le, Lt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.functional_validators import AfterValidator

from lsg_ray.arrays import brief
from lsg_ray.bounds import moderate, parameters_of, signature_of
from lsg_ray.errors import InputError, meant, message_of
from lsg_ray.finding import Finding, summary_findings
from lsg_ray.registry import loaded
from lsg_ray.typing import MAX_INTEGER, SHARED_HELP, As, AsPath, JsonObject, ListOf

if TYPE_CHECKING:
    import matplotlib.figure
    import xarray

#: Largest number of values of a list.
MAX_LIST_LENGTH = 100_000
#: Upper limits of numbers that have no other.
_LIMITS: dict[type, Any] = {int: Le(MAX_INTEGER), float: AfterValidator(moderate)}
#: Arguments of how a function runs, which do not change its result.
CONTEXT = frozenset({"progress", "checkpoints", "threads", "out"})

#: What chooses from a store: configurations, a time of training, weights, and a labelling of nodes.
VIEW = ("where", "snapshot", "part", "canonical")


@dataclass(frozen=True)
class Kind:
    """What a stage may read: its name in commands and in the words of errors.

    view: names of `VIEW` that choose from it, where it is a store.
    """

    name: str
    metavar: str
    help: str = ""
    view: tuple[str, ...] = ()


ENSEMBLE = Kind("ensemble", "STORE", view=VIEW)
SOLUTIONS = Kind("solutions", "STORE", "Networks of real weights.", VIEW[:2])
CONFIGURATIONS = Kind("configurations", "STORE|FILE", view=VIEW[1:])
MODEL = Kind("model", "MODEL")
MOMENTS = Kind("moments", "MOMENTS|STORE", view=VIEW[:2])
REFERENCES = Kind(
    "references",
    "STORE|FILE",
    "Configurations to start from: a store (low, medium and high energy are taken), a result, or "
    ".npz with sigma.",
    VIEW[:2],
)


@dataclass(frozen=True)
class Figure:
    """A figure of a stage: the function that draws it, and its texts.

    Parameters
    ----------
    draw
        ``module:function`` of a Dataset; imported when it is drawn, since Matplotlib takes long.
    title
        Heading of its section in a report.
    caption
        Name of the function, in the module of ``draw``, that returns the caption and the
        alternative text of the figure.
    together
        Largest number of results that are shown side by side in one figure: the functions then
        take a mapping from names to results.
    """

    draw: str
    title: str
    caption: str = ""
    together: int = 0

    def drawn(self, results: Mapping[str, xarray.Dataset]) -> matplotlib.figure.Figure:
        """Return the figure of results by name."""
        return loaded(self.draw)(self._given(results))

    def captioned(self, results: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
        """Return the caption and the alternative text."""
        texts: tuple[str, str] = loaded(f"{self.draw.partition(':')[0]}:{self.caption}")(
            self._given(results)
        )
        return texts

    def _given(self, results: Mapping[str, xarray.Dataset]) -> Any:
        if self.together:
            return {n or str(r.attrs.get("algorithm", "model")): r for n, r in results.items()}
        return next(iter(results.values()))


class Config(BaseModel):
    """Options of a stage: frozen; unknown options are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Stage:
    """A method, with all that commands, studies and reports need to know of it.

    Parameters
    ----------
    name
        Name in commands, specifications and results.
    run
        Public function: inputs first, then options by name.
    reads
        Kind of each input, by argument.  The first is a positional argument on the command line;
        those with a default are optional.
    summary
        Names of the attributes to print, or a function of the result that returns what to print.
    figures
        Figures: the first is drawn by ``--figure``, all of them in reports.
    findings
        Function of the result that returns what a report says first of it (`lsg_ray.finding`); by
        default the summary as a sentence.
    applies
        Function of the inputs that returns why the method does not apply; empty text if it does.
    hidden
        Arguments that are only for callers in Python.
    parts
        Function of the inputs, names of parts and the options except ``part``, that computes
        several parts at once, by name.
    makes
        Kind of the result for other stages: ``model``; ``store``, which the function writes to
        ``out`` and which is no step of a study; or ``result``.
    archive
        Arrays of an ``.npz`` of the result, if it can be one; see `lsg_ray.results.saving`.
    stale
        Function of a cached result and its inputs: whether more can be computed now.
    version
        Version of the method: raise it where results change though options do not, so that cached
        results are not used.
    later
        Options that this version got later: at their defaults results are what they were without
        them, and cached ones are used.
    unit
        Unit of its progress.
    """

    name: str
    run: Callable[..., Any]
    reads: Mapping[str, Kind]
    summary: Sequence[str] | Callable[[Any], Mapping[str, Any]] = ()
    figures: Sequence[Figure] = ()
    findings: Callable[[Any], Sequence[Finding]] | None = None
    applies: Callable[..., str] = field(default=lambda *_: "")
    hidden: Collection[str] = frozenset()
    parts: Callable[..., Mapping[str, xarray.Dataset]] | None = None
    makes: str = "result"
    archive: Any = None
    stale: Callable[..., bool] = field(default=lambda *_, **__: False)
    version: int = 1
    later: Collection[str] = frozenset()
    unit: str = "tasks"

    @cached_property
    def about(self) -> str:
        """Docstring of the function, up to its arguments."""
        text = re.split(r"\n\n\w+\n-+\n", inspect.cleandoc(self.run.__doc__ or ""))[0]
        return text.replace("`", "")

    @property
    def help(self) -> str:
        """Summary of the function, from its docstring."""
        return self.about.partition("\n\n")[0].replace("\n", " ")

    @cached_property
    def helps(self) -> dict[str, str]:
        """Help of each argument: from the docstring, or shared by all arguments of that name."""
        return SHARED_HELP | parameters_of(self.run)

    @cached_property
    def path_options(self) -> frozenset[str]:
        """Options that are paths, which commands have and specifications have not."""
        fields = ((name, unwrapped(field)[1]) for name, field in self.config.model_fields.items())
        return frozenset(n for n, marks in fields if any(isinstance(m, AsPath) for m in marks))

    @cached_property
    def view(self) -> tuple[str, ...]:
        """Names of `VIEW` that choose from the stores that it reads."""
        if self.makes == "store":  # of whole networks, as they were sampled
            return VIEW[:1]
        taken = {name for kind in self.reads.values() for name in kind.view}
        return tuple(n for n in VIEW if n in taken and n not in self.config.model_fields)

    @cached_property
    def optional(self) -> frozenset[str]:
        """Inputs that may be left out."""
        known = inspect.signature(self.run).parameters
        return frozenset(n for n in self.reads if known[n].default is not inspect.Parameter.empty)

    @property
    def together(self) -> int:
        """Number of results in one figure of a command; 0 if each has its own."""
        return self.figures[0].together if self.figures else 0

    @property
    def positional(self) -> frozenset[str]:
        """Positional arguments of the command: the first input, and required stores."""
        known = self.reads.items()
        stores = {n for n, kind in known if kind == ENSEMBLE and n not in self.optional}
        return frozenset([*list(self.reads)[:1], *stores])

    @cached_property
    def config(self) -> type[Config]:
        """Model of the options: types, defaults, bounds and help, from the function."""
        fields: dict[str, Any] = {}
        for name, parameter in signature_of(inspect.unwrap(self.run)).parameters.items():
            if name in CONTEXT or name in self.reads or name in self.hidden:
                continue
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                continue
            kind = _fielded(evaluated(parameter.annotation, self.run))
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            default = tuple(default.tolist()) if isinstance(default, np.ndarray) else default
            fields[name] = (kind, Field(default, description=self.helps.get(name, "")))
        return create_model(
            f"{self.name.title().replace('-', '')}Config", __base__=Config, **fields
        )

    def options(self, given: Mapping[str, object]) -> Config:
        """Return checked options.

        Raises
        ------
        InputError
            With what was given, and what is allowed.
        """
        try:
            return self.config.model_validate(dict(given))
        except ValidationError as error:
            raise InputError("\n".join(self._faults(error))) from None

    def unrecorded(self, options: Config) -> set[str]:
        """Return names of options that are no part of what a result depends on; see `later`."""
        fields = self.config.model_fields
        return {name for name in self.later if getattr(options, name) == fields[name].default}

    def _faults(self, error: ValidationError) -> list[str]:
        lines = []
        for fault in error.errors(include_url=False):
            name = str(fault["loc"][0]) if fault["loc"] else self.name
            if fault["type"] == "extra_forbidden":
                known = [*self.config.model_fields, *self.view]
                allowed = f"it has {', '.join(known)}{meant(name, known)}"
                lines.append(f"{self.name} has no option {name}; {allowed}")
            else:
                lines.append(f"{name}: {brief(fault['input'])} given; {message_of(fault['msg'])}")
        return lines

    def accepts(self, name: str) -> bool:
        """Return whether the function has an argument of this name."""
        return name in inspect.signature(self.run).parameters

    def shown(self, result: xarray.Dataset) -> JsonObject:
        """Return what is printed of a result."""
        if callable(self.summary):
            return dict(self.summary(result))
        return {name: result.attrs[name] for name in self.summary if name in result.attrs}

    def found(self, result: xarray.Dataset) -> list[Finding]:
        """Return what a report says first of a result."""
        if self.findings is not None:
            return list(self.findings(result))
        return summary_findings(self.shown(result), result.attrs, self.config.model_fields)


def unwrapped(field: FieldInfo) -> tuple[Any, list[Any]]:
    """Return the type of a field without None, and what it is marked with."""
    marks: list[Any] = list(field.metadata)
    kind: Any = field.annotation
    inner = [arg for arg in get_args(kind) if arg is not type(None)]
    if type(None) in get_args(kind) and len(inner) == 1:
        kind = inner[0]
    while hasattr(kind, "__metadata__"):
        marks += kind.__metadata__
        kind = get_args(kind)[0]
    return kind, marks


def evaluated(annotation: Any, function: Callable[..., Any]) -> Any:
    """Return an annotation, which may be text or left out, as a type."""
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    scope = vars(sys.modules[inspect.unwrap(function).__module__])
    return eval(annotation, scope)  # noqa: S307 - source of a package that is installed


def _fielded(kind: Any) -> Any:
    """Return a type that pydantic can check: lists of numbers in place of arrays."""
    if get_origin(kind) is Annotated:
        marks = get_args(kind)[1:]
        for mark in marks:
            if isinstance(mark, ListOf):
                return _list_of(mark)
            if isinstance(mark, As):
                return _fielded(mark.kind)
            if isinstance(mark, AsPath):
                return Annotated[str, mark]
        ends = any(isinstance(mark, (Le, Lt)) for mark in marks)
        limit = None if ends else _LIMITS.get(get_args(kind)[0])
        return kind if limit is None else Annotated[kind, limit]
    if kind in _LIMITS:
        return Annotated[kind, _LIMITS[kind], *([Ge(-MAX_INTEGER)] if kind is int else [])]
    if get_origin(kind) in (Union, types.UnionType):
        inner = [arg for arg in get_args(kind) if arg is not types.NoneType]
        # Of a number or a word, commands know the bare type.
        known = [arg if arg is float and inner[1:] else _fielded(arg) for arg in inner]
        merged = known[0] if len(known) == 1 else Union[tuple(known)]  # noqa: UP007
        return merged | None if len(inner) < len(get_args(kind)) else merged
    return kind


def _list_of(mark: ListOf) -> Any:
    """Return tuples of numbers, also from text with commas, or START:STOP:STEP.

    A single whole number stays a number: a count, not an index.
    """

    def read(given: Any) -> Any:
        numbers = parse_list(given, mark) if isinstance(given, str) else given
        if mark.kind is int:
            return numbers[0] if isinstance(given, str) and len(numbers) == 1 else numbers
        return (numbers,) if isinstance(numbers, (int, float)) else numbers

    one: Any = _fielded(mark.kind)
    kind: Any = types.GenericAlias(tuple, (one, ...))
    return Annotated[one | kind if mark.kind is int else kind, BeforeValidator(read), mark]


def parse_list(given: str, mark: ListOf) -> tuple[float, ...]:
    """Read numbers with commas, or START:STOP:STEP where that is understood.

    >>> parse_list("-1:1:0.5", ListOf(float, steps=True))
    (-1.0, -0.5, 0.0, 0.5, 1.0)

    Raises
    ------
    ValueError
        With what is needed.
    """
    kind = "whole numbers" if mark.kind is int else "numbers"
    if given.count(",") >= MAX_LIST_LENGTH:
        raise ValueError(f"{MAX_LIST_LENGTH:,} values at most")
    try:
        if not mark.steps or ":" not in given:
            return tuple(mark.kind(x) for x in given.split(","))
        start, stop, step = (float(x) for x in given.split(":"))
        count = (stop - start) / step
    except (ValueError, ZeroDivisionError, OverflowError):
        form = "START:STOP:STEP or " if mark.steps else ""
        raise ValueError(f"{form}{kind} with commas are needed") from None
    if not 0 <= count < MAX_LIST_LENGTH or step <= 0:
        raise ValueError(f"{MAX_LIST_LENGTH:,} values at most, upwards")
    # As round numbers as the step: 0.1 + 0.2 is not 0.3, and 0 must be among them.
    return tuple(round(start + step * n, 12) + 0.0 for n in range(int(count + 1e-9) + 1))


def literals_of(kind: object) -> tuple[object, ...]:
    """Return the choices of a type, or of what is in an optional one; empty if it has none."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(value for inner in get_args(kind) for value in literals_of(inner))
    return ()
