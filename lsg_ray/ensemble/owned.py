"""Temporary files that name their owner, so that those of a killed process can be removed.

A name holds a hash of the machine (and of its process namespace, for containers that share a disk)
and the number of the process; what it left behind is removed by the next process that works there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

#: Beginning of the names of folders in which a target is made before it is renamed.
STAGING_PREFIX = ".lsg."


def machine_id() -> str:
    """Return four digits that distinguish machines and containers that share a disk."""
    with contextlib.suppress(OSError):
        name = f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
        return hashlib.sha256(name.encode()).hexdigest()[:4]
    return "0"


def abandoned(folder: Path, prefix: str) -> Iterator[Path]:
    """Yield what processes of this machine and user that have ended left in a folder.

    Their names are ``prefix``, the number of the process, ``-`` and anything.
    """
    with contextlib.suppress(OSError):
        for left in list(folder.glob(f"{prefix}*")):
            number = left.name.removeprefix(prefix).partition("-")[0]
            with contextlib.suppress(OSError):
                ours = not left.is_symlink() and left.stat().st_uid == os.getuid()
                if number.isdigit() and ours and not is_alive(int(number)):
                    yield left


def is_alive(pid: int) -> bool:
    """Return whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def scratch(kind: str = "", base: str | None = None) -> Iterator[Path]:
    """Make a folder for temporary files, by default in the system's; it is removed at the end."""
    base = base or tempfile.gettempdir()
    prefix = f"lsg-{kind and kind + '-'}{machine_id()}-"
    for left in abandoned(Path(base), prefix):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=f"{prefix}{os.getpid()}-", dir=base, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@contextlib.contextmanager
def staging(target: Path) -> Iterator[tuple[Path, Path]]:
    """Make a folder beside a target: yield the paths of the new target and of the one replaced.

    What a killed process left is swept first; where it was killed between taking the old away and
    putting the new in its place, the new one, which was whole then, is put there.
    """
    prefix = f"{STAGING_PREFIX}{machine_id()}-"
    for left in abandoned(target.parent, prefix):
        _finish(left)
    folder = target.with_name(f"{prefix}{os.getpid()}-{uuid.uuid4().hex[:8]}")
    (folder / "old").mkdir(parents=True)
    (folder / "new").mkdir()
    try:
        yield folder / "new" / target.name, folder / "old" / target.name
    finally:
        old = folder / "old" / target.name
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(folder, ignore_errors=True)


def _finish(left: Path) -> None:
    with contextlib.suppress(OSError):
        for old in (left / "old").iterdir():
            target, new = left.parent / old.name, left / "new" / old.name
            if not os.path.lexists(target):
                (new if new.exists() else old).rename(target)
    shutil.rmtree(left, ignore_errors=True)
