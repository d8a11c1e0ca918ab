"""Locate, download and verify the files of a data set: own folder, cache, or mirror.

Order: ``$LSG_DATA_DIR/<name>/`` if that folder exists, or files where torchvision stores them, as
``$LSG_DATA_DIR/MNIST/raw/`` (then nothing is ever downloaded for that data set), else the cache
``$LSG_CACHE_DIR/<name>/`` (default: the user's cache), which is filled from the mirrors.  Whatever
its path, a file is used only if its SHA-256, or that of its unpacked contents, is the registered
one; it is read once, and the bytes that were hashed are those that are parsed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import uuid
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from lsg_ray.datasets.formats import GZIP_MAGIC, gunzip
from lsg_ray.datasets.source import RemoteFile, Source
from lsg_ray.errors import DataError
from lsg_ray.paths import expanded
from lsg_ray.registry import DATA_SETS
from lsg_ray.typing import ByteProgress

DATA_DIR = "LSG_DATA_DIR"
CACHE_DIR = "LSG_CACHE_DIR"
#: Seconds to wait for a mirror to connect, and for its next bytes.
TIMEOUT = (10.0, 60.0)

_CHUNK = 1 << 16


class DatasetStatus(NamedTuple):
    """Status of one data set on this machine.

    name; place: ``package`` (installed), ``data-dir``, ``cache`` or ``absent``, or ``options``
    where the data follow from options; folder, None if absent; n_bytes on disk; n_train and n_test
    images, None where they follow from options; missing files, by published name; licence; options.
    """

    name: str
    place: Literal["package", "data-dir", "cache", "absent", "options"]
    folder: Path | None
    n_bytes: int
    n_train: int | None
    n_test: int | None
    missing: tuple[str, ...]
    licence: str
    options: tuple[str, ...] = ()


def dataset_status() -> list[DatasetStatus]:
    """Return the status of each data set, without reading, hashing or downloading anything."""
    return [_status(DATA_SETS[name]) for name in DATA_SETS.names()]


def fetch(name: str, progress: ByteProgress | None = None) -> Path:
    """Make sure that a data set is on this machine and whole; return the folder that holds it.

    Parameters
    ----------
    name
        Name of the data set; or path of a file of one's own, as `lsg_ray.datasets.record_file`.
    progress
        Called while a file is downloaded, with its name, bytes done, and total bytes or None.

    Raises
    ------
    DataError
        The data set is unknown or made of options, a file of the user's own folder is missing or
        damaged, or no mirror has an intact copy.

    Notes
    -----
    Reads and hashes every file: about 0.5 s for MNIST, once it is downloaded.
    """
    if name not in DATA_SETS and os.path.exists(expanded(name)):
        from lsg_ray.datasets.summary import record_file

        return record_file(name).folder
    source = DATA_SETS[name]
    if source.config is not None:
        raise DataError(f"{name}: is made of the options of a specification; nothing to fetch")
    if not source.files:
        return _package_file(source).parent
    read_files(source, progress)
    return own_folder(source) or cache_folder(source)


def read_files(
    source: Source, progress: ByteProgress | None = None, download: bool = True
) -> dict[str, bytes]:
    """Return the verified contents of each file by published name; idx files are unpacked.

    Raises
    ------
    DataError
        See `fetch`; or it would have to be downloaded, and may not be.
    """
    if source.package:
        _, slash, _ = source.package.partition("/")
        return {source.package: _package_file(source).read_bytes()} if slash else {}
    folder = own_folder(source)
    if folder is not None:
        return _read_own(source, folder)
    return {file.name: _read_cached(source, file, progress, download) for file in source.files}


def own_folder(source: Source) -> Path | None:
    """Return the folder in ``$LSG_DATA_DIR`` with most of the files; ``<name>`` if there is none.

    None if there is no such folder either.

    Raises
    ------
    DataError
        ``LSG_DATA_DIR`` itself is no folder: more likely a typing error than a wish to download.
    """
    root = os.environ.get(DATA_DIR)
    if not root:
        return None
    if not Path(expanded(root)).is_dir():
        raise DataError(f"{DATA_DIR} is {root!r}, which is no folder; correct or unset it")
    named, *others = (Path(expanded(root), name) for name in (source.name, *source.folders))
    counts = {
        folder: sum(bool(_existing(folder, source, f)) for f in source.files)
        for folder in (named, *others)
    }
    best = max(others, key=counts.__getitem__, default=named)
    if counts[best] > counts[named]:
        return best
    return named if named.is_dir() else None


def cache_folder(source: Source) -> Path:
    """Return the folder of the cache for a data set; it need not exist."""
    return cache_root() / source.name


def cache_root() -> Path:
    """Return the folder of the cache; it need not exist."""
    if root := os.environ.get(CACHE_DIR):
        return Path(expanded(root))
    import platformdirs

    return Path(platformdirs.user_cache_dir("lsg-ray"))


def _read_any(file: RemoteFile, paths: list[Path]) -> bytes:
    """Return the verified contents of the first of some copies that is whole."""
    faults = []
    for path in paths:
        try:
            return read_verified(file, path)
        except DataError as error:
            faults.append(error)
    raise faults[0]


def read_verified(file: RemoteFile, path: Path) -> bytes:
    """Read a file, check its SHA-256, and return its contents (unpacked for idx).

    Raises
    ------
    DataError
        It cannot be read, is too large, does not unpack, or is another file.
    """
    try:
        n_bytes = path.stat().st_size
        if n_bytes > file.limit:
            raise DataError(f"{path}: {n_bytes:,} bytes seen; at most {file.limit:,} expected")
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return verified(file, raw, str(path))


def verified(file: RemoteFile, raw: bytes, origin: str) -> bytes:
    """Return the contents of a published file, once its SHA-256 or theirs is the registered one.

    Raises
    ------
    DataError
        It does not unpack, or is another file; the message quotes `origin` and both hashes.
    """
    seen = hashlib.sha256(raw).hexdigest()
    if file.content_sha256 is None:
        if seen == file.sha256:
            return raw
        raise DataError(f"{origin}: SHA-256 {seen[:12]}… seen; {file.sha256[:12]}… expected")
    contents = gunzip(raw, file.size, origin) if raw.startswith(GZIP_MAGIC) else raw
    if seen == file.sha256:
        return contents
    seen = hashlib.sha256(contents).hexdigest()
    if seen == file.content_sha256:
        return contents
    raise DataError(
        f"{origin}: contents with SHA-256 {seen[:12]}… seen; {file.content_sha256[:12]}… expected"
    )


def _read_own(source: Source, folder: Path) -> dict[str, bytes]:
    here = folder / source.files[0].name if "." in source.folders else folder
    remedy = (
        f"put the original there, or rename {here} to have {source.name} downloaded "
        f"({DATA_DIR} points there)"
    )
    paths = {file: _existing(folder, source, file) for file in source.files}
    missing = [" or ".join(file.names[:2]) for file, copies in paths.items() if not copies]
    if missing:
        raise DataError(f"{folder}: no {', no '.join(missing)}; {remedy}")
    try:
        return {file.name: _read_any(file, copies) for file, copies in paths.items()}
    except DataError as error:
        raise DataError(f"{error}; {remedy}") from None


def _read_cached(
    source: Source, file: RemoteFile, progress: ByteProgress | None, download: bool = True
) -> bytes:
    folder = cache_folder(source)
    faults: list[str] = []
    if paths := _existing(folder, source, file):
        try:
            return _read_any(file, paths)
        except DataError as error:
            faults.append(str(error))
    if not download:  # the data set is named by a store, not by the user
        why = f"is damaged ({faults[0]})" if faults else "is not on this machine"
        raise DataError(f"{source.name}: {file.name} {why}; run: lsg data fetch {source.name}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        contents = _download(source, file, folder, progress, faults)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written: {error.strerror or error}; "
            f"set {CACHE_DIR} to a folder with space for {file.limit / 1e6:.0f} MB"
        ) from None
    if contents is not None:
        return contents
    root = os.environ.get(DATA_DIR) or f"${DATA_DIR}"
    reasons = "".join(f"\n  {fault}" for fault in faults) or " it has no mirror"
    raise DataError(
        f"{source.name}: {file.name} could not be downloaded:{reasons}\n"
        f"Try again, or put the original files into {root}/{source.name}/"
    )


def _download(
    source: Source, file: RemoteFile, folder: Path, progress: ByteProgress | None, faults: list[str]
) -> bytes | None:
    """Try the mirrors in order; add a line to `faults` for each that fails.

    A file gets its name only after it was verified, in one step: no reader, and no other process
    that downloads it as well, ever sees a part of it.
    """
    import requests

    for mirror in source.mirrors:
        url = mirror + file.name
        part = folder / f".{file.name}.{uuid.uuid4().hex}.part"
        try:
            with part.open("xb") as stream:
                _stream(url, file, stream, progress)
            contents = verified(file, part.read_bytes(), url)
            part.replace(folder / file.name)
            return contents
        except DataError as error:
            faults.append(str(error))
        except (requests.RequestException, ValueError) as error:
            faults.append(f"{url}: {_reason(error)}")
        finally:
            part.unlink(missing_ok=True)
    return None


def _stream(url: str, file: RemoteFile, out: BinaryIO, progress: ByteProgress | None) -> None:
    """Write the response of a mirror chunk by chunk, up to the largest size of the file."""
    import requests

    # The file as published, not unpacked on the way.
    headers, done = {"Accept-Encoding": "identity"}, 0
    with requests.get(url, stream=True, timeout=TIMEOUT, headers=headers) as response:
        response.raise_for_status()
        total = int(response.headers.get("content-length", 0)) or None
        for chunk in response.iter_content(_CHUNK):
            done += len(chunk)
            if done > file.limit:
                raise DataError(f"{url}: sends more than the {file.limit:,} bytes expected")
            out.write(chunk)
            if progress is not None:
                progress(file.name, done, total)


def _reason(error: Exception) -> str:
    """Return one line on why a mirror failed."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "does not answer in time"
    cause = getattr(error.args[0], "reason", None) if error.args else None  # urllib3's own
    text = " ".join(str(cause or error).split())
    return f"{type(error).__name__}: {text[:160]}"


def _existing(folder: Path, source: Source, file: RemoteFile) -> list[Path]:
    """Return the paths of a file in a folder, as published, unpacked, or laid out by torchvision.

    More than one may be there: a good copy beside a damaged one.
    """
    inner = ("", "raw", *source.folders) if file.content_sha256 is not None else ("",)
    paths = [folder / within / name for within in inner for name in file.names]
    return [path for path in paths if path.is_file()]


def _status(source: Source) -> DatasetStatus:
    place: Literal["package", "data-dir", "cache", "absent"]
    folder: Path | None
    missing: tuple[str, ...] = ()
    if source.config is not None:
        return DatasetStatus(
            source.name, "options", None, 0, None, None, (), source.licence, source.option_names
        )
    if not source.files:
        paths = [_package_file(source)]
        place, folder = "package", paths[0].parent
    else:
        own = own_folder(source)
        place, folder = ("cache", cache_folder(source)) if own is None else ("data-dir", own)
        copies = {file.name: _existing(folder, source, file) for file in source.files}
        missing = tuple(name for name, existing in copies.items() if not existing)
        paths = [existing[0] for existing in copies.values() if existing]
        if own is None and not paths:
            place, folder = "absent", None
    n_bytes = sum(path.stat().st_size for path in paths if path.is_file())
    return DatasetStatus(
        source.name, place, folder, n_bytes, source.n_train, source.n_test, missing, source.licence
    )


def _package_file(source: Source) -> Path:
    """Return the file of a package that holds a data set, without importing it."""
    name, _, within = source.package.partition("/")
    package = importlib.util.find_spec(name) if name else None
    if package is None or package.origin is None:
        raise DataError(f"{source.name}: the package {name} is not installed")
    return Path(package.origin).parent / within
