"""Errors of files that somebody else may have made: they fail in a dozen ways."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lsg_ray.errors import InputError, StoreError


@contextlib.contextmanager
def reading(path: str, failed: str, remedy: str, *names: str) -> Iterator[None]:
    """Turn errors inside into one that names the file and the remedy.

    Parameters
    ----------
    path
        Path of the file; put before an `InputError` that does not begin with it.
    failed, remedy
        Text around the reason of any other error: ``PATH: FAILED (REASON); REMEDY``.
    names
        Other names of the file that an `InputError` may begin with.

    Raises
    ------
    InputError
        Instead of all errors but `MemoryError` and `StoreError`.
    """
    try:
        yield
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith((path, *names)) else f"{path}: {text}") from None
    except (MemoryError, StoreError):
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        line = str(reason).splitlines()[0][:200]
        raise InputError(f"{path}: {failed} ({line}); {remedy}") from None
