"""``.parquet``: a column for each number, and the weights as one column of lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray

from lsg_ray.exchange.format import Format, library
from lsg_ray.exchange.table import ColumnLayout, Table, as_frame

_PURPOSE = "writing .parquet"


def _kind(arrow: Any, layout: ColumnLayout) -> Any:
    kind = arrow.from_numpy_dtype(layout.dtype)
    return arrow.list_(kind, layout.shape[0]) if layout.shape else kind


def write_parquet(table: Table, path: Path) -> None:
    """Write configurations, a group of rows for each block."""
    arrow = library("pyarrow", _PURPOSE)
    parquet = library("pyarrow.parquet", _PURPOSE)
    names = table.flat_names("parquet")
    kinds = {name: _kind(arrow, table.layout(name)) for name in names}
    schema = arrow.schema(list(kinds.items()))
    with parquet.ParquetWriter(str(path), schema) as writer:
        for rows in table.blocks(names):
            arrays = []
            for name in names:
                values = np.ascontiguousarray(rows[name])
                if values.ndim == 1:
                    arrays.append(arrow.array(values))
                else:
                    flat = arrow.array(values.reshape(-1))
                    arrays.append(arrow.FixedSizeListArray.from_arrays(flat, values.shape[1]))
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def write_result_parquet(result: xarray.Dataset, path: Path) -> None:
    """Write variables along the same dimensions, a column each, with their coordinates."""
    library("pyarrow", _PURPOSE)
    as_frame(result).to_parquet(str(path), index=False, engine="pyarrow")


FORMAT = Format(
    "parquet", "a table by columns", write=write_parquet, write_result=write_result_parquet,
    library="pyarrow",
)  # fmt: skip
