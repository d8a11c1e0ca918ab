"""What kernels for CUDA are made with, on a GPU or in numba's simulator.

The simulator (``NUMBA_ENABLE_CUDASIM=1`` before numba is imported) runs kernels as Python code in
threads: it has no types, no libdevice and no cache.  Arithmetic is that of NumPy's scalars there,
so kernels name the type of every constant, as they must on a GPU to stay in float32.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import cuda

from lsg_ray.kernels import compile as compiling

# A launch of few networks is no mistake.
numba.config.CUDA_LOW_OCCUPANCY_WARNINGS = 0
#: Whether kernels run in the simulator.
SIMULATED = bool(numba.config.ENABLE_CUDASIM)

#: Position in an array.  Signed ones would be checked for Python's meaning of a negative index.
at = np.uint64


def kernel(function):
    """Compile a kernel at its first launch, cached on disk beside those of the CPU."""
    saved, numba.config.CACHE_DIR = numba.config.CACHE_DIR, compiling.CACHE_FOLDER
    try:
        return cuda.jit(function) if SIMULATED else cuda.jit(cache=True)(function)
    finally:
        numba.config.CACHE_DIR = saved


def device(function):
    """Compile a function into the kernels that call it.

    In the simulator it stays what it is; one that uses `numba.cuda` stands in its kernel's module.
    """
    if SIMULATED:
        return function
    return cuda.jit(device=True, forceinline=True)(function)


if SIMULATED:

    @device
    def inverse_root(x):
        """1/√x."""
        return np.float32(1.0 / math.sqrt(x))

    @device
    def logarithm(x):
        """Natural logarithm; its absolute error is below 4e-7 between 1/2 and 2."""
        return np.float32(math.log(x))

    @device
    def exponential(x):
        """exp(x), infinite beyond float32."""
        with np.errstate(over="ignore"):
            return np.exp(np.float32(x))

else:
    # One instruction each, instead of the ten to twenty of the rounded functions.
    @device
    def inverse_root(x):
        """1/√x, relative error below 2⁻²²·⁴."""
        return cuda.libdevice.rsqrtf(x)

    @device
    def logarithm(x):
        """Natural logarithm, absolute error below 2⁻²¹·⁴ between 1/2 and 2."""
        return cuda.libdevice.fast_logf(x)

    @device
    def exponential(x):
        """exp(x), within two units of the last digit of float32."""
        return math.exp(x)
