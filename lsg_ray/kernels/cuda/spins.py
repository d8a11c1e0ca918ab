"""Monte Carlo of a dense Ising model on a GPU: one chain in each block of one warp.

A chain's spins and local fields lie in shared memory.  All threads see the field of the spin that
is tried, and decide the same; where it changes they add a row of J to the fields, side by side, so
the work is N for each change and 1 for each spin tried.  J is read through the caches.

Heat bath and Metropolis as in `lsg_ray.kernels.spins`; the level of spin i is Philox's at (i / 4,
sweep, chain), so a chain depends on its number and the key only.
"""

from __future__ import annotations

import numpy as np
from numba import cuda, float32

from lsg_ray.kernels.cuda.device import at, device, exponential, kernel
from lsg_ray.kernels.cuda.philox import MOVES, level, philox
from lsg_ray.kernels.spins import HEAT_BATH

#: Threads of a block: one warp.
WARP = 32
#: Levels that a warp draws at a time: one call of Philox a thread.
LEVELS = 4 * WARP

_F, _U = np.float32, np.uint32


@device
def _draw(memory, levels, first, sweep, chain, key0, key1):
    """Draw the levels of spins ``first`` and on, four a thread."""
    for i in range(cuda.threadIdx.x, WARP, cuda.blockDim.x):
        r0, r1, r2, r3 = philox(_U(first // 4 + i), _U(sweep), _U(chain), _U(MOVES), key0, key1)
        to = levels + 4 * i
        memory[at(to)], memory[at(to + 1)] = level(r0), level(r1)
        memory[at(to + 2)], memory[at(to + 3)] = level(r2), level(r3)


@device
def _change(spin, field, beta, uniform, method):
    """Return the change of a spin: 0, +2 or −2."""
    if method == HEAT_BATH:
        p = _F(1) / (_F(1) + exponential(_F(-2) * beta * field))
        return (_F(1) if uniform < p else _F(-1)) - spin
    p = exponential(_F(-2) * beta * spin * field)
    return _F(-2) * spin if uniform < p else _F(0)


@kernel
def sweep(spins, J, h, beta, key, first_sweep, sweeps, method, changed):
    """Go through all spins of each chain in order, a number of times, in place.

    spins (chains, N) float32 ±1; J (N, N) float32, symmetric, zero diagonal; h (N,), beta (chains,)
    float32; key (2,) uint32; first_sweep, the number of the first sweep; method `HEAT_BATH` or
    `METROPOLIS`; changed (chains,) int64, to which changes are added.  Fields are computed anew at
    the start, so a call is of at most some hundred sweeps.  A grid of chains blocks of `WARP`
    threads, with 4 (2 N + `LEVELS`) bytes of shared memory.
    """
    memory = cuda.shared.array(0, float32)
    thread, threads, chain = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockIdx.x
    n = h.size
    fields, levels = n, 2 * n
    for i in range(thread, n, threads):
        memory[at(i)] = spins[at(chain), at(i)]
    cuda.syncthreads()
    for i in range(thread, n, threads):
        total = h[at(i)]
        for j in range(n):
            total += J[at(j), at(i)] * memory[at(j)]
        memory[at(fields + i)] = total
    moves = 0
    for number in range(first_sweep, first_sweep + sweeps):
        for first in range(0, n, LEVELS):
            cuda.syncthreads()
            _draw(memory, levels, first, number, chain, key[0], key[1])
            for i in range(first, min(first + LEVELS, n)):
                cuda.syncthreads()
                d = _change(
                    memory[at(i)], memory[at(fields + i)], beta[at(chain)],
                    memory[at(levels + i - first)], method,
                )  # fmt: skip
                cuda.syncthreads()
                if d != _F(0):
                    moves += 1
                    for j in range(thread, n, threads):
                        memory[at(fields + j)] += d * J[at(i), at(j)]
                    if thread == 0:
                        memory[at(i)] += d
    cuda.syncthreads()
    for i in range(thread, n, threads):
        spins[at(chain), at(i)] = memory[at(i)]
    if thread == 0:
        changed[at(chain)] += moves
