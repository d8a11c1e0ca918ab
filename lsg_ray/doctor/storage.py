"""Folders: compiled kernels, data sets, room on disks, and credentials of object stores."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lsg_ray.doctor.check import Check, size
from lsg_ray.errors import DataError

#: Room below which a disk is too full, in bytes.
LEAST_ROOM = 2**30
#: Variables with which object stores are opened; which are set is told, never their values.
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "GOOGLE_APPLICATION_CREDENTIALS",
)


def compiled_kernels() -> Sequence[Check]:
    """Return where compiled kernels are cached, and whether they can be."""
    from lsg_ray.kernels.compile import CACHE_FOLDER

    name, folder = "compiled kernels", Path(CACHE_FOLDER)
    if not _is_writable(folder):
        remedy = "NUMBA_CACHE_DIR=FOLDER, one that may be written"
        seen = f"{folder} may not be written: every process compiles anew, for a minute"
        return [Check(name, "warning", seen, remedy)]
    count, n_bytes = _contents(folder)
    seen = f"{count} files, {size(n_bytes)} in {folder}"
    if not count:
        seen = f"none yet, the first run compiles for a minute, in {folder}"
    kept = [other for other in folder.parent.glob("numba-*") if other != folder]
    if "NUMBA_CACHE_DIR" not in os.environ and kept:
        old = sum(_contents(other)[1] for other in kept)
        seen += f"; {len(kept)} folders beside it of other versions, {size(old)}, may be removed"
    return [Check(name, "ok", seen)]


def data_sets() -> Sequence[Check]:
    """Return which data sets are here; their files are hashed, and nothing is downloaded."""
    from lsg_ray.datasets.files import DATA_DIR, cache_root, dataset_status, read_files
    from lsg_ray.registry import DATA_SETS

    try:
        known = [status for status in dataset_status() if status.place != "options"]
    except DataError as error:
        return [Check("data sets", "problem", str(error), f"correct or unset {DATA_DIR}")]
    given = os.environ.get(DATA_DIR)
    where = f"{DATA_DIR}={given}" if given else f"{DATA_DIR} is not set"
    checks = [Check("data sets", "ok", f"{where}; downloads go to {cache_root()}")]
    for status in known:
        name = f"data set {status.name}"
        if status.place == "absent":
            remedy = f"lsg data fetch {status.name}"
            checks.append(Check(name, "absent", "not on this machine", remedy))
            continue
        try:
            read_files(DATA_SETS[status.name], download=False)
        except DataError as error:
            remedy = "" if status.place == "data-dir" else f"lsg data fetch {status.name}"
            checks.append(Check(name, "warning", str(error), remedy))
            continue
        seen = f"whole (SHA-256), {size(status.n_bytes)} in {status.folder}"
        if status.place == "package":
            seen = "of scikit-learn"
        checks.append(Check(name, "ok", seen))
    return checks


def disks() -> Sequence[Check]:
    """Return how much room there is where stores, temporary files and caches go."""
    from lsg_ray.datasets.files import CACHE_DIR, cache_root

    places = {
        "disk here": (Path.cwd(), "work in another folder, or remove files"),
        "disk of temporary files": (Path(tempfile.gettempdir()), "TMPDIR=FOLDER"),
        "disk of downloads": (_existing(cache_root()), f"{CACHE_DIR}=FOLDER"),
    }
    checks = []
    for name, (folder, remedy) in places.items():
        room = shutil.disk_usage(folder).free
        seen = f"{size(room)} free in {folder}"
        if not _is_writable(folder):
            checks.append(Check(name, "warning", f"{seen}, which may not be written", remedy))
        elif room < LEAST_ROOM:
            checks.append(Check(name, "warning", seen, remedy))
        else:
            checks.append(Check(name, "ok", seen))
    return checks


def credentials() -> Sequence[Check]:
    """Return which variables of object stores are set, without their values."""
    there = [name for name in CREDENTIALS if os.environ.get(name)]
    if there:
        return [Check("object stores", "ok", f"set: {', '.join(there)}")]
    seen = "no credentials in the environment; s3:// and gs:// take those of the machine's role"
    return [Check("object stores", "absent", seen)]


def _is_writable(folder: Path) -> bool:
    """Return whether a file can be made in a folder: by making one, as a disk may be read-only."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that is there."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), Path.cwd())


def _contents(folder: Path) -> tuple[int, int]:
    """Return the number of files below a folder, and their bytes."""
    sizes = []
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                sizes.append(path.stat().st_size)
        except OSError:  # another process has just removed it
            continue
    return len(sizes), sum(sizes)
