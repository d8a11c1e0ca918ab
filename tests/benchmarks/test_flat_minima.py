"""How flat the solutions of five algorithms are, on a tree of nine units, and scaling of seeds.

At toy size ordinary tests, of one pattern set; at full size (some minutes), five pattern sets, and
64 seeds of a solver on one and two workers, for which the machine must be quiet:

    pytest tests/benchmarks/test_flat_minima.py --benchmark-enable -s
"""

import numpy as np

from lsg_ray.cluster.limits import available_cpus
from lsg_ray.cluster.sample import sample
from lsg_ray.cluster.session import ray_session
from lsg_ray.datasets import load_dataset
from lsg_ray.minima.chosen import Ground
from lsg_ray.minima.spherical_local_entropy import local_entropy_around
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.spec import parse_spec

#: From least to most flat, with the local entropies that an independent program found at γ = 25
#: and 6, from instance to instance.
ALGORITHMS = {
    "least-action": ({}, (-0.15, -0.10), (-0.30, -0.24)),
    "entropic-least-action": ({}, (-0.055, -0.033), (-0.17, -0.13)),
    "cross-entropy-sgd fast": ({"growth": 0.02}, (-0.055, -0.030), (-0.16, -0.12)),
    "cross-entropy-sgd slow": ({"growth": 0.004}, (-0.030, -0.016), (-0.12, -0.09)),
    "spherical-focusing-bp": ({}, (-0.014, -0.006), (-0.09, -0.065)),
}


def around_solutions(name, options, units, n, sets):
    """Return local entropies (sets, 2) around one solution for each set of patterns."""
    found = []
    for seed in range(sets):
        spec = parse_spec({
            "name": "tree",
            "dataset": {"name": "random-patterns", "patterns": units * n, "inputs": units * n,
                        "seed": seed},
            "network": {"family": "spherical-committee", "widths": [units * n, units, 1]},
            "training": {"algorithm": name.split()[0], "options": options, "epochs": 3000,
                         "batch_size": 100},
            "ensemble": {"count": 1},
        })  # fmt: skip
        arena = prepare(spec, load_dataset(spec.dataset))
        sampled = sample_configurations(spec, arena, 0, 1)
        assert sampled.columns["errors"] == 0
        w = sampled.weights.astype(np.float64).reshape(units, n)
        curve = local_entropy_around(Ground(spec.network, arena), w, np.array([25.0, 6.0]))
        assert curve.converged.all()
        found.append(curve.entropy)
    return np.array(found)


def test_algorithms__in_the_order_of_their_flatness(full):
    units, n, sets = (9, 55, 5) if full else (5, 21, 1)
    means = {}
    for name, (options, near, far) in ALGORITHMS.items():
        found = around_solutions(name, options, units, n, sets)
        means[name] = found.mean(axis=0)
        error = found.std(axis=0) / np.sqrt(max(sets - 1, 1))
        print(f"\n{name}: {means[name].round(4)} ± {error.round(4)}", end="")
        if full:
            assert near[0] < means[name][0] < near[1]
            assert far[0] < means[name][1] < far[1]
    least, entropic, fast, slow, focused = means.values()
    assert (least < entropic).all()
    assert (least < focused).all()
    if full:
        assert (np.maximum(entropic, fast) < slow).all()
        assert np.abs(entropic - fast).max() < 0.02
        assert (slow < focused).all()


def test_seeds__scale_over_workers(full, toy_ray, tmp_path):
    """Solutions per second of one and of two Ray workers, of 64 seeds of focusing propagation."""
    n, count = (1001, 64) if full else (51, 4)
    spec = parse_spec({
        "name": "seeds",
        "dataset": {"name": "random-patterns", "patterns": round(0.5 * n), "inputs": n},
        "network": {"family": "perceptron", "widths": [n, 1]},
        "training": {"algorithm": "focusing-bp"},
        "ensemble": {"count": count},
    })  # fmt: skip
    first = spec.replace(ensemble={"count": 4, "block_size": 1})
    rates = {1: [], 2: []}
    for repeat in range(3 if full else 1):
        for workers in rates:
            store = tmp_path / f"{repeat}-{workers}"
            with ray_session(cpus=workers):
                sample(first, f"{store}-warm.zarr", workers=workers)
                result = sample(spec, f"{store}.zarr", workers=workers)
            rates[workers].append(result.rows / result.seconds)
    one, two = (float(np.median(found)) for found in rates.values())
    print(f"\n{count} seeds: {one:.2f}/s on one worker, {two:.2f}/s on two ({two / one:.2f} times)")
    if full and available_cpus() >= 2:
        assert two >= 1.8 * one
