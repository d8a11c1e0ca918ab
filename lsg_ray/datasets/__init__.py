"""Data for the networks: published, generated or one's own; verified, transformed, projected.

From bottom to top: `source` says what a data set is, and a file for each (`mnist`, `teacher`, ...)
which files it is made of and their hashes, or its options; `formats` parses published files and
`files` finds, downloads and verifies them; `tables`, `arrays` and `text_tables` read those of
one's own (`file`), `locating` knows where they are; `transforms` and `projection` are what may be
done with examples, and `scenario` turns a `lsg_ray.spec.DatasetSpec` into what networks learn.

Files come from the folder ``$LSG_DATA_DIR/<name>/`` if there is one, or from where torchvision
keeps them (``$LSG_DATA_DIR/MNIST/raw/``), packed or not, else from the cache
(``$LSG_CACHE_DIR``, or the user's own), which is filled by download.  `digits` needs neither.
"""

from __future__ import annotations

from lsg_ray.datasets.files import DatasetStatus as DatasetStatus
from lsg_ray.datasets.files import dataset_status as dataset_status
from lsg_ray.datasets.files import fetch as fetch
from lsg_ray.datasets.scenario import Dataset as Dataset
from lsg_ray.datasets.scenario import Examples as Examples
from lsg_ray.datasets.scenario import RawData as RawData
from lsg_ray.datasets.scenario import is_image as is_image
from lsg_ray.datasets.scenario import load_dataset as load_dataset
from lsg_ray.datasets.scenario import load_images as load_images
from lsg_ray.datasets.scenario import reconstruct as reconstruct
