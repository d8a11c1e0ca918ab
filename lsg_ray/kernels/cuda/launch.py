"""Whether kernels can be launched here, and launches with more shared memory than the default."""

from __future__ import annotations

import importlib.util

from numba import cuda

from lsg_ray.kernels.cuda.device import SIMULATED

#: Shared memory that every kernel may use, in bytes; more has to be allowed kernel by kernel.
DEFAULT_SHARED = 48 * 1024
#: What a block has in the simulator: as much as on compute capability 9.0.
SIMULATED_SHARED = 227 * 1024
#: What `name` returns in the simulator.
SIMULATOR = "numba CUDA simulator"


def missing() -> str | None:
    """Return what kernels need and is not here, as part of a sentence; None where they run."""
    if SIMULATED:
        return None
    if importlib.util.find_spec("numba_cuda") is None:
        return "the package numba-cuda (pip install 'lsg-ray[gpu]')"
    if not cuda.is_available():
        return "a GPU with a driver for CUDA; none is visible to this process"
    return None


def name() -> str:
    """Return the name of the GPU, or `SIMULATOR`."""
    if SIMULATED:
        return SIMULATOR
    found = cuda.get_current_device().name
    return found.decode() if isinstance(found, bytes) else str(found)


def shared_limit() -> int:
    """Return the shared memory that a block may have here, in bytes."""
    if SIMULATED:
        return SIMULATED_SHARED
    return int(cuda.get_current_device().MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)


def launch(kernel, grid, threads, shared, *arguments):
    """Launch a kernel with ``shared`` bytes of dynamic shared memory, and wait for its end.

    grid: blocks, a number or a pair; threads: of a block.
    """
    if shared > DEFAULT_SHARED and not SIMULATED:
        _allow(kernel, shared, arguments)
    kernel[grid, threads, 0, shared](*arguments)
    cuda.synchronize()


def _allow(kernel, shared, arguments):
    """Allow a kernel more shared memory than the default; numba-cuda does not (its issue 94)."""
    from numba.cuda.cudadrv.driver import binding, driver

    compiled = kernel.compile(tuple(map(kernel.typeof_pyval, arguments)))
    function = compiled.library.get_cufunc()
    attribute = binding.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    driver.cuKernelSetAttribute(attribute, shared, function.handle, function.device.id)
