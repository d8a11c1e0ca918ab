"""numba's CUDA simulator with barriers that wait: its own ask every thread again and again."""

import sys
import threading

import numpy as np
from numba.cuda.simulator import kernel

#: Seconds after which threads that wait for others are taken for stuck.
PATIENCE = 60.0


def _run(self, grid_point, *arguments):
    """Run the threads of a block to their end; raise what one of them raised."""
    self.barrier = threading.Barrier(int(np.prod(self._block_dim)), timeout=PATIENCE)
    threads = [
        kernel.BlockThread(lambda: self._f(*arguments), self, grid_point, point, self._debug)
        for point in np.ndindex(*self._block_dim)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raised = [thread.exception for thread in threads if thread.exception]
    for kind, trace in raised:
        if not isinstance(kind, threading.BrokenBarrierError):
            raise kind.with_traceback(trace)
    if raised:
        raise RuntimeError("threads of a block wait at different barriers")


def _run_thread(self, run=kernel.BlockThread.run):
    run(self)
    if self.exception:
        self._manager.barrier.abort()


def quicken() -> None:
    """Replace the simulator's polling by barriers."""
    sys.setswitchinterval(1e-4)
    kernel.BlockManager.run = _run
    kernel.BlockThread.run = _run_thread
    kernel.BlockThread.syncthreads = lambda self: self._manager.barrier.wait()
