"""Solutions around a configuration of ±1 weights: how many there are at a distance, by messages.

With external fields γ W̃ on the weights of a machine, and ln Z of belief propagation
(`lsg_ray.kernels.message_passing`),

    F(γ) = ln Z/N,   S = Σ_i W̃_i ⟨W_i⟩/N,   D = (1 − S)/2,   Σ(D) = F(γ) − γ S,

so that e^{NΣ(D)} solutions lie at Hamming distance N D of W̃, of e^{N H₂(D)} configurations.  γ
goes from large to 0, with the messages of one field to the next; at γ = 0 these are all solutions.
Σ is a Legendre transform: where it is not concave in D, nothing is seen.  Where messages do not
converge, results are NaN.

Source: C. Baldassi et al., Phys. Rev. Lett. 115, 128101 (2015); PNAS 113, E7655 (2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lsg_ray.minima.theory.gaussian import binary_entropy
from lsg_ray.networks.factor_graph import FactorGraph
from lsg_ray.typing import Flags, Floats, Ints

#: Fields γ by default: distances from 0.01 to those of all solutions.
GAMMAS = (2.5, 2.0, 1.6, 1.3, 1.05, 0.85, 0.7, 0.55, 0.42, 0.3, 0.2, 0.1, 0.0)
#: Damping that is tried where messages do not converge.
STRONGER = (0.6, 0.85)


class Enumerator(NamedTuple):
    """The curve of one reference, each (γ,).

    entropy Σ in nats per weight and distance D, NaN where messages have not converged; bound H₂(D);
    log_partition F; overlap S; converged; sweeps, of all dampings; residual, the largest last
    change of a message.
    """

    entropy: Floats
    distance: Floats
    bound: Floats
    log_partition: Floats
    overlap: Floats
    converged: Flags
    sweeps: Ints
    residual: Floats


def weight_enumerator(
    graph: FactorGraph,
    reference: Floats,
    gammas: Sequence[float] = GAMMAS,
    *,
    damping: float = 0.3,
    tolerance: float = 1e-6,
    max_sweeps: int = 500,
) -> Enumerator:
    """Count the solutions around one reference (K, n).

    Messages start from zero; the graph is left with those of the last field.  Where they do not
    converge, more damping is tried, and the next field begins anew.  Cost of a sweep: O(P N).

    >>> graph = FactorGraph(np.ones((0, 1, 5), np.int8))
    >>> curve = weight_enumerator(graph, np.ones((1, 5)), [1.0])
    >>> bool(np.allclose(curve.entropy, curve.bound)), round(float(curve.distance[0]), 4)
    (True, 0.1192)
    """
    rows = []
    graph.start()
    for gamma in gammas:
        external = gamma * reference
        sweeps, residual = 0, np.inf
        for strength in (damping, *(one for one in STRONGER if one > damping)):
            convergence = graph.solve(external, strength, tolerance, max_sweeps)
            sweeps, residual = sweeps + convergence.sweeps, convergence.residual
            if convergence.converged:
                break
            graph.start()
        converged = bool(residual <= tolerance)
        values = (np.nan,) * 5
        if converged:
            total = external + graph.fields
            overlap = float(np.mean(reference * np.tanh(total)))
            free = graph.log_partition(total) / graph.n_weights
            distance = (1 - overlap) / 2
            bound = float(binary_entropy(np.array(distance))) if 0 < distance < 1 else 0.0
            values = (free - gamma * overlap, distance, bound, free, overlap)
        rows.append((*values, converged, sweeps, residual))
    return Enumerator(*map(np.array, zip(*rows, strict=True)))


def all_solutions(
    graph: FactorGraph, *, damping: float = 0.3, tolerance: float = 1e-6, max_sweeps: int = 500
) -> tuple[float, bool]:
    """Return the entropy of all solutions per weight, in nats, and whether messages have converged.

    NaN where they have not.
    """
    curve = weight_enumerator(
        graph,
        np.zeros(graph.shape),
        (0.0,),
        damping=damping,
        tolerance=tolerance,
        max_sweeps=max_sweeps,
    )
    return float(curve.entropy[0]), bool(curve.converged[0])
