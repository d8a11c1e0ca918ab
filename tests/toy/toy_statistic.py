"""How many weights are +1, by configuration."""

import xarray

from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.typing import Count, EnsembleLike


def plus(ensemble: EnsembleLike, *, power: Count = 1) -> xarray.Dataset:
    """Count weights that are +1.

    Parameters
    ----------
    power
        Power that the count is taken to.
    """
    counts = (ensemble.numpy() > 0).sum(axis=1).astype(float) ** power
    attributes = {"statistic": "plus", "mean": float(counts.mean())}
    return xarray.Dataset({"plus": ("configuration", counts)}, attrs=attributes)


def figure(found):
    from lsg_ray.report.style import new_figure

    drawn = new_figure(2.0)
    drawn.subplots().hist(found["plus"].values)
    return drawn


def caption(found):
    return f"On average {found.attrs['mean']:.2f} weights are +1.", "A histogram."


STAGE = Stage(
    "toy-plus",
    plus,
    reads={"ensemble": ENSEMBLE},
    summary=("mean",),
    figures=[Figure("toy_statistic:figure", "Weights that are +1", "caption")],
)
