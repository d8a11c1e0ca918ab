"""Checks of kernels for CUDA: in numba's simulator, in which `tests/kernels/test_cuda.py` runs."""

import os

if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    from tests.kernels.cuda import simulator

    simulator.quicken()
