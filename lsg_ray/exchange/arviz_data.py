"""Markov chains of models as ArviZ ``InferenceData``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.exchange.format import library
from lsg_ray.exchange.table import plain_dataset

if TYPE_CHECKING:
    import arviz


@public
def to_arviz(result: xarray.Dataset) -> arviz.InferenceData:
    """Return the variables of a result along ``chain`` and ``draw`` as ArviZ data.

    Parameters
    ----------
    result
        Result of `lsg_ray.sample_model`.

    Returns
    -------
    arviz.InferenceData
        Group ``posterior``: the variables of chains, such as ``energy``.  (From ArviZ 1.0 on, an
        `xarray.DataTree` of the same.)

    Raises
    ------
    InputError
        The result has no chains, or ArviZ is not installed.
    """
    module = library("arviz", "InferenceData")
    names = [
        name for name, values in result.data_vars.items() if {"chain", "draw"} <= set(values.dims)
    ]
    if not names:
        available = ", ".join(map(str, result.data_vars))
        raise InputError(f"a result without chains given ({available}); pass one of sample_model")
    chains = plain_dataset(result)[names].transpose("chain", "draw", ...)
    data: arviz.InferenceData = module.convert_to_inference_data(chains)
    return data
