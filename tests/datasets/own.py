"""Files of one's own, for tests."""

import gzip
import zipfile

import numpy as np

from lsg_ray.spec import DatasetSpec
from tests.datasets.made import idx


def examples(rng, n=60, n_inputs=5, n_classes=3):
    """Return inputs (n, n_inputs) float32 and labels (n,) from 0, each class as often."""
    y = rng.permutation(np.arange(n) % n_classes)
    return (rng.normal(size=(n, n_inputs)) + y[:, None]).astype(np.float32), y


def file_spec(path, **options):
    return DatasetSpec.model_validate({"name": "file", "path": str(path), **options})


def csv_text(x, y, names=None, label="label", sep=","):
    names = names or [f"in{i}" for i in range(x.shape[1])]
    lines = [sep.join([*names, label])]
    lines += [sep.join([*map(repr, row.tolist()), str(one)]) for row, one in zip(x, y, strict=True)]
    return "\n".join(lines) + "\n"


def write_npz(path, x, y, n_test=0, **more):
    if n_test:
        parts = {"x_train": x[n_test:], "y_train": y[n_test:]}
        parts |= {"x_test": x[:n_test], "y_test": y[:n_test]}
    else:
        parts = {"x": x, "y": y}
    np.savez(path, **parts, **more)


def write_idx(folder, x, y, n_test, packed=False, names=("train-x", "train-y", "test-x", "test-y")):
    folder.mkdir()
    parts = (x[n_test:], y[n_test:], x[:n_test], y[:n_test])
    for name, array in zip(names, parts, strict=True):
        data = idx(array.astype(np.uint8))
        (folder / name).write_bytes(gzip.compress(data) if packed else data)


def bomb(path, size=2**28):
    """Write an .npz of some hundred kB whose array is 256 MB of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, shape in (("x", (size // 8 // 100, 100)), ("y", (size // 8 // 100,))):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": "<f8", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                left = 8 * int(np.prod(shape))
                while left > 0:
                    left -= file.write(bytes(min(left, 2**20)))
