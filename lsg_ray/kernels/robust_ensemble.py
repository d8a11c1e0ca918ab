"""Monte Carlo of ±1 weights: Metropolis, and with a reduced rejection rate, of coupled replicas.

The energy of y replicas of a committee or parity machine, by inverse temperature, is

    β E = β Σ_a L_NE(W^a) − Σ_i ln 2cosh(γ μ_i),    μ_i = Σ_a W_i^a,

the second term where a centre of ±1 weights with couplings γ is traced out; of one replica it is
constant.  A flip of weight i of replica a changes that by f(m) − f(m − 2), with f(m) = ln 2cosh(γm)
and m = W_i^a μ_i, and L_NE by a pass over the patterns.

Arrays, for labels absorbed in the inputs (ξ ← sξ):

    w (y, N) int8 ±1; mu (N,) int32; errors (y,) int64, L_NE of each;
    h (y, K, P) int32, fields of the units; votes (y, P) int32, Σ_l τ_l, or Π_l τ_l,
        the latter times s for even K, where labels in the inputs cancel: right where positive;
    x (N or n, P) int8, the inputs of each weight, or, shared by units, of each input;
    f (y + 1,) float64, f(0), …, f(y).

Sources: C. Baldassi et al., PNAS 113, E7655 (2016), arXiv:1605.06444, for the ensemble; for the
sampler C. Baldassi, J. Stat. Mech. (2017) 033301, arXiv:1608.05899.
"""

from __future__ import annotations

import math

import numpy as np

from lsg_ray.kernels.compile import inlined, kernel

_I = np.int32


@inlined
def _turned(field, change, vote, product):
    """Return field and vote of a pattern after a change of the field."""
    after = _I(field - change)
    turn = _I(after > 0) - _I(field > 0)
    if product:
        return after, _I(vote * (1 - 2 * turn * turn))
    return after, _I(vote + 2 * turn)


@inlined
def _change(h, votes, x, twice, product):
    """Return by how much L_NE changes when a weight flips; twice: 2 W before."""
    change = 0
    for p in range(len(h)):
        _, vote = _turned(h[p], _I(twice * x[p]), votes[p], product)
        change += int(vote < 0) - int(votes[p] < 0)
    return change


@inlined
def _flip(h, votes, x, twice, product):
    """Flip a weight in fields and votes."""
    for p in range(len(h)):
        h[p], votes[p] = _turned(h[p], _I(twice * x[p]), votes[p], product)


@kernel
def flip_change(w, h, votes, x, replica, i, product):
    """Return by how much L_NE of a replica changes when its weight i flips."""
    n = w.shape[1] // h.shape[1]
    row = x[i % x.shape[0]]
    return _change(h[replica, i // n], votes[replica], row, 2 * w[replica, i], product)


@kernel
def metropolis(w, h, votes, mu, errors, x, f, beta, draws, product, stop):
    """Try flips of weights at random, in place; return how many were tried and accepted.

    draws (moves, 2): uniform numbers for weight and acceptance; stop: end where a replica has no
    error.  A flip is accepted with probability min(1, e^{−β ΔE}).
    """
    y, n_weights = w.shape
    n = n_weights // h.shape[1]
    accepted = 0
    for move in range(len(draws)):
        site = min(int(draws[move, 0] * y * n_weights), y * n_weights - 1)
        a, i = site // n_weights, site % n_weights
        own, vote, row = h[a, i // n], votes[a], x[i % x.shape[0]]
        spin = int(w[a, i])
        m = spin * mu[i]
        change = _change(own, vote, row, 2 * spin, product)
        cost = beta * change + f[abs(m)] - f[abs(m - 2)]
        if draws[move, 1] < math.exp(-cost):
            _flip(own, vote, row, 2 * spin, product)
            w[a, i] = -spin
            mu[i] -= 2 * spin
            errors[a] += change
            accepted += 1
            if stop and errors[a] == 0:
                return move + 1, accepted
    return len(draws), accepted


@kernel
def classify(w, mu, members, position, counts):
    """Sort the weights of all replicas into classes of equal m = W_i^a μ_i, k = (m + y)/2.

    members (y + 1, y N) int32, the first counts[k] of row k; position (y N,) int32, of each
    in its row; counts (y + 1,) int64.
    """
    y, n_weights = w.shape
    counts[:] = 0
    for a in range(y):
        for i in range(n_weights):
            k = (w[a, i] * mu[i] + y) // 2
            members[k, counts[k]] = a * n_weights + i
            position[a * n_weights + i] = counts[k]
            counts[k] += 1


@inlined
def _reclass(site, old, new, members, position, counts):
    """Move a weight from one class to another: the last of its class takes its position."""
    counts[old] -= 1
    last = members[old, counts[old]]
    members[old, position[site]] = last
    position[last] = position[site]
    members[new, counts[new]] = site
    position[site] = counts[new]
    counts[new] += 1


@inlined
def _moved_rate(w, mu, a, i, p):
    """Return z′ − z, the change of the sum of rates by a flip of weight i of replica a."""
    y = w.shape[0]
    change = 0.0
    for b in range(y):
        m = w[b, i] * mu[i]
        after = 2 - m if b == a else m - 2 * w[b, i] * w[a, i]
        change += p[(after + y) // 2] - p[(m + y) // 2]
    return change


@kernel
def reduced_rejection(
    w, h, votes, mu, errors, x, f, beta, draws, product, stop, members, position, counts
):
    """As `metropolis`, with weights proposed by the rates of the coupling; draws (moves, 3).

    A weight j is proposed with probability p_j/z, p_j = min(1, e^{−ΔE₀}), E₀ the coupling and
    z = Σ p_j, and accepted with min(1, (z/z′) e^{−β ΔL_NE}), z′ that of after the flip.
    """
    y, n_weights = w.shape
    n = n_weights // h.shape[1]
    p = np.zeros(y + 1)
    for k in range(1, y + 1):
        m = 2 * k - y
        p[k] = min(1.0, math.exp(f[abs(m - 2)] - f[abs(m)]))
    accepted = 0
    for move in range(len(draws)):
        z = 0.0
        for k in range(1, y + 1):
            z += counts[k] * p[k]
        target, chosen = draws[move, 0] * z, 0
        for k in range(1, y + 1):
            if counts[k] > 0:
                chosen = k
                target -= counts[k] * p[k]
                if target < 0:
                    break
        site = members[chosen, min(int(draws[move, 1] * counts[chosen]), counts[chosen] - 1)]
        a, i = site // n_weights, site % n_weights
        own, vote, row = h[a, i // n], votes[a], x[i % x.shape[0]]
        spin = int(w[a, i])
        change = _change(own, vote, row, 2 * spin, product)
        after = z + _moved_rate(w, mu, a, i, p)
        if draws[move, 2] * after < z * math.exp(-beta * change):
            _flip(own, vote, row, 2 * spin, product)
            for b in range(y):
                m = w[b, i] * mu[i]
                moved = 2 - m if b == a else m - 2 * w[b, i] * spin
                _reclass(
                    b * n_weights + i, (m + y) // 2, (moved + y) // 2, members, position, counts
                )
            w[a, i] = -spin
            mu[i] -= 2 * spin
            errors[a] += change
            accepted += 1
            if stop and errors[a] == 0:
                return move + 1, accepted
    return len(draws), accepted
