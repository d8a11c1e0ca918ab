"""Bounds and choices in the types of arguments, checked when a function is called.

Commands and specifications check them by pydantic (`lsg_ray.stage`); callers in Python by this, so
that no function does so by hand.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import astuple
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from lsg_ray.errors import InputError
from lsg_ray.typing import MAX_NUMBER, Default

#: Text of each bound, and when it holds; numbers without an upper bound must be finite.
_BOUNDS: dict[type, tuple[str, Callable[[Any, Any], bool]]] = {
    Ge: ("at least {:,}", lambda value, mark: mark.ge <= value < np.inf),
    Gt: ("above {:,}", lambda value, mark: mark.gt < value < np.inf),
    Le: ("at most {:,}", lambda value, mark: value <= mark.le),
    Lt: ("below {:,}", lambda value, mark: value < mark.lt),
}
#: What is said of larger numbers.
_NEEDED = f"at most {MAX_NUMBER:g}"


def check_arguments(
    function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    """Refuse arguments outside the bounds, or not among the choices, of their types.

    Raises
    ------
    InputError
        With the argument, the value given, and what is allowed.
    """
    names, marks_of = _checks(function)
    if not marks_of:
        return
    value: Any
    for name, value in (dict(zip(names, args, strict=False)) | kwargs).items():
        for mark in marks_of.get(name, ()):
            if isinstance(mark, tuple):
                if value is not None and value not in mark:
                    choices = ", ".join(str(choice) for choice in mark)
                    raise InputError(f"{name} {value!r} given; choose one of {choices}")
            elif mark is int:
                if isinstance(value, (float, np.floating)) and not float(value).is_integer():
                    raise InputError(f"{name} {value} given; a whole number is needed")
            elif isinstance(value, (int, float, np.integer, np.floating)):
                text, holds = _BOUNDS[type(mark)]
                if not holds(value, mark):
                    (limit,) = astuple(mark)
                    needed = text.format(limit) if mark != Gt(0) else "it must be positive"
                    finite = "" if -np.inf < value < np.inf else ", and finite"
                    raise InputError(f"{name} {value} given; {needed}{finite}")
                if isinstance(value, (float, np.floating)) and not _is_moderate(value):
                    raise InputError(f"{name} {value} given; {_NEEDED}")


def moderate(number: float) -> float:
    """Return a real option whose size is at most `MAX_NUMBER`.

    Raises
    ------
    ValueError
        With what is needed.
    """
    if not _is_moderate(number):
        raise ValueError(_NEEDED)
    return number


def _is_moderate(number: Any) -> bool:
    return bool(-MAX_NUMBER <= number <= MAX_NUMBER)


@functools.cache
def _checks(function: Callable[..., Any]) -> tuple[list[str], dict[str, list[Any]]]:
    """Return the names of all arguments, and the bounds and choices of some."""
    scope, marks_of = vars(sys.modules[function.__module__]), {}
    parameters = signature_of(function).parameters
    for name, parameter in parameters.items():
        kind = parameter.annotation
        try:
            marks = list(_marks(eval(kind, scope) if isinstance(kind, str) else kind))  # noqa: S307
        except (NameError, TypeError):  # of what is imported for type checkers alone
            continue
        if marks:
            marks_of[name] = marks
    return [*parameters], marks_of


def signature_of(function: Callable[..., object], *, as_text: bool = False) -> inspect.Signature:
    """Return the signature of a function, with the options of a shared group one by one.

    A group is what ``**run: Unpack[Tasks]`` names, see `lsg_ray.typing.Tasks`; an option that the
    function has itself stays.  Their types are evaluated, or text, as readers of help want it.
    """
    signature = inspect.signature(function)
    parameters = [*signature.parameters.values()]
    group = str(parameters[-1].annotation) if parameters else ""
    if not group.startswith("Unpack["):
        return signature
    given = vars(sys.modules[function.__module__])[group[7:-1]]
    options = get_type_hints(given, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = []
    for name, kind in reversed(options.items()):
        marks = getattr(kind, "__metadata__", ())
        default = next((mark.value for mark in marks if isinstance(mark, Default)), None)
        if as_text:  # Annotated[Seed, Default(0)] is Seed
            text = given.__annotations__[name].__forward_arg__
            kind = re.sub(r"^Annotated\[(.*), Default\(.*\)\]$", r"\1", text)
        if name not in signature.parameters:
            shared.append(inspect.Parameter(name, keyword, default=default, annotation=kind))
    return signature.replace(parameters=[*parameters[:-1], *shared])


def parameters_of(function: Callable[..., object]) -> dict[str, str]:
    """Return the entries under ``Parameters`` of a docstring, each on one line, by name.

    >>> def f(a, b):
    ...     '''Add.
    ...
    ...     Parameters
    ...     ----------
    ...     a, b
    ...         What is
    ...         added.
    ...     '''
    >>> parameters_of(f)
    {'a': 'What is added.', 'b': 'What is added.'}
    """
    doc = inspect.cleandoc(function.__doc__ or "")
    found = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", doc, re.M | re.S)
    entries: dict[str, str] = {}
    if found is not None:
        for names, body in re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?|\n)+)", found[1] + "\n", re.M):
            text = " ".join(body.split()).replace("``", "")
            entries |= dict.fromkeys(re.split(r",\s*", names.strip()), text)
    return entries


def _marks(kind: Any) -> Iterator[Any]:
    """Yield the bounds of a type, `int` if numbers are whole, and its choices as a tuple."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        if inner is int:
            yield int
        yield from (mark for mark in marks if type(mark) in _BOUNDS)
        yield from _marks(inner)
    elif get_origin(kind) is Literal:
        yield get_args(kind)
    elif get_origin(kind) in (Union, types.UnionType):
        inner = [arg for arg in get_args(kind) if arg is not types.NoneType]
        if len(inner) == 1:
            yield from _marks(inner[0])
