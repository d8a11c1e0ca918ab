"""Every inner loop beside its floor: the least time that its arithmetic or its bytes take.

The floor of a loop is the larger of two times, of rates that are measured in the same run:

- its operations at the rate of a matrix product of NumPy, and its divisions and square roots at
  that of a division of arrays in the first cache.  An addition, a multiplication, a comparison is
  an operation, an exponential or a hyperbolic tangent 30; products are fused multiply-adds and
  nothing else, so other loops come hardly below twice their floor;
- the bytes that it must move, at the bandwidth of this core for arrays of that size.

Seconds are those of the processor: those of a clock, where nobody else is at work.  At toy size an
ordinary test; at full size (a minute) one table:

    OMP_NUM_THREADS=1 pytest tests/benchmarks/test_floors.py --benchmark-enable -s
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from lsg_ray.ising.cavity import Cavity, Couplings
from lsg_ray.ising.chains import Chains
from lsg_ray.ising.regression import sum_rows
from lsg_ray.ising.tap import _fixed_points
from lsg_ray.loss_landscape.curves.mining import MINING, _Search
from lsg_ray.loss_landscape.curves.targets import CURVE_TARGETS
from lsg_ray.networks.factor_graph import FactorGraph
from lsg_ray.networks.families.committee import Patterns
from lsg_ray.networks.relaxed_bp import RelaxedBP
from lsg_ray.networks.solvers import reinforced_amp
from lsg_ray.networks.threads import one_thread
from lsg_ray.neuron_spins.bonds import Bonds, cut_of, glass_temperature, ordered_modes
from lsg_ray.neuron_spins.heat_bath import Ladders
from lsg_ray.neuron_spins.tap import fields_of, solve
from lsg_ray.statistics.configurations import as_configurations
from lsg_ray.statistics.signs import NO_TRIPLES, count_signs

from .test_curves import problem
from .test_ising import spin_glass
from .test_neurons import network

#: Operations of an exponential, a logarithm or a hyperbolic tangent, by polynomials.
ELEMENTARY = 30


class Loop(NamedTuple):
    """A piece of work, and what it costs.

    flop, divisions; moved: bytes read and written; held: bytes that it goes through, which decide
    in which cache they are; kind: type of its arithmetic; times: pieces that ``work`` does.
    """

    name: str
    work: Callable[[], object]
    flop: float
    moved: float
    held: float
    kind: type = np.float64
    times: int = 1
    divisions: float = 0.0


def median_seconds(work, repeats):
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return float(np.median(seconds))


def product_rate(kind, full):
    """Operations a second of a matrix product."""
    n = 768 if full else 64
    a, out = np.ones((n, n), kind), np.empty((n, n), kind)
    best = min(median_seconds(lambda: np.matmul(a, a, out=out), 1) for _ in range(20))
    return 2 * n**3 / best


def division_rate():
    """Divisions of float64 a second."""
    a, b, out, inner = np.ones(1000), np.ones(1000), np.ones(1000), 100

    def work():
        for _ in range(inner):
            np.divide(a, b, out=out)

    return 1000 * inner / min(median_seconds(work, 1) for _ in range(20))


def bandwidth(size):
    """Bytes a second that one core reads and writes, of arrays of some bytes in all."""
    n = max(int(size // 16), 1024)
    a, b = np.ones(n), np.ones(n)
    inner = max(1, 200_000 // n)

    def work():
        for _ in range(inner):
            np.add(a, b, out=a)

    work()
    return 24 * n * inner / min(median_seconds(work, 1) for _ in range(7))


def ising(n, sweeps):
    model = spin_glass(n)
    cavity = Cavity(Couplings.at(model.J), np.zeros((n, n)))
    # Two sweeps: 24 operations and 2 divisions a pair; messages are read and written, tanh J read.
    return Loop(f"BP of an Ising model, N = {n}",
                lambda: cavity.solve(model.h, 1e-300, sweeps, 0.0), 12.0 * n * n, 12.0 * n * n,
                16.0 * n * n, times=sweeps, divisions=1.0 * n * n)  # fmt: skip


def committee(units, n, count):
    rng = np.random.default_rng(0)
    x = rng.choice(np.array([-1, 1], np.int8), (count, 1, n))
    graph = FactorGraph(x, units)
    graph.start(rng)
    for _ in range(10):
        graph.sweep(graph.fields.copy(), 0.5)
    h = graph.fields.copy()
    messages = units * count * n
    return Loop(f"BP of a committee, K = {units}, n = {n}, P = {count}",
                lambda: graph.sweep(h, 0.5), messages * (ELEMENTARY + 45.0), 17.0 * messages,
                9.0 * messages, divisions=1.0 * messages)  # fmt: skip


def relaxed(units, n, count):
    x = np.random.default_rng(0).choice([-1.0, 1.0], (count, 1, n))
    bp = RelaxedBP(Patterns(x, np.ones(count, np.int8)), units, n)
    bp.control()
    for _ in range(3):
        bp.sweep(0.3)
    messages = units * count * n
    # An exponential, erfcx of 48 operations, and some 40 others.
    return Loop(f"relaxed BP, K = {units}, n = {n}, P = {count}", lambda: bp.sweep(0.3),
                messages * (ELEMENTARY + 88.0), 32.0 * messages + 8.0 * n * count,
                16.0 * messages, divisions=5.0 * messages)  # fmt: skip


def amp(n, count):
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**32, (count, -(-n // 32)), dtype=np.uint32)
    fields = reinforced_amp.amp(words, n, reinforced_amp.Options(), rng)
    next(fields)
    # Each bit twice: it is a mask that makes a sign, and a number times that is added.
    return Loop(f"AMP, N = {n}, P = {count}", lambda: next(fields), 6.0 * n * count,
                n * count / 8, n * count / 8, np.float32)  # fmt: skip


def mining(full):
    networks = 8 if full else 2
    terrain, weights, train = problem(full, networks)
    target = CURVE_TARGETS["w-peak"]
    streams = [np.random.default_rng([3, number]) for number in range(networks)]
    search = _Search(terrain, weights, target, streams, MINING)
    inputs, hidden, classes = terrain.network.widths
    points, entries = len(target.points) + 1, np.count_nonzero(train.x) / len(train.x)
    # Three products of the first layer, three of the last at each point; Gram-Schmidt and Adam.
    flop = 2.0 * MINING.batch * hidden * (3 * entries + points * (3 * classes + 6))
    flop += terrain.network.n_weights * 30.0
    moved = 4.0 * terrain.network.n_weights * 10

    def work():
        with one_thread():
            search.step(1)

    return Loop(f"mining of curves, {inputs}-{hidden}-{classes}, a step and network", work, flop,
                moved, moved, np.float32, networks)  # fmt: skip


def temperatures(widths):
    net = network(widths, np.random.default_rng(0))
    uses = [0]

    def counted(method, passes):
        def call(self, *arguments):
            uses[0] += passes(*arguments)
            return method(self, *arguments)

        return call

    def work():
        glass = glass_temperature(net)
        ordered_modes(net, cut_of(glass, net.n_units))

    plain, squared = Bonds.fields, Bonds.squared_fields
    Bonds.fields = counted(plain, lambda _, colour=None: 2 if colour is None else 1)
    Bonds.squared_fields = counted(squared, lambda _: 1)
    try:
        work()
    finally:
        Bonds.fields, Bonds.squared_fields = plain, squared
    weights = sum(w.size for w in net.couplings)
    # ARPACK makes a vector orthogonal to some 35 others, twice, for two passes over the weights.
    moved = 8.0 * uses[0] * (weights + 70 * net.n_units)
    return Loop(f"T_SG and T_1, {'-'.join(map(str, widths))}, {uses[0]} passes", work,
                2.0 * weights * uses[0], moved, 8.0 * weights)  # fmt: skip


def heat_bath(widths, ladders, betas):
    net, rng = network(widths, np.random.default_rng(0)), np.random.default_rng(1)
    spins = rng.choice([-1.0, 1.0], (net.n_units, ladders, betas))
    chains = Ladders(net, np.zeros(net.n_units), np.linspace(0.5, 1, betas), spins, rng)
    weights, n = sum(w.size for w in net.couplings), ladders * betas
    flop = n * (4.0 * weights + net.n_units * (ELEMENTARY + 10.0))
    # Once for the spins of each colour.
    return Loop(f"heat bath of neurons, {'-'.join(map(str, widths))}, {n} chains", chains.sweep,
                flop, 4.0 * weights, 4.0 * weights, np.float32)  # fmt: skip


def census(widths, starts):
    net, rng = network(widths, np.random.default_rng(0)), np.random.default_rng(1)
    fields, steps = fields_of(net), 10
    start = 0.9 * rng.choice([-1.0, 1.0], (net.n_units, starts))
    glass = glass_temperature(net)
    weights = sum(w.size for w in net.couplings)
    flop = starts * (8.0 * weights + 6 * net.n_units * ELEMENTARY)
    return Loop(f"TAP of neurons, {'-'.join(map(str, widths))}, {starts} starts",
                lambda: solve(fields, start, 0.5 * glass, tolerance=0.0, max_iterations=steps),
                flop, 16.0 * weights, 16.0 * weights, times=steps,
                divisions=12.0 * starts * net.n_units)  # fmt: skip


def tap(n, starts, steps):
    model, rng = spin_glass(n, 0.7), np.random.default_rng(0)
    m = np.tanh(rng.standard_normal((starts, n)))
    flop = starts * (4.0 * n * n + n * (ELEMENTARY + 10.0))
    return Loop(f"TAP, N = {n}, {starts} starts",
                lambda: _fixed_points(m.copy(), model.J, model.h, 0.0, steps), flop,
                16.0 * n * n, 16.0 * n * n, times=steps)  # fmt: skip


def pseudolikelihood(n, count):
    rng = np.random.default_rng(0)
    source = as_configurations(rng.choice(np.array([-1, 1], np.int8), (count, n)))
    J, h = (0.1 * rng.standard_normal((n, n))).astype(np.float32), np.zeros(n)
    flop = count * (4.0 * n * n + n * (2 * ELEMENTARY + 12.0))
    return Loop(f"pseudolikelihood gradient, {count} x {n}",
                lambda: sum_rows(source, J, h, "all", 0, count), flop, 9.0 * n * count,
                9.0 * n * 2048, np.float32)  # fmt: skip


def chains(n, count):
    ours = Chains(spin_glass(n), count, threads=1)
    flop = count * (2.0 * n * n + n * (ELEMENTARY + 10.0))
    return Loop(f"Monte Carlo, N = {n}, {count} chains", lambda: ours.sweep(5), flop,
                4.0 * n * n, 4.0 * n * n, np.float32, 5)  # fmt: skip


def moments(n, count):
    rng = np.random.default_rng(0)
    source = as_configurations(rng.choice(np.array([-1, 1], np.int8), (count, n)))
    # As a matrix product would do it.
    return Loop(f"m and C by counting bits, {count} x {n}",
                lambda: count_signs(source, NO_TRIPLES, True, 0, count), 1.0 * n * n * count,
                n * count / 8, n * count / 8, np.float32)  # fmt: skip


def loops(full):
    if not full:
        small = (30, 20, 10)
        return [
            ising(20, 4), committee(1, 31, 10), committee(3, 11, 10), relaxed(3, 11, 10),
            amp(101, 40), mining(full), temperatures(small), heat_bath(small, 2, 2),
            census(small, 3), tap(20, 5, 3), pseudolikelihood(20, 100), chains(20, 16),
            moments(20, 100),
        ]  # fmt: skip
    neurons = (784, 256, 128, 10)
    return [
        ising(675, 40), ising(2000, 10), committee(1, 1001, 600), committee(9, 111, 300),
        committee(9, 111, 600), committee(9, 1001, 600), relaxed(1, 1001, 600),
        relaxed(9, 111, 600), amp(10_001, 5000), mining(full), temperatures(neurons),
        heat_bath(neurons, 8, 18), census(neurons, 40), tap(675, 250, 10),
        pseudolikelihood(675, 8192), chains(675, 1024), moments(675, 65_536),
    ]  # fmt: skip


def test_loops_beside_their_floors(full):
    """A table; at full size no loop takes more than twenty times its floor.

    K = 9, n = 111, P = 600 is beyond capacity: weights are nearly decided, and no row has a smooth
    message, so each takes its own logarithms.
    """
    worst = 0.0
    with threadpool_limits(1):
        rates = {kind: product_rate(kind, full) for kind in (np.float32, np.float64)}
        divided = division_rate()
        print(f"\nmatrix products: {rates[np.float32] / 1e9:.0f} and "
              f"{rates[np.float64] / 1e9:.0f} GFLOP/s in float32 and float64; "
              f"{divided / 1e9:.2f} billion divisions/s")  # fmt: skip
        for loop in loops(full):
            loop.work()
            seconds = median_seconds(loop.work, 7 if full else 1) / loop.times
            speed = bandwidth(loop.held)
            floors = {
                "arithmetic": loop.flop / rates[loop.kind] + loop.divisions / divided,
                "bytes": loop.moved / speed,
            }
            bound = max(floors, key=lambda name: floors[name])
            worst = max(worst, seconds / floors[bound])
            print(
                f"{loop.name}: {1e3 * seconds:.3f} ms, floor {1e3 * floors[bound]:.3f} ms of "
                f"{bound} ({speed / 1e9:.0f} GB/s), {seconds / floors[bound]:.1f} times"
            )
    if full:
        assert worst <= 20
