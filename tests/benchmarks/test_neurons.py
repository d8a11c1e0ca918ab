"""Temperatures of neurons as spins, one network at a time on one core.

At toy size an ordinary test; at full size (some minutes):

    pytest tests/benchmarks/test_neurons.py --benchmark-enable -s
"""

import itertools
import time

import numpy as np

from lsg_ray.neuron_spins.bonds import bonds_of, cut_of, glass_temperature, ordered_modes


def network(widths, rng):
    """Return independent weights of variance 1/inputs with a rank-one part in each layer."""
    matrices = []
    for inputs, out in itertools.pairwise(widths):
        w = rng.standard_normal((out, inputs)) / np.sqrt(inputs)
        u, v = rng.standard_normal(out), rng.standard_normal(inputs)
        matrices.append(w + 3 * np.outer(u, v) / np.linalg.norm(u) / np.linalg.norm(v))
    return bonds_of(matrices)


def test_melting_temperature(full):
    """At most 2 s of processor time for T_SG and T_1 of a network 784-256-128-10."""
    widths, count = ((784, 256, 128, 10), 1000) if full else ((60, 40, 30, 10), 2)
    rng, spent, modes = np.random.default_rng(0), [], 0
    for _ in range(count):
        bonds = network(widths, rng)
        begin = time.process_time()
        glass = glass_temperature(bonds)
        modes += len(ordered_modes(bonds, cut_of(glass, bonds.n_units)).temperatures)
        spent.append(time.process_time() - begin)
    print(f"\nT_SG and T_1, {count} networks: mean {np.mean(spent):.2f} s, max {np.max(spent):.2f}")
    assert modes > 0
    assert np.mean(spent) <= 2
