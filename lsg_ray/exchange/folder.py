"""A folder of state dicts, a file for each configuration, in natural order of their names."""

from __future__ import annotations

import os
from pathlib import Path

from lsg_ray.errors import InputError
from lsg_ray.exchange import safetensors_file, torch_state
from lsg_ray.exchange.format import Request, suffix_of
from lsg_ray.exchange.layers import natural
from lsg_ray.exchange.source import Source
from lsg_ray.exchange.state_dicts import StateDicts

#: Function that loads a file, by its suffix.
_LOADERS = {
    "pt": torch_state.load_file,
    "pth": torch_state.load_file,
    "safetensors": safetensors_file.load_file,
}


def read_folder(path: Path, request: Request) -> Source:
    """Open a folder of state dicts.

    Raises
    ------
    InputError
        There are no state dicts, they are of two formats, or one is a link.
    """
    names, others = [], 0
    for entry in os.scandir(path):
        if suffix_of(entry.name) not in _LOADERS:
            others += not entry.name.startswith(".")
            continue
        if entry.is_symlink() or not entry.is_file():
            raise InputError(f"{path}: {entry.name} is a link or no file; put the file there")
        names.append(entry.name)
    suffixes = sorted({suffix_of(name) for name in names})
    if not names:
        raise InputError(f"{path}: no state dicts in it; files end in .{', .'.join(_LOADERS)}")
    if len(suffixes) > 1:
        raise InputError(f"{path}: files of .{' and .'.join(suffixes)}; put them in two folders")
    names.sort(key=natural)
    load, notes = _LOADERS[suffixes[0]], list[str]()
    source = StateDicts(
        str(path),
        [str(path / name) for name in names],
        lambda i: load(path / names[i], notes),
        request,
        notes,
    )
    order = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    notes.append(f"{len(names):,} files in natural order of their names, {order}")
    if others:
        notes.append(f"{others} other files are left out")
    return source
