"""Exceptions of lsg-ray.

Every error says what was seen, where, and what to do.  Two exit codes follow from the class: an
`InputError` is the user's to correct (exit 2, raised before anything is created), any other
`LsgError` is a run that failed (exit 1).
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Sequence

#: What is between a scheme and the last ``@`` of a URL; in local paths an ``@`` is part of a name.
_LOGIN = re.compile(
    r"(?<![A-Za-z0-9+.-])(?!(?:file|memory):)([A-Za-z][A-Za-z0-9+.-]*:/+)[^\s'\"]*@"
)
_SECRET = re.compile(
    r"([?&][^=&\s]{0,80}?(?:secret|token|passw|signature|credential|key|sig)[^=&\s]{0,80}=)[^&#\s'\"]+",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """Return text in which URLs hold no passwords, keys or tokens.

    >>> masked("s3://key:secret@bucket/x, https://host/x?token=abc&n=1")
    's3://…@bucket/x, https://host/x?token=…&n=1'
    """
    if "@" in text:
        text = _LOGIN.sub(r"\1…@", text)
    return _SECRET.sub(r"\1…", text) if "=" in text else text


class LsgError(Exception):
    """Base of all errors raised on purpose by lsg-ray; none shows what a URL keeps secret."""

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*(masked(arg) if isinstance(arg, str) else arg for arg in args))


class InputError(LsgError):
    """Something the user gave cannot be used: a file, an option, an expression, an array."""

    exit_code = 2


class SpecError(InputError):
    """A run's specification is wrong.

    Parameters
    ----------
    faults
        One line per fault: path, value seen, what is allowed.
    source
        Where the specification came from (a file name), quoted in front.
    """

    def __init__(self, faults: Sequence[str], source: str = "spec") -> None:
        self.faults = tuple(faults)
        self.source = source
        super().__init__("\n".join(f"{source}: {fault}" for fault in self.faults))

    def __reduce__(self) -> tuple[type[SpecError], tuple[tuple[str, ...], str]]:
        return (type(self), (self.faults, self.source))


class DataError(InputError):
    """A data set is unknown, missing, damaged, or does not fit the network."""


class QueryError(InputError):
    """A `--where` expression or a column name cannot be understood."""


class StoreError(LsgError):
    """A store is foreign, damaged, or was written by another run."""


class StoreInputError(StoreError, InputError):
    """A store named by the user is not there, is not ours, or belongs to another specification."""

    exit_code = 2


class AcceptanceError(LsgError):
    """Too few trials reach the accuracy threshold for sampling to make sense."""


class ClusterError(LsgError):
    """Ray could not be started or reached, or tasks failed beyond their retries."""


def out_of_memory(error: BaseException) -> str:
    """Return a message about a lack of memory, in one line."""
    reason = " ".join(str(error).split())[:300]
    return (
        f"out of memory{': ' + reason if reason else ''}; what is finished is kept: run the same "
        "command again with fewer --workers, fewer or smaller configurations (--where, --part, "
        "--count, smaller blocks), or on a machine with more memory"
    )


class PlainRepr(reprlib.Repr):
    """Text of a value for messages, cut short where it is long, as one writes it in YAML.

    >>> [PlainRepr().repr(value) for value in (True, None, (-1.0,), [1, "a"])]
    ['true', 'null', '-1.0', "[1, 'a']"]
    """

    def repr_bool(self, value: bool, _level: int) -> str:
        """Return true or false."""
        return str(value).lower()

    def repr_NoneType(self, _value: None, _level: int) -> str:  # noqa: N802 - name of its type
        """Return null."""
        return "null"

    def repr_tuple(self, values: tuple[object, ...], level: int) -> str:
        """Return a list, or the one element alone."""
        if len(values) == 1:
            return self.repr1(values[0], level)
        return self.repr_list(list(values), level)


def message_of(text: str) -> str:
    """Return the message of a pydantic error, to follow a semicolon.

    >>> message_of("Value error, Numbers are needed"), message_of("START:STOP is needed")
    ('numbers are needed', 'START:STOP is needed')
    """
    text = text.removeprefix("Value error, ")
    return text if text[:5].isupper() else f"{text[:1].lower()}{text[1:]}"


def meant(given: str, known: Iterable[str]) -> str:
    """Return the name that was probably meant, to go on a message with; empty if none is near.

    >>> meant("epoch", ["epochs", "engine"]), meant("x", ["epochs"])
    ('; did you mean epochs?', '')
    """
    import difflib

    near = difflib.get_close_matches(given[:64], list(known), 1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""


_brief = PlainRepr()
_brief.maxlevel, _brief.maxstring, _brief.maxother = 2, 80, 80


def shown(value: object) -> str:
    """Return a value as text of one line, cut short where it is long."""
    return _brief.repr(value)


def name_of(key: int | str) -> str:
    """Return a key of a mapping as text of one line."""
    return str(key) if str(key).isprintable() else shown(key)
