"""Monte Carlo updates of ±1 spins of a dense Ising model, many chains at a time.

Two layouts, for the two ways to have the local field h_i + Σ_j J_ij σ_j of a spin:

- *dense*, spins (N, chains): the fields of a block of spins come out of one matrix product; within
  the block, fields are corrected as it goes.  For many chains, whatever the temperature.
- *cached*, spins (chains, N): all fields of a chain are cached, and a row of J is added on
  acceptance only.  For few chains, or where few moves are accepted.

Heat bath: σ_i = +1 with probability 1/(1 + exp(−2βF_i)).  Metropolis: flip with probability
min(1, exp(−2βσ_iF_i)).  Arithmetic is that of the arrays, float32 as a rule.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.kernels.compile import inlined, kernel
from lsg_ray.kernels.elementary import RANDOM_STREAMS, exp, random_bits
from lsg_ray.kernels.products import product

HEAT_BATH, METROPOLIS = 0, 1

_F = np.float32
_U = np.uint32
_I = np.int32

#: Chains that are gone through together: a block of 64 of their fields stays in the second cache.
TILE_CHAINS = 256


@inlined
def _uniform(bits):
    return (_F(_I(bits >> _U(8))) + _F(0.5)) * _F(2.0**-24)


@inlined
def _change(spin, field, beta, uniform, method):
    """Return the change of a spin: 0, +2 or −2."""
    if method == HEAT_BATH:
        p = _F(1.0) / (_F(1.0) + exp(_F(-2.0) * beta * field))
        new = _F(1.0) if uniform < p else _F(-1.0)
        return new - spin
    p = exp(_F(-2.0) * beta * spin * field)
    return _F(-2.0) * spin if uniform < p else _F(0.0)


@kernel
def update_block(rows, others, h, spins, couplings, beta, fields, state, bits, method):
    """Go through a block of B spins of all chains, one after another, in place.

    rows (B, N) float32, couplings of the block to all spins, with further rows of zeros up to a
    multiple of 4; others (N, chains …) float32 ±1, all spins, with further columns up to a multiple
    of 16; h (B,) float32; spins (B, chains) float32, those of the block, of which ``others`` may
    hold the same memory; couplings (B, B) float32 within the block; beta (chains,) float32; fields
    (rows, columns as others) scratch; state (4, 64) uint32, advanced, and bits (rows, 64) uint32
    scratch with rows · 64 ≥ `TILE_CHAINS`; method `HEAT_BATH` or `METROPOLIS`.  Returns the number
    of spins changed.
    """
    product(rows, others, fields, others.shape[1])
    size, chains = spins.shape
    delta = np.empty(TILE_CHAINS, np.float32)
    flat = bits.reshape(bits.size)
    changed = 0
    for start in range(0, chains, TILE_CHAINS):
        width = min(TILE_CHAINS, chains - start)
        b = beta[start : start + width]
        for i in range(size):
            random_bits(state, bits[: (width + RANDOM_STREAMS - 1) // RANDOM_STREAMS])
            s, f = spins[i, start : start + width], fields[i, start : start + width]
            moved, own = _F(0.0), h[i]
            for c in range(width):
                d = _change(s[c], f[c] + own, b[c], _uniform(flat[c]), method)
                delta[c] = d
                s[c] += d
                moved += d * d
            changed += int(moved) // 4
            for k in range(i + 1, size):
                w, g = couplings[k, i], fields[k, start : start + width]
                for c in range(width):
                    g[c] += w * delta[c]
    return changed


@kernel
def sweep_cached(spins, fields, J, beta, order, state, bits, method):
    """Go through all spins of each chain in an order, keeping its fields up to date, in place.

    spins, fields (chains, N) float32; J (N, N) float32, symmetric, zero diagonal; beta (chains,)
    float32; order (N,) int64; state (4, 64) uint32, bits (rows, 64) uint32 with rows · 64 ≥ N;
    returns the number of spins changed.
    """
    chains, n = spins.shape
    flat = bits.reshape(bits.size)
    changed = 0
    for c in range(chains):
        random_bits(state, bits)
        s, f = spins[c], fields[c]
        for k in range(n):
            i = order[k]
            d = _change(s[i], f[i], beta[c], _uniform(flat[k]), method)
            if d != _F(0.0):
                s[i] += d
                changed += 1
                row = J[i]
                for j in range(n):
                    f[j] += d * row[j]
    return changed
