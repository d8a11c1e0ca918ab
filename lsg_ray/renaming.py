"""Keyword arguments that had another name: callers of the former one are served, and told."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take keyword arguments under their former names as well.

    Its typed signature has the present names alone.  A call by a former name gives a
    `DeprecationWarning`; a `TypeError` if both are given.

    Parameters
    ----------
    **names
        Present name of each former one.

    Examples
    --------
    >>> @renamed(length="count")
    ... def zeros(count):
    ...     return [0] * count
    >>> zeros(count=2)
    [0, 0]
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            for former in names.keys() & kwargs.keys():
                present = names[former]
                if present in kwargs:
                    raise TypeError(
                        f"{function.__name__}: {former} and {present} given, which are one "
                        f"argument; pass {present} alone"
                    )
                warnings.warn(
                    f"{function.__name__}: the argument {former} is called {present} now",
                    DeprecationWarning,
                    stacklevel=2,
                )
                kwargs[present] = kwargs.pop(former)
            return function(*args, **kwargs)

        return run

    return decorate
