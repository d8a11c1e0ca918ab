"""Data for the networks: published, generated or one's own; verified, transformed, projected.

From bottom to top: `source` declares what a data set is, and a module for each (`mnist`, `teacher`,
...) lists its files and their hashes, or its options; `formats` parses published files and `files`
locates, downloads and verifies them; `tables`, `arrays` and `text_tables` read those of a user
(`file`), and `locating` records their paths; `transforms` and `projection` act on examples, and
`scenario` turns a `lsg_ray.spec.DatasetSpec` into the examples that networks learn.

Files come from the folder ``$LSG_DATA_DIR/<name>/`` if there is one, or from where torchvision
stores them (``$LSG_DATA_DIR/MNIST/raw/``), packed or not, else from the cache
(``$LSG_CACHE_DIR``, or the user's own), which is filled by download.  `digits` needs neither.
"""

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
from lsg_ray.datasets.summary import FileSummary as FileSummary
from lsg_ray.datasets.summary import record_file as record_file
