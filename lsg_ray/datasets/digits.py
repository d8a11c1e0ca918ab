"""8 × 8 images of digits, of scikit-learn; within each class every fifth is for testing."""

from lsg_ray.datasets.formats import read_digits
from lsg_ray.datasets.source import Source

SOURCE = Source(
    name="digits",
    parse=read_digits,
    n_train=1437,
    n_test=360,
    n_classes=10,
    image_shape=(8, 8),
    counts=(142, 146, 141, 147, 144, 146, 145, 143, 139, 144),
    licence="CC BY 4.0 (UCI repository); ships with scikit-learn",
    white=16,
    package="sklearn/datasets/data/digits.csv.gz",
)
