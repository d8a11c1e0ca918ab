"""Small ensembles of biased random signs, maps and images."""

import numpy as np
import xarray

from lsg_ray.datasets import Dataset, Examples, RawData
from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.ledger import rejection_histogram
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.spec import parse_spec

N_TEST = 360  # images of digits for testing
PNG = b"\x89PNG\r\n\x1a\n"


def make_spec(widths, count, **ensemble):
    dataset = {"name": "digits", "components": widths[0]}
    if widths[0] == 64:
        dataset["components"] = None
    if widths[-1] == 1:
        dataset["labels"] = "parity"
    settings_ = {"count": count, "block_size": 40, **ensemble}
    if settings_.get("selection") == "validation":
        dataset["validation_examples"] = 200
    return parse_spec(
        {
            "name": "tiny",
            "dataset": dataset,
            "network": {"widths": list(widths)},
            "ensemble": settings_,
        }
    )


def make_ensemble(url, spec, *, blocks=None, constant=False, dataset_hash="d" * 64):
    rng = np.random.default_rng(5)
    plan = create_ensemble(url, spec, dataset_hash=dataset_hash)
    bias = rng.normal(0, 0.2, spec.network.n_weights)
    for index in plan.missing[:blocks].tolist():
        start = index * plan.block_size
        rows = min(plan.block_size, plan.count - start)
        noise = rng.random((rows, spec.network.n_weights))
        weights = np.where(noise < 0.5 + bias / 2, 1, -1).astype(np.int8)
        accuracy = rng.integers(288, 340, rows) / N_TEST
        missed = rng.integers(200, 288, 9) / N_TEST
        block = Block(
            start=start,
            weights=np.ones_like(weights) if constant else weights,
            columns={
                "accuracy": accuracy,
                "loss": np.ones(rows),
                "test_accuracy": np.maximum(accuracy - 7 / N_TEST, 0),
                "trial": np.zeros(rows, int),
                "epochs": np.full(rows, 50),
                "polarization": np.full(rows, 0.9),
            },
            trials=rows + len(missed),
            rejected=rejection_histogram(missed),
            seconds=1.5,
        )
        write_block(plan.url, index, block)
    return open_ensemble(plan.url)


def make_map(ensemble, points=12):
    rng = np.random.default_rng(1)
    learned = np.arange(2 * points) >= points
    accuracy = np.where(learned, rng.uniform(0.8, 0.9, 2 * points), np.nan)
    columns = {"x": rng.normal(size=2 * points), "y": rng.normal(size=2 * points)}
    columns |= {"learned": learned, "accuracy": accuracy}
    about = {"perplexity": 7.7, "kl_divergence": 0.5, "seed": 0}
    return xarray.Dataset(
        {name: ("point", values) for name, values in columns.items()}, attrs=about
    )


def make_images(n_classes, shape, components):
    """Two images of each class, the first of them brighter by class."""
    labels = np.repeat(np.arange(n_classes, dtype=np.uint8), 2)
    n_pixels = int(np.prod(shape))
    pixels = np.linspace(0, 255, 2 * n_classes * n_pixels).astype(np.uint8).reshape(-1, n_pixels)
    raw = RawData("made", pixels, labels, pixels, labels, shape, n_classes, 255, "x")
    x, mean, axes, ratio = pixels.astype(np.float32) / 255, None, None, None
    if components:
        mean, axes = x.mean(axis=0), np.eye(components, n_pixels, dtype=np.float32)
        x, ratio = (x - mean) @ axes.T, np.full(components, 0.5 / components)
    examples = Examples(x, labels.astype(np.int64))
    return Dataset(
        examples, examples, examples, n_classes, axes, mean, ratio, tuple(shape), "x"
    ), raw
