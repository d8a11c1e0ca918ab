"""Minimizers of the cross entropy of the binary perceptron: how flat they are against γ.

Mathematics and sources are in `lsg_ray.minima.theory.cross_entropy` and
`lsg_ray.minima.theory.franz_parisi`.
"""

from __future__ import annotations

import itertools

import numpy as np
import xarray

from lsg_ray.arrays import in_range, public
from lsg_ray.errors import InputError
from lsg_ray.minima.theory.cross_entropy import minimizers, solutions
from lsg_ray.minima.theory.densest import densest
from lsg_ray.minima.theory.franz_parisi import around
from lsg_ray.minima.theory.gaussian import binary_entropy
from lsg_ray.minima.theory.replica_symmetric import zero_entropy
from lsg_ray.results.graph import counted
from lsg_ray.stage import Figure, Stage
from lsg_ray.typing import Numbers, Positive, Progress, Steps


@public
def cross_entropy_landscape(
    alpha: Positive = 0.4,
    *,
    gammas: Numbers = (0.25, 0.5, 1, 2, 4),
    distances: Steps = (0.02, 0.05, 0.1, 0.15, 0.2),
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Compute how many solutions surround minimizers of the cross entropy with parameter γ.

    Parameters
    ----------
    alpha
        Number of patterns per weight P/N, below the capacity 0.833.
    gammas
        Parameters γ of the loss f(x) = ln(1 + exp(−2γx))/(2γ).
    distances
        Hamming distances D per weight from the minimizer, between 0 and 0.5.
    progress
        Called with (done, total).

    Returns
    -------
    xarray.Dataset
        Over ``gamma``: ``inverse_temperature`` b at which the entropy vanishes, ``error_rate`` of
        the minimizers there, ``loss`` per weight, ``overlap`` q̃ of two of them.  Over (gamma,
        distance): ``entropy`` of solutions per weight in nats, ``converged``.  Over ``distance``:
        ``typical``, the same around a typical solution; ``best``, around the best centre; and
        ``bound``, of all configurations.

    Raises
    ------
    InputError
        Numbers out of range.

    Notes
    -----
    Cost: some seconds for each γ and each distance.
    """
    g, d = in_range(gammas, "gammas"), in_range(distances, "distances", high=0.5)
    if not 0 < alpha < (capacity := zero_entropy()):
        raise InputError(f"alpha {alpha:g} given; there are solutions up to {capacity:.4f}")
    references = [minimizers(alpha, gamma) for gamma in g.tolist()]
    points = list(itertools.product((*references, solutions(alpha)), d.tolist()))
    near = [around(*point) for point in counted(points, progress)]
    entropy = np.array([point.entropy for point in near]).reshape(-1, len(d))
    converged = np.array([point.converged for point in near]).reshape(-1, len(d))
    best = [densest(alpha, (1 - 2 * x) ** 2).entropy for x in d.tolist()]
    of_minimizers = {
        "inverse_temperature": [r.kernel.b for r in references],
        "error_rate": [r.error_rate for r in references],
        "loss": [r.loss for r in references],
        "overlap": [r.overlap for r in references],
    }
    return xarray.Dataset(
        {
            **{name: ("gamma", np.array(values)) for name, values in of_minimizers.items()},
            "entropy": (("gamma", "distance"), entropy[:-1]),
            "converged": (("gamma", "distance"), converged[:-1]),
            "typical": ("distance", entropy[-1]),
            "best": ("distance", np.array(best)),
            "bound": ("distance", binary_entropy(d)),
        },
        coords={"gamma": g, "distance": d},
        attrs={
            "statistic": "cross-entropy landscape",
            "alpha": alpha,
            "converged": bool(converged.all()),
        },
    )


STAGE = Stage(
    "cross-entropy-landscape",
    cross_entropy_landscape,
    reads={},
    summary=("alpha", "converged"),
    figures=[
        Figure(
            "lsg_ray.report.figures.minima_theory:cross_entropy_figure",
            "Solutions around minimizers of the cross entropy",
            "cross_entropy_caption",
        )
    ],
    unit="points",
)
