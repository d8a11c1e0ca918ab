"""Numba kernels: arrays in, arrays out, no allocation per step, no input or output.

Importing a kernel module loads numba; nothing compiles before its first call.  numba's settings in
the environment are checked first: numba warns of some wrong ones at length and fails later on
others, and LLVM ends the process on some.
"""

from __future__ import annotations

import os
import re
import warnings

from lsg_ray.errors import InputError

#: LLVM aborts on features of a processor that are written in another way.
_FEATURES = re.compile(r"(?:[+-][\w.-]+(?:,[+-][\w.-]+)*)?")
_ADVICE = "correct it or unset it"


def _load_numba() -> None:
    """Import numba, and refuse settings that it or the kernels cannot work with.

    Raises
    ------
    InputError
        Names the variable.
    """
    threads = os.environ.get("NUMBA_NUM_THREADS", "").strip()
    if threads and not (threads.isdecimal() and int(threads) > 0):
        raise InputError(f"NUMBA_NUM_THREADS={threads} is not a positive integer; {_ADVICE}")
    features = os.environ.get("NUMBA_CPU_FEATURES", "").strip()
    if not _FEATURES.fullmatch(features):
        raise InputError(
            f"NUMBA_CPU_FEATURES={features[:80]} is not a list such as +avx2,-fma; {_ADVICE}"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from numba import config
    for warning in caught:
        match = re.match(r"Environment variable '(\w+)'", str(warning.message))
        if match:
            name = match[1]
            raise InputError(
                f"{name}={os.environ.get(name, '')[:80]} is not accepted by numba; {_ADVICE}"
            )
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if config.DISABLE_JIT:
        raise InputError(
            "NUMBA_DISABLE_JIT is set, and the kernels run as compiled code only; unset it"
        )


_load_numba()
