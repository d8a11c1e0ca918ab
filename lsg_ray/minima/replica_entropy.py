"""Entropy of the solutions of random patterns, by the replica-symmetric theory, without a network.

The curves that measured entropies are drawn beside; mathematics and sources are in
`lsg_ray.minima.theory.replica_symmetric`.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import xarray

from lsg_ray.arrays import in_range, public
from lsg_ray.minima.theory.machines import MachineName
from lsg_ray.minima.theory.replica_symmetric import (
    SymmetricState,
    WeightName,
    spherical_capacity,
    stability_limit,
    symmetric_state,
    zero_entropy,
)
from lsg_ray.results.graph import counted
from lsg_ray.stage import Figure, Stage
from lsg_ray.typing import Floats, Progress, Steps

Machine = Literal["perceptron", "committee-3", "committee-5", "committee-inf", "relu-inf", "parity"]

#: Patterns per weight by default.
ALPHAS = tuple(k / 20 for k in range(1, 18))
#: Machines whose limits are computed by default: of few units they take a minute.
_QUICK = ("perceptron", "committee-inf", "relu-inf")


@public
def replica_entropy(
    alpha: Steps = ALPHAS,
    *,
    weights: WeightName = "binary",
    machine: Machine = "perceptron",
    limits: bool | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Compute the entropy of solutions of random patterns, and the capacity.

    Parameters
    ----------
    alpha
        Number of patterns per weight, P/N.
    weights
        Kind of weights: ±1, or real on the sphere, whose entropy is relative to all weights.
    machine
        Kind of network: perceptron; tree committee of 3, 5 or infinitely many sign units, or of
        infinitely many ReLU units; or parity machine.
    limits
        Whether to compute capacity and stability limit too; without it, where that is quick.
    progress
        Called with (done, total).

    Returns
    -------
    xarray.Dataset
        Over ``alpha``: ``entropy`` per weight in nats, ``overlap`` q of two solutions,
        ``stability`` of the replica-symmetric state (negative: unstable; NaN of ±1 weights),
        ``converged``.  Attributes ``capacity``, the α of zero entropy of ±1 weights, or where q → 1
        on the sphere; ``stability_limit`` (NaN of ±1 weights); NaN where they were not computed.

    Raises
    ------
    InputError
        α is not positive.

    Notes
    -----
    Cost: milliseconds a point; of 3 units a second, of 5 units some minutes.

    Examples
    --------
    >>> theory = replica_entropy([0.2, 0.6])
    >>> theory["entropy"].values.round(4), round(theory.attrs["capacity"], 5)
    (array([0.5501, 0.2278]), 0.83308)
    """
    alphas = in_range(alpha, "alpha")
    states = [_state(value, weights, machine) for value in counted(alphas.tolist(), progress)]
    wanted = machine in (*_QUICK, "parity") if limits is None else limits
    capacity, limit = _limits(weights, machine) if wanted else (np.nan, np.nan)

    def column(name: str) -> tuple[str, Floats]:
        return "alpha", np.array([getattr(state, name) for state in states], np.float64)

    return xarray.Dataset(
        {
            **{name: column(name) for name in ("entropy", "overlap", "stability")},
            "converged": ("alpha", np.array([state.converged for state in states])),
        },
        coords={"alpha": alphas},
        attrs={
            "statistic": "replica entropy",
            "weights": weights,
            "machine": machine,
            "capacity": capacity,
            "stability_limit": limit,
            "converged": all(state.converged for state in states),
        },
    )


def _state(alpha: float, weights: WeightName, machine: Machine) -> SymmetricState:
    if machine in get_args(MachineName):
        return symmetric_state(alpha, weights, machine)  # type: ignore[arg-type]
    # Parity: every pattern halves the volume, and two solutions have no overlap.
    entropy = (weights == "binary") * np.log(2) - alpha * np.log(2)
    stability = np.nan if weights == "binary" else 1.0
    return SymmetricState(alpha, float(entropy), 0.0, 0.0, stability, 0.0)


def _limits(weights: WeightName, machine: Machine) -> tuple[float, float]:
    if machine not in get_args(MachineName):
        return (1.0, np.nan) if weights == "binary" else (np.nan, np.nan)
    name: MachineName = machine  # type: ignore[assignment]
    if weights == "binary":
        return zero_entropy(name), np.nan
    return spherical_capacity(name), stability_limit(name)


STAGE = Stage(
    "replica-entropy",
    replica_entropy,
    reads={},
    summary=("machine", "weights", "capacity", "stability_limit", "converged"),
    figures=[
        Figure(
            "lsg_ray.report.figures.minima_theory:replica_entropy_figure",
            "Entropy of solutions by replica theory",
            "replica_entropy_caption",
        )
    ],
    unit="points",
)
