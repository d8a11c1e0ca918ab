"""Descent from references to a local minimum of the energy."""

import numpy as np
import xarray

from lsg_ray.ising.model import as_model
from lsg_ray.ising.references import as_references
from lsg_ray.stage import MODEL, REFERENCES, Stage
from lsg_ray.typing import Count, ModelLike, Progress, ReferencesLike


def descend(
    model: ModelLike,
    references: ReferencesLike,
    *,
    count: Count | None = None,
    sweeps: Count = 100,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Flip spins while that lowers the energy.

    Parameters
    ----------
    count
        References of each group.
    sweeps
        At most.
    """
    ising = as_model(model)
    sigma = as_references(references, ising, count).sigma.copy()
    for _ in range(sweeps):
        for i in range(ising.n_spins):
            field = sigma @ ising.J[i] + ising.h[i]
            sigma[:, i] = np.where(field >= 0, 1, -1)
        if progress is not None:
            progress(1, sweeps)
    energy = ising.energy(sigma)
    return xarray.Dataset(
        {"energy": ("reference", energy)},
        attrs={"statistic": "descent", "lowest": float(energy.min())},
    )


STAGE = Stage(
    "toy-descent",
    descend,
    reads={"model": MODEL, "references": REFERENCES},
    summary=("lowest",),
    unit="sweeps",
)
