"""The only place that knows numba's flags and where compiled code is kept.

Compiled kernels are cached on disk, once per machine and user, in a folder whose name is a hash of
all kernel sources: a kernel that calls a changed kernel is compiled anew (numba itself looks at
the caller's file only), and an installation in a read-only place still has a cache.
``NUMBA_CACHE_DIR`` overrides the folder.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import lru_cache
from pathlib import Path

import llvmlite.binding
import numba
import platformdirs
from numba.core import config

#: Reassociation lets reductions vectorise; NaN and infinity keep their meaning.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}


def _cache_folder() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    name = f"numba-{digest.hexdigest()[:16]}"
    preferred = Path(platformdirs.user_cache_dir("lsg-ray")) / name
    try:
        preferred.mkdir(parents=True, exist_ok=True)
        if os.access(preferred, os.W_OK):
            return str(preferred)
    except OSError:
        pass
    # A shared temporary folder could hold another user's code: make it ours alone.
    private = Path(tempfile.gettempdir()) / f"lsg-ray-{os.getuid()}" / name
    private.mkdir(parents=True, exist_ok=True, mode=0o700)
    if private.parent.stat().st_uid != os.getuid():
        raise PermissionError(f"{private.parent} belongs to another user; set NUMBA_CACHE_DIR")
    private.parent.chmod(0o700)
    return str(private)


CACHE_FOLDER = os.environ.get("NUMBA_CACHE_DIR") or _cache_folder()


@lru_cache(maxsize=1)
def processor() -> str:
    """Return the kind of processor that kernels are compiled for, a line of plain text.

    Architecture, name, and a hash of the features: where one differs, so may the last bits.
    """
    name = config.CPU_NAME or llvmlite.binding.get_host_cpu_name()
    features = config.CPU_FEATURES
    if features is None:
        features = llvmlite.binding.get_host_cpu_features().flatten()
    digest = hashlib.sha256(",".join(sorted(features.split(","))).encode()).hexdigest()
    return f"{os.uname().machine} {name} {digest[:8]}"


@lru_cache(maxsize=1)
def _features() -> frozenset[str]:
    given = config.CPU_FEATURES
    if given is None:
        given = llvmlite.binding.get_host_cpu_features().flatten()
    return frozenset(name[1:] for name in given.split(",") if name.startswith("+"))


def has_feature(name: str) -> bool:
    """Return whether kernels are compiled for processors that have a feature, such as avx512f."""
    return name in _features()


def kernel(function):
    """Compile a function at its first call: cached on disk, without the interpreter lock.

    Kernels called by kernels are inlined by force.  Otherwise each compiled module carries its own
    copy of a callee, optimised in its own way, and the first one loaded serves all: the last bits
    of a result would depend on what a process compiled or loaded before.
    """
    saved, numba.config.CACHE_DIR = numba.config.CACHE_DIR, CACHE_FOLDER
    try:
        return numba.njit(
            cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy", forceinline=True
        )(function)
    finally:
        numba.config.CACHE_DIR = saved


def inlined(function):
    """Compile a helper into its callers, so that their loops can be vectorised as a whole."""
    return numba.njit(inline="always", fastmath=FASTMATH, error_model="numpy")(function)
