"""Options and arguments, and the one form of their help: ``Number of draws. Default: 20.``

Help is laid out in sections: arguments, options of the method, selection, output, running.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click
from click.shell_completion import CompletionItem

from lsg_ray.paths import expanded

if TYPE_CHECKING:
    from lsg_ray.typing import JsonObject

#: Sections of the help of a command, in their order.
ARGUMENTS, OPTIONS, SELECTION, OUTPUT, RUNNING = (
    "Arguments",
    "Options",
    "Selection",
    "Output",
    "Running",
)
_SECTIONS = (ARGUMENTS, OPTIONS, SELECTION, OUTPUT, RUNNING)
#: Of all commands, also of those that run as scripts.
CONTEXT_SETTINGS: JsonObject = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

Decorated = TypeVar("Decorated", bound="Callable[..., object] | click.Command")


class Decorator(Protocol):
    """What adds parameters to a command, or to the function that it is made of."""

    def __call__(self, command: Decorated, /) -> Decorated:
        """Return the command."""
        ...


class _PathOrUrl(click.ParamType):
    """A path or URL; ``~`` is the user's home."""

    name = "path"

    def convert(self, value: str, *_: object) -> str:
        """Return it without ``~``."""
        return expanded(value)

    def shell_complete(
        self, _ctx: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Let the shell complete names of files."""
        return [CompletionItem(incomplete, type="file")]


PATH = _PathOrUrl()


class Option(click.Option):
    """An option whose default, bounds and choices are sentences after its help."""

    def __init__(self, names: Sequence[str], *, section: str = OPTIONS, **settings: Any) -> None:
        super().__init__(names, **settings)
        self.section = section
        if self.metavar is None and not self.is_flag:
            self.metavar = _metavar(self.type)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the names of the option, and its help."""
        record = super().get_help_record(ctx)
        return record and (record[0], " ".join([*_sentence(self.help), *self._facts()]))

    def _facts(self) -> list[str]:
        facts = []
        if isinstance(self.type, click.Choice):
            facts.append(f"One of: {', '.join(map(str, self.type.choices))}.")
        if self.is_flag and self.secondary_opts:
            facts.append(f"Default: {(self.opts if self.default else self.secondary_opts)[0]}.")
        elif isinstance(self.default, (str, int, float)) and not self.is_flag:
            facts.append(f"Default: {_number(self.default)}.")
        if bounds := _bounds(self.type):
            facts.append(bounds)
        if self.multiple:
            facts.append("May be repeated.")
        if self.required:
            here = f", here or as {self.envvar} in the environment" if self.envvar else ""
            facts.append(f"Required{here}.")
        return facts


class Argument(click.Argument):
    """An argument that has help, as options do; click has none before 8.3, and its own section."""

    def __init__(self, names: Sequence[str], *, help: str = "", **settings: Any) -> None:
        super().__init__(names, **settings)
        self.about = help

    def record(self) -> tuple[str, str]:
        """Return the name of the argument, and its help."""
        return (self.metavar or str(self.name).upper()).strip("[]"), self.about


class Command(click.Command):
    """A command whose usage names the options that are required, and whose help has sections."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the words of the line of usage."""
        required = [p for p in self.params if isinstance(p, Option) and p.required]
        pieces = [f"{option.opts[-1]} {option.metavar}" for option in required]
        return [*super().collect_usage_pieces(ctx), *pieces]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the parameters, by section."""
        rows: dict[str, list[tuple[str, str]]] = {section: [] for section in _SECTIONS}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, Argument):
                rows[ARGUMENTS].append(parameter.record())
            elif record := parameter.get_help_record(ctx):
                rows[getattr(parameter, "section", RUNNING)].append(record)
        for section, records in rows.items():
            if records:
                with formatter.section(section):
                    formatter.write_dl(records)


command = partial(click.command, cls=Command)
argument = partial(click.argument, cls=Argument)
option = partial(click.option, cls=Option)


def options(*decorators: Decorator) -> Decorator:
    """Return one decorator of several options, which are shown in the order given."""

    def decorate(command: Decorated, /) -> Decorated:
        return reduce(lambda made, add: add(made), reversed(decorators), command)

    return decorate


as_json = option(
    "--json",
    "as_json",
    is_flag=True,
    section=OUTPUT,
    help="Print one JSON document and nothing else on standard output.",
)
overwrite = option("--overwrite", is_flag=True, section=OUTPUT, help="Replace an earlier result.")


def out_option(metavar: str, help: str) -> Decorator:
    """Return the option that names what is written."""
    return option("--out", type=PATH, required=True, metavar=metavar, section=OUTPUT, help=help)


#: Option that chooses what figures of a page can be downloaded as.
formats_option: Decorator = option(
    "--formats",
    metavar="NAME,...",
    default="png,pdf,svg,csv",
    section=OUTPUT,
    help="What figures can be downloaded as: png, pdf, svg, and csv, their data. PDF and SVG take "
    "as long as all else of a page.",
)


def spec_argument(help: str = "Specification: a YAML file.") -> Decorator:
    """Return the argument SPEC."""
    return argument("spec", type=PATH, help=help)


store_argument: Decorator = argument(
    "store", type=PATH, help="Store of an ensemble, as lsg sample writes it: a path or URL."
)


def _metavar(kind: click.ParamType) -> str:
    if isinstance(kind, (click.IntRange, click.FloatRange)):  # in errors too, not "integer range"
        kind.name = "integer" if isinstance(kind, click.IntRange) else "number"
    return {"choice": "NAME", "float": "NUMBER"}.get(kind.name, kind.name.upper())


def _sentence(text: str | None) -> Sequence[str]:
    """Return text as one or more sentences, or nothing."""
    text = (text or "").strip()
    return [text if text[-1] in ".?!:" else f"{text}."] if text else []


def _bounds(kind: click.ParamType) -> str:
    """Return the range of a number as a sentence.

    >>> _bounds(click.IntRange(min=2)), _bounds(click.FloatRange(0, 1, max_open=True))
    ('At least 2.', 'At least 0, below 1.')
    """
    if not isinstance(kind, (click.IntRange, click.FloatRange)):
        return ""
    ends = []
    if kind.min is not None:
        ends.append(f"{'above' if kind.min_open else 'at least'} {_number(kind.min)}")
    if kind.max is not None:
        ends.append(f"{'below' if kind.max_open else 'at most'} {_number(kind.max)}")
    return f"{', '.join(ends).capitalize()}." if ends else ""


def _number(value: object) -> str:
    """Return a value as a person writes it: 300 for 300.0."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
