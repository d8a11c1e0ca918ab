"""Import matplotlib whatever ``MPLBACKEND`` is: figures here are drawn with Agg.

Matplotlib reads ``MPLBACKEND`` as it is imported, and fails if it knows no such backend.  A kernel
of Jupyter sets it to a backend that is installed with the kernel, and perhaps not here.
"""

from __future__ import annotations

import contextlib
import os
import sys

BACKEND_VARIABLE = "MPLBACKEND"


def load_matplotlib() -> None:
    """Import matplotlib, and leave pyplot the backend that ``MPLBACKEND`` names, if any."""
    if "matplotlib" in sys.modules:
        return
    requested = os.environ.pop(BACKEND_VARIABLE, None)
    try:
        import matplotlib
    finally:
        if requested is not None:
            os.environ[BACKEND_VARIABLE] = requested
    if requested:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = requested
