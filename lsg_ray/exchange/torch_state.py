"""``.pt``, ``.pth``: a state dict of PyTorch, or a list of them.  No pickled code is run."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.exchange.format import Format, Request
from lsg_ray.exchange.source import Source
from lsg_ray.exchange.state_dicts import in_memory, plain_tensors
from lsg_ray.exchange.table import Table
from lsg_ray.exchange.tensors import named_tensors, only_weights
from lsg_ray.results.foreign import reading
from lsg_ray.results.opening import require_file
from lsg_ray.typing import Array

if TYPE_CHECKING:
    from torch import Tensor

#: Largest size in bytes of a list of state dicts, which torch writes from memory.
MAX_BYTES_IN_MEMORY = 4 * 2**30


def load_state(path: Path) -> object:
    """Return the contents of a torch file, tensors and plain values, without running code.

    Raises
    ------
    InputError
        It cannot be read without running code, its members are larger than the file, or it is older
        than torch 1.6.
    """
    import torch

    size = require_file(path)
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"{path}: not a file of torch.save, or of a version before 1.6; load it where you "
            "trust it, and save it again"
        )
    failed = "no state dict that can be read without running code in it"
    with reading(str(path), failed, "save model.state_dict() alone"):
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > size:
                raise InputError(f"{path}: unpacks to more than it holds; it is not read")
        try:
            state: object = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            code = re.search(r"GLOBAL ([\w.]{1,200})", str(error))
            raise ValueError(f"it holds {code[1]}") if code else error from None
    return state


def read_torch(path: Path, request: Request) -> Source:
    """Open one state dict, or a list of them."""
    contents = load_state(path)
    states = contents if isinstance(contents, (list, tuple)) else [contents]
    if not states:
        raise InputError(f"{path}: an empty list; state dicts are needed")
    return in_memory(states, request, str(path), f"{path}: entry")


def load_file(path: Path, notes: list[str]) -> dict[str, Array]:
    """Return the tensors of a file with one state dict."""
    return plain_tensors(load_state(path), str(path), notes)


def write_torch(table: Table, path: Path) -> None:
    """Write the state dict of one configuration, or a list of those of several."""
    import torch

    only_weights(table)
    size = 4 * table.n_rows * table.ensemble.n_weights
    if size > MAX_BYTES_IN_MEMORY:
        raise InputError(
            f"{table.n_rows:,} state dicts take {size / 2**30:.1f} GiB, and torch.save holds "
            "all in memory; choose fewer (--limit, --where), or write .safetensors, which streams"
        )
    states: list[dict[str, Tensor]] = []
    for rows in table.blocks(["weights"]):
        layers = named_tensors(table.ensemble, rows["weights"])
        for number in range(len(rows["weights"])):
            states.append(
                {key: torch.tensor(np.array(stack[number])) for key, stack in layers.items()}
            )
    torch.save(states[0] if table.n_rows == 1 else states, path)


FORMAT = Format("pt", "state dicts of PyTorch", read=read_torch, write=write_torch)
