"""``.safetensors``: one state dict, or several in tensors whose first axis runs over them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.exchange.format import Format, Request, library
from lsg_ray.exchange.layers import natural
from lsg_ray.exchange.source import Source
from lsg_ray.exchange.state_dicts import Stacked, StateDicts, plain_tensors
from lsg_ray.exchange.table import Table
from lsg_ray.exchange.tensors import named_tensors, only_weights
from lsg_ray.results.foreign import reading
from lsg_ray.results.opening import require_file
from lsg_ray.typing import Array

#: Key in the metadata of a file whose tensors have an axis of configurations.
STACKED = "lsg_ray_configurations"


def _read(path: Path, notes: list[str]) -> tuple[dict[str, Array], bool]:
    """Return the tensors of a file, and whether they are of several configurations."""
    module = library("safetensors", f"{path}: reading .safetensors")
    require_file(path)
    with (
        reading(str(path), "no file of safetensors", "write it again"),
        module.safe_open(str(path), framework="pt") as file,
    ):
        metadata = file.metadata() or {}
        names = sorted(file.keys(), key=natural)
        tensors = {name: file.get_tensor(name) for name in names}
    if STACKED in metadata:
        return {name: np.asarray(tensor.numpy()) for name, tensor in tensors.items()}, True
    return plain_tensors(tensors, str(path), notes), False


def read_safetensors(path: Path, request: Request) -> Source:
    """Open the state dicts of a file, one or several."""
    notes: list[str] = []
    tensors, stacked = _read(path, notes)
    if stacked:
        return Stacked(str(path), tensors, request, notes)
    return StateDicts(str(path), [str(path)], lambda _: tensors, request, notes)


def load_file(path: Path, notes: list[str]) -> dict[str, Array]:
    """Return the tensors of a file with one state dict."""
    tensors, stacked = _read(path, notes)
    if stacked:
        raise InputError(f"{path}: holds several configurations; import it by itself")
    return tensors


def write_safetensors(table: Table, path: Path) -> None:
    """Write tensors by name, block by block, each at its offset in the file.

    The format is a length of 8 bytes, a JSON document, and raw numbers.
    """
    only_weights(table)
    first = named_tensors(table.ensemble, table.ensemble.no_rows("weights"))
    single = table.n_rows == 1
    header: dict[str, object] = {"__metadata__": {} if single else {STACKED: str(table.n_rows)}}
    starts, end = {}, 0
    for name, tensor in first.items():
        shape = tensor.shape[1:] if single else (table.n_rows, *tensor.shape[1:])
        starts[name], end = end, end + 4 * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [starts[name], end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
        done = 0
        for rows in table.blocks(["weights"]):
            for name, tensor in named_tensors(table.ensemble, rows["weights"]).items():
                row = tensor[0].nbytes
                file.seek(8 + len(text) + starts[name] + done * row)
                file.write(np.ascontiguousarray(tensor, "<f4").data)
            done += len(rows["weights"])


FORMAT = Format(
    "safetensors",
    "tensors by name",
    read=read_safetensors,
    write=write_safetensors,
    library="safetensors",
)
