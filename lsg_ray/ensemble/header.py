"""The header of a store: the group's attributes, read as untrusted data and checked.

The root ``zarr.json`` is the one authority: it is written first, create-if-absent, so that one of
two drivers wins; everything else in the store's metadata follows from it and can be written again.
Readers need the header and the ledger only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from lsg_ray import __version__
from lsg_ray.ensemble.declared import as_column, parse_columns
from lsg_ray.ensemble.location import Location
from lsg_ray.ensemble.parsing import parse_json
from lsg_ray.ensemble.schema import (
    FORMAT,
    FORMAT_VERSIONS,
    LEDGER,
    MAX_BLOCKS,
    MAX_CHUNK_BYTES,
    MAX_LAYERS,
    ROOT,
    ArrayLayout,
    arrays_of,
)
from lsg_ray.errors import SpecError, StoreError, StoreInputError, shown
from lsg_ray.paths import ending
from lsg_ray.registry import FAMILIES
from lsg_ray.spec import Spec, parse_spec
from lsg_ray.typing import JsonObject

if TYPE_CHECKING:
    from lsg_ray.networks.family import Family

#: Endings of files that lsg import makes stores of.
_IMPORTED = (".npy", ".npz", ".csv", ".parquet", ".pt", ".pth", ".safetensors")

ZARR_FORMAT: Final = 3
#: Attributes that the digest of a header covers.
DIGEST_ATTRIBUTES = (
    "columns",
    "derivation",
    "format",
    "format_version",
    "package_version",
    "spec",
    "spec_hash",
    "dataset_hash",
    "count",
    "block_size",
    "n_weights",
)
#: What of an array's metadata must hold; other keys are other tools' business.
BINDING_KEYS = (
    "node_type",
    "zarr_format",
    "shape",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "codecs",
    "fill_value",
    "dimension_names",
)


@dataclass(frozen=True)
class Header:
    """What a store is: the specification, what it was trained on, and how it is cut into blocks.

    `derivation` tells how its configurations were made of those of another store, or where they
    were imported from; None if sampled.  `columns` are those of a store that lists its own, as an
    imported one does; None where they follow from the specification.
    """

    spec: Spec
    spec_hash: str
    dataset_hash: str
    block_size: int
    package_version: str
    derivation: JsonObject | None = None
    columns: tuple[ArrayLayout, ...] | None = None
    #: Whether a digest of its attributes was there, and right; no part of a store's identity.
    verified: bool = field(default=True, compare=False)

    @property
    def count(self) -> int:
        """Configurations planned."""
        return self.spec.ensemble.count

    @property
    def n_blocks(self) -> int:
        """Blocks planned; the last may be short."""
        return -(-self.count // self.block_size)

    @property
    def format_version(self) -> int:
        """The version that reads it: earlier ones do not know later fields of a specification."""
        spec = self.spec
        if self.columns is not None or spec.dataset.later:
            return 3
        later = spec.ensemble.snapshots or spec.training.algorithm
        return 2 if later or spec.training.options or spec.network.options else 1

    @property
    def refill(self) -> str:
        """What to do so that missing blocks are filled: only what was sampled can be sampled."""
        if self.derivation is None:
            return "sample again"
        if self.derivation.get("kind") == "import":
            return "import the same weights again (lsg import)"
        return "derive it again from the same store"

    @property
    def family(self) -> Family:
        """The family of its networks."""
        return FAMILIES[self.spec.network.family]

    @cached_property
    def n_weights(self) -> int:
        """Weights N of a configuration."""
        return self.spec.network.n_weights

    @cached_property
    def arrays(self) -> tuple[ArrayLayout, ...]:
        """Layouts of the arrays, in the order that they are hashed."""
        return arrays_of(self.spec, self.columns)

    def start(self, block: int) -> int:
        """Return the first configuration of a block."""
        return block * self.block_size

    def rows(self, block: int) -> int:
        """Return the number of configurations of a block."""
        return min(self.block_size, self.count - self.start(block))

    def grown(self, count: int) -> Header:
        """Return the header of the same ensemble with more configurations."""
        spec = self.spec.replace(ensemble={"count": count})
        return replace(self, spec=spec, spec_hash=spec.hash)

    def attributes(self) -> JsonObject:
        """Return the attributes of the group, plain JSON."""
        derived: JsonObject = {}
        if self.columns is not None:
            derived["columns"] = [as_column(layout) for layout in self.columns]
        if self.derivation is not None:
            derived["derivation"] = dict(self.derivation)
        return {
            **derived,
            "format": FORMAT,
            "format_version": self.format_version,
            "package_version": self.package_version,
            "spec": self.spec.model_dump(mode="json"),
            "spec_hash": self.spec_hash,
            "dataset_hash": self.dataset_hash,
            "count": self.count,
            "block_size": self.block_size,
            "n_weights": self.n_weights,
        }


def new_header(
    spec: Spec,
    dataset_hash: str,
    derivation: JsonObject | None = None,
    columns: tuple[ArrayLayout, ...] | None = None,
) -> Header:
    """Return the header of a store to be created.

    Raises
    ------
    StoreInputError
        The specification cannot be stored: far too many blocks, or far too large ones.
    """
    header = Header(
        spec, spec.hash, dataset_hash, spec.block_size, __version__, derivation, columns
    )
    if fault := _beyond_limits(header):
        raise StoreInputError("; ".join(fault))
    return header


def _beyond_limits(header: Header) -> tuple[str, str] | None:
    """Return what of a store is too large, and what to do about it; None if nothing is."""
    layers, size = len(header.spec.network.shapes), header.block_size
    if header.n_blocks > MAX_BLOCKS:
        fault = f"{size} given, which makes {header.n_blocks:,} blocks of {header.count:,} "
        fault = f"ensemble.block_size: {fault}configurations; at most {MAX_BLOCKS:,}"
        return fault, "use larger blocks"
    if layers > MAX_LAYERS:
        return f"network.widths: {layers:,} layers given; at most {MAX_LAYERS:,}", "use fewer"
    for array in header.arrays:
        if array.row_bytes * size > MAX_CHUNK_BYTES:
            setting = "training.epochs" if array.is_curve else "network.widths"
            fault = f"{array.row_bytes * size / 2**30:,.1f} GiB of {array.name!r} at once; at most "
            return (
                f"ensemble.block_size: {size:,} configurations a block, which take {fault}"
                f"{MAX_CHUNK_BYTES / 2**30:.0f}",
                f"use smaller blocks, or lower {setting}",
            )
    return None


def read_header(location: Location) -> Header:
    """Read and check the header of a store.

    Raises
    ------
    StoreInputError
        Nothing is there, it is not one of our stores, or it is of another format version.
    StoreError
        It is ours, and damaged: the header contradicts itself.
    """
    try:
        data = bytes(location.read(ROOT))
    except FileNotFoundError:
        raise StoreInputError(_nothing_there(location)) from None
    header = parse_header(data, location.url)
    if location.path is not None:
        for name in (LEDGER, *(array.name for array in header.arrays)):
            if (location.path / name).is_symlink():
                raise StoreError(
                    f"{location.url}: {name} is a symbolic link, which could lead anywhere; "
                    "put the folder itself in its place"
                )
    return header


def parse_header(data: bytes, url: str) -> Header:
    """Check the root document of a store; see `read_header`."""
    statistic = None
    try:
        document = parse_json(data)
        attributes = document["attributes"]
        statistic = attributes.get("statistic")
        is_ours = (
            document["node_type"] == "group"
            and document["zarr_format"] == ZARR_FORMAT
            and attributes["format"] == FORMAT
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_ours = False
    if not is_ours and isinstance(statistic, str):
        raise StoreInputError(
            f"{url}: a result ({shown(statistic)}), and no ensemble; name a store that `lsg "
            "sample` made; xarray.open_zarr and lsg explore open results"
        )
    if not is_ours:
        raise StoreInputError(
            f"{url}: not an lsg-ray ensemble ({ROOT} is foreign or damaged); "
            "name a store that `lsg sample` made"
        )
    version, writer = attributes.get("format_version"), attributes.get("package_version")
    if version not in FORMAT_VERSIONS:
        raise StoreInputError(
            f"{url}: format version {shown(version)}; this lsg-ray {__version__} reads "
            f"versions to {FORMAT_VERSIONS[-1]}; use the lsg-ray that wrote it ({shown(writer)})"
        )
    try:
        return _header(attributes)
    except (SpecError, StoreError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{url}: {ROOT} is damaged: {_reason(error)}; "
            "it cannot be repaired: restore it from a copy, or sample or import again elsewhere"
        ) from None


def _header(attributes: JsonObject) -> Header:
    spec = parse_spec(attributes["spec"], "attribute spec", stored=True)
    # The hash is of the text as stored: later versions may add fields with defaults to a spec.
    canonical = json.dumps(attributes["spec"], sort_keys=True, separators=(",", ":"))
    header = Header(
        spec=spec,
        spec_hash=hashlib.sha256(canonical.encode()).hexdigest(),
        dataset_hash=_text(attributes, "dataset_hash"),
        block_size=attributes["block_size"],
        package_version=_text(attributes, "package_version"),
        derivation=attributes.get("derivation"),
        columns=parse_columns(attributes["columns"]) if "columns" in attributes else None,
        verified="digest" in attributes,
    )
    if header.derivation is not None and not isinstance(header.derivation, dict):
        raise ValueError(f"derivation is {shown(header.derivation)}")
    if type(header.block_size) is not int or header.block_size < 1:
        raise ValueError(f"block_size is {shown(header.block_size)}")
    if spec.ensemble.block_size not in (None, header.block_size):
        raise ValueError(
            f"block_size is {header.block_size}, the spec has {spec.ensemble.block_size}"
        )
    if fault := _beyond_limits(header):
        raise ValueError(fault[0])
    derived = header.attributes()
    for name in ("spec_hash", "count", "n_weights"):
        expected = derived[name]
        if attributes[name] != expected:
            raise ValueError(f"{name} is {shown(attributes[name])}, the spec says {expected!r}")
    if attributes.get("digest", _digest(attributes)) != _digest(attributes):
        raise ValueError("its attributes fail their checksum")
    return header


def _digest(attributes: JsonObject) -> str:
    """Return a SHA-256 of our attributes; others may be added by whom they serve."""
    covered = {name: attributes[name] for name in DIGEST_ATTRIBUTES if name in attributes}
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()


def _text(attributes: JsonObject, name: str) -> str:
    value = attributes[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is {shown(value)}, not text")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"attribute {error.args[0]!r} is missing"
    return str(error)


def _nothing_there(location: Location) -> str:
    path = location.path
    if path is not None and path.exists():
        within = path / "ensemble.zarr"
        if (within / "zarr.json").is_file():
            return f"{location.url}: the folder of a run; its store is {within}"
        kind = "a directory without a store" if path.is_dir() else "not a directory"
        if path.is_file() and ending(path) in _IMPORTED:
            return f"{location.url}: a file, and no store; lsg import FILE --out STORE makes one"
        return f"{location.url}: {kind}; name a store that `lsg sample` made"
    return f"{location.url}: nothing there; name a store, or make one with `lsg sample`"


def documents(header: Header) -> dict[str, bytes]:
    """Return every metadata document of the store by key, as zarr itself writes them.

    The ledger is an array of length 0: a leaf, so that no Zarr reader walks into its records.
    """
    import obstore
    import zarr
    from obstore.store import MemoryStore
    from zarr.codecs import Crc32cCodec
    from zarr.storage import ObjectStore

    scratch = ObjectStore(MemoryStore())
    attributes = header.attributes()
    attributes["digest"] = _digest(attributes)
    group = zarr.create_group(scratch, zarr_format=ZARR_FORMAT, attributes=attributes)
    for array in header.arrays:
        group.create_array(
            array.name,
            shape=(header.count, *array.row),
            chunks=(header.block_size, *array.row),
            dtype=np.dtype(array.dtype),
            fill_value=array.fill,
            filters=None,
            compressors=[Crc32cCodec()],
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=array.dimensions,
            attributes=array.attributes,
        )
    group.create_array(
        LEDGER,
        shape=(0,),
        chunks=(1,),
        dtype="|u1",
        compressors=None,
        dimension_names=["record"],
        attributes={
            "description": "one immutable JSON record per complete block, beside this file"
        },
    )
    keys = metadata_keys(header)
    return {key: bytes(obstore.get(scratch.store, key).bytes()) for key in keys}


def metadata_keys(header: Header) -> list[str]:
    """Return the keys of all metadata documents, the root first."""
    names = [array.name for array in header.arrays]
    return [ROOT, *(f"{name}/{ROOT}" for name in [*names, LEDGER])]


def same_metadata(stored: bytes, expected: bytes) -> str | None:
    """Compare an array's metadata; return None if it holds, else what differs."""
    try:
        document = parse_json(stored)
    except (ValueError, RecursionError):
        return "not readable JSON"
    correct = json.loads(expected)
    if not isinstance(document, dict):
        return "not a JSON object"
    for key in BINDING_KEYS:
        if document.get(key) != correct[key]:
            return f"{key} is {shown(document.get(key))}, must be {shown(correct[key])}"
    if document.get("storage_transformers"):
        return "storage_transformers are given, must be none"
    attributes = document.get("attributes")
    for key, value in correct.get("attributes", {}).items():
        if not isinstance(attributes, dict) or attributes.get(key) != value:
            return f"attribute {key!r} is not {json.dumps(value)}"
    return None
