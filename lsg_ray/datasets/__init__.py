"""Real data for the networks: fetched once, verified, projected, cut into scenarios.

From bottom to top: `registry` says which files a data set is made of and their hashes, `files`
finds, downloads and verifies them, `formats` parses them, `scenario` turns a
`lsg_ray.spec.DatasetSpec` into the arrays that networks learn.

Files come from the folder ``$LSG_DATA_DIR/<name>/`` if there is one, or from where torchvision
keeps them (``$LSG_DATA_DIR/MNIST/raw/``), packed or not, else from the cache
(``$LSG_CACHE_DIR``, or the user's own), which is filled by download.  `digits` needs neither.
"""

from __future__ import annotations

from lsg_ray.datasets.files import DatasetStatus, dataset_status, fetch
from lsg_ray.datasets.scenario import (
    Dataset,
    Examples,
    RawData,
    load_dataset,
    load_images,
    reconstruct,
)
from lsg_ray.typing import ByteProgress

__all__ = [
    "ByteProgress",
    "Dataset",
    "DatasetStatus",
    "Examples",
    "RawData",
    "dataset_status",
    "fetch",
    "load_dataset",
    "load_images",
    "reconstruct",
]
