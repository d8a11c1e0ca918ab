"""Errors of files that somebody else may have made: they fail in a dozen ways."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lsg_ray.errors import InputError, StoreError


@contextlib.contextmanager
def reading(place: str, failed: str, remedy: str, *names: str) -> Iterator[None]:
    """Say of whatever goes wrong inside which file it is of, and what to name instead.

    Parameters
    ----------
    place
        Of the file; put before an error of ours that does not begin with it, or one of ``names``.
    failed, remedy
        Around the reason of an error that is none of ours: ``PLACE: FAILED (REASON); REMEDY``.

    Raises
    ------
    InputError
        In place of all but a lack of memory and errors of a store.
    """
    try:
        yield
    except InputError as error:
        told = str(error)
        raise InputError(told if told.startswith((place, *names)) else f"{place}: {told}") from None
    except (MemoryError, StoreError):
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        line = str(reason).splitlines()[0]
        raise InputError(f"{place}: {failed} ({line}); {remedy}") from None
