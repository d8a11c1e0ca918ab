"""Load matplotlib whatever backend is asked for: figures here are drawn with Agg.

Matplotlib reads ``MPLBACKEND`` as it is imported, and fails if it knows no such backend.  A kernel
of Jupyter sets it to one that is installed beside the kernel, and perhaps not here.
"""

from __future__ import annotations

import contextlib
import os
import sys

VARIABLE = "MPLBACKEND"


def load_matplotlib() -> None:
    """Import matplotlib, and leave pyplot the backend that the variable names, if there is one."""
    if "matplotlib" in sys.modules:
        return
    given = os.environ.pop(VARIABLE, None)
    try:
        import matplotlib
    finally:
        if given is not None:
            os.environ[VARIABLE] = given
    if given:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = given
