"""``.nc``: netCDF-4, with named dimensions and attributes."""

from __future__ import annotations

from pathlib import Path

import xarray

from lsg_ray.errors import InputError
from lsg_ray.exchange.format import Format, library
from lsg_ray.exchange.table import Table, plain_dataset


def write_netcdf(table: Table, path: Path) -> None:
    """Write configurations, chunk by chunk."""
    whole = table.ensemble.to_xarray()
    names = [name for name in table.names if name != "configuration"]
    if not names:
        raise InputError("column configuration given alone; add another column")
    write_result_netcdf(whole[names].isel(configuration=slice(0, table.n_rows)), path)


def write_result_netcdf(result: xarray.Dataset, path: Path) -> None:
    """Write all variables of a result."""
    library("h5netcdf", "writing .nc")
    plain_dataset(result).to_netcdf(path, engine="h5netcdf", format="NETCDF4")


FORMAT = Format(
    "nc", "netCDF-4", write=write_netcdf, write_result=write_result_netcdf, library="h5netcdf"
)
