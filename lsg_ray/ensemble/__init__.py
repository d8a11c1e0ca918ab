"""The ensemble: a Zarr v3 store of sampled weight configurations, written and read by blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["synthetic"]

if TYPE_CHECKING:
    from lsg_ray.ensemble.mixture import synthetic


def __getattr__(name: str) -> object:
    if name != "synthetic":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lsg_ray.ensemble.mixture import synthetic

    return synthetic
