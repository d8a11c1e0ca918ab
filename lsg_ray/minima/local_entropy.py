"""Local entropy around solutions of ±1 weights: the weight enumerator of each, by messages.

Mathematics and source stand in `lsg_ray.minima.weight_enumerator`.  Curves are drawn beside those
of replica theory for random patterns, where there are some: the densest regions (y → ∞), which are
around the best of all centres, and the surroundings of typical solutions (Franz–Parisi).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np
import xarray

from lsg_ray.arrays import in_range, public
from lsg_ray.errors import InputError
from lsg_ray.minima.chosen import Chosen, Ground, MessageTasks, choose
from lsg_ray.minima.theory.cross_entropy import solutions as typical_solutions
from lsg_ray.minima.theory.densest import densest
from lsg_ray.minima.theory.franz_parisi import around
from lsg_ray.minima.theory.gaussian import binary_entropy
from lsg_ray.minima.theory.replica_symmetric import symmetric_state
from lsg_ray.minima.weight_enumerator import GAMMAS, Enumerator, all_solutions, weight_enumerator
from lsg_ray.networks.factor_graph import MOST_EXACT, FactorGraph, gauged
from lsg_ray.results.checkpoints import run_tasks
from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.typing import Array, EnsembleLike, Floats, Numbers, Variables

#: Distances at which replica theory is computed.
DISTANCES = (0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3)
#: From this load on there is no theory of typical solutions.
_CAPACITY = 0.83


class _Entropy(NamedTuple):
    """Entropy of all solutions, and whether it has converged."""

    entropy: Floats
    converged: Array


@public
def local_entropy(
    solutions: EnsembleLike,
    *,
    gammas: Numbers = GAMMAS,
    exact: bool = False,
    **run: Unpack[MessageTasks],
) -> xarray.Dataset:
    """Measure the local entropy around solutions with weights of ±1.

    Parameters
    ----------
    solutions
        Ensemble of perceptrons or committees, a view of one, or its URL; all without an error on
        their patterns.
    configurations
        Number of reference solutions, from the first, or list of the configurations to use as
        references; without it, the first 20 at most.
    gammas
        Fields γ ≥ 0 towards the reference; larger fields give shorter distances.
    exact
        Whether sums over inputs have their exact distribution, for up to 101 inputs per unit,
        instead of a normal one.
    damping
        Share of the old message in the new one; where messages do not converge, 0.6 and 0.85 are
        tried.
    max_sweeps
        Largest number of sweeps at each field and damping.
    tolerance
        Largest change of a message in a sweep at which messages have converged.
    theory
        Whether to compute the replica theory of random patterns too, for perceptrons; it takes
        about ten seconds.
    checkpoints
        Path of a folder for finished tasks, from which an interrupted call resumes.
    progress
        Called with (references done, total).

    Returns
    -------
    xarray.Dataset
        Over (solution, gamma): ``entropy`` Σ (nats per weight) and ``distance`` D, NaN where
        messages have not converged, ``bound`` H₂(D), ``log_partition``, ``overlap``, ``converged``,
        ``sweeps``, ``residual``; over gamma: means over solutions ``entropy_mean``,
        ``distance_mean`` with ``_stderr``, NaN unless two of them differ; with theory, over point:
        ``densest`` and ``typical`` at ``theory_distance``.  Attributes: ``solution_entropy``, that
        of all solutions, NaN unless ``solution_entropy_converged``; with theory
        ``typical_entropy``, what it is of typical patterns; ``converged``, the share of all.

    Raises
    ------
    InputError
        Configurations with errors, weights on the sphere, parity machines, other networks, numbers
        out of range.

    Notes
    -----
    A task is a reference: some 20 sweeps a field, of 2 ns a message; memory 8 P N bytes.  Belief
    propagation is exact on a tree graph, and here for N → ∞ as long as solutions around a reference
    are one cluster.  Deterministic: nothing is drawn.
    """
    gamma = np.sort(in_range(gammas, "gammas", least=True))[::-1].copy()
    chosen = choose(
        solutions, run["configurations"], for_what="local entropy", majority=True, solutions=True
    )
    if not (np.abs(chosen.weights) == 1).all():
        raise InputError(
            f"{chosen.ensemble.url}: weights on the sphere; their local entropy is that of lsg "
            "spherical-local-entropy"
        )
    if exact and chosen.ground.shape[1] > MOST_EXACT:
        raise InputError(
            f"exact given; units have {chosen.ground.shape[1]} inputs, and {MOST_EXACT} at most "
            "have sums with exact laws"
        )
    settings = (run["damping"], run["max_sweeps"], run["tolerance"])
    options = (exact, *settings)
    curves = chosen.run(_task, Enumerator, [(gamma, *options)] * len(chosen.numbers), run)
    everywhere = run_tasks(_all, chosen.ground, [options], _Entropy, run["checkpoints"])
    ((entropy, converged),) = everywhere
    result = _dataset(curves, gamma, chosen).assign_coords(solution=chosen.numbers)
    result = result.assign_attrs(
        chosen.provenance(
            statistic="local entropy",
            exact=int(exact),
            damping=run["damping"],
            max_sweeps=run["max_sweeps"],
            tolerance=run["tolerance"],
            solution_entropy=float(entropy[0]),
            solution_entropy_converged=int(converged[0]),
            converged=float(curves.converged.mean()),
        )
    )
    return _with_theory(result, chosen) if run["theory"] else result


def _graph(ground: Ground, exact: bool) -> FactorGraph:
    train = ground.arena.train
    return FactorGraph(gauged(train.x, train.s), ground.shape[0], exact=exact)


def _task(
    ground: Ground,
    w: Floats,
    gammas: Floats,
    exact: bool,
    damping: float,
    max_sweeps: int,
    tolerance: float,
) -> Enumerator:
    return weight_enumerator(
        _graph(ground, exact),
        w,
        gammas.tolist(),
        damping=damping,
        max_sweeps=max_sweeps,
        tolerance=tolerance,
    )


def _all(
    ground: Ground, exact: bool, damping: float, max_sweeps: int, tolerance: float
) -> _Entropy:
    entropy, converged = all_solutions(
        _graph(ground, exact), damping=damping, max_sweeps=max_sweeps, tolerance=tolerance
    )
    return _Entropy(np.array([entropy]), np.array([converged]))


def _dataset(curves: Enumerator, gammas: Floats, chosen: Chosen) -> xarray.Dataset:
    dims = ("solution", "gamma")
    nat, one = {"units": "nat"}, {"units": "1"}
    values: Variables = {
        "entropy": (dims, curves.entropy, {"long_name": "local entropy Σ per weight", **nat}),
        "distance": (dims, curves.distance, {"long_name": "distance D", **one}),
        "bound": (dims, curves.bound, {"long_name": "H₂(D), all configurations", **nat}),
        "log_partition": (dims, curves.log_partition, {"long_name": "F(γ)", **nat}),
        "overlap": (dims, curves.overlap, {"long_name": "overlap S with the solution", **one}),
        "converged": (dims, curves.converged),
        "sweeps": (dims, curves.sweeps),
        "residual": (dims, curves.residual),
    }
    for name in ("entropy", "distance"):
        mean, error = chosen.averaged(getattr(curves, name))
        values |= {f"{name}_mean": ("gamma", mean), f"{name}_stderr": ("gamma", error)}
    return xarray.Dataset(values, {"gamma": ("gamma", gammas, {"long_name": "field γ"})})


def _with_theory(result: xarray.Dataset, chosen: Chosen) -> xarray.Dataset:
    """Add curves of replica theory, of perceptrons with random patterns below capacity."""
    spec, alpha = chosen.ensemble.spec, chosen.alpha
    random = spec.dataset.name == "random-patterns"
    if not random or chosen.ground.shape[0] > 1 or alpha >= _CAPACITY:
        return result
    d = np.array(DISTANCES)
    regions = [densest(alpha, float(q1)) for q1 in (1 - 2 * d) ** 2]
    typical = typical_solutions(alpha)
    near = [around(typical, float(one)) for one in d]
    values = {}
    for name, label, states in (
        ("densest", "densest regions (y → ∞)", regions),
        ("typical", "around typical solutions", near),
    ):
        curve = np.array([state.entropy if state.converged else np.nan for state in states])
        values[name] = ("point", curve, {"long_name": label, "units": "nat"})
    bound = ("point", binary_entropy(d), {"units": "nat"})
    return result.assign(
        values | {"theory_distance": ("point", d, {"units": "1"}), "theory_bound": bound}
    ).assign_attrs(typical_entropy=float(symmetric_state(alpha).entropy))


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    columns = ("gamma", "entropy_mean", "entropy_stderr", "distance_mean")
    rows = {
        f"gamma {gamma:g}": f"{mean:.5f} ± {error:.2g} at D = {d:.4f}"
        for gamma, mean, error, d in zip(*(result[c].values for c in columns), strict=True)
    }
    names = ("converged", "solution_entropy", "typical_entropy")
    about = {name: result.attrs[name] for name in names if name in result.attrs}
    return {"solutions": result.sizes["solution"], **about, **rows}


STAGE = Stage(
    "local-entropy",
    local_entropy,
    reads={"solutions": ENSEMBLE},
    summary=_shown,
    unit="references",
    figures=[
        Figure(
            "lsg_ray.report.figures.local_entropy:local_entropy_figure",
            "Local entropy",
            "local_entropy_caption",
            together=6,
        )
    ],
)
