"""Compare the magnetizations of a sampled MNIST ensemble with the published ones.

    LSG_DATA_DIR=DATA python jobs/reproduce_magnetization.py REFERENCE.npz TEST.npz [--count 500]

REFERENCE.npz holds the published magnetizations ``m`` (675,) of 20-15-15-10 networks on
MNIST-PCA20, and TEST.npz the projected test set that they belong to (``x`` (10000, 20)), which
fixes the signs of the principal components.  An ensemble is invariant under permutations of hidden
units, so m is averaged over them: 20 numbers of the first layer (one per component) and 10 of the
last (one per class).  The command samples (or resumes) the ensemble, aligns signs, and prints the
two correlations with jackknife errors over configurations; it exits with 1 if one is below 0.95.
"""

from __future__ import annotations

import sys
from pathlib import Path

# None of this folder's scripts is to be taken for a module of Python: it has statistics.py too.
sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

import json

import click
import numpy as np

import lsg_ray
from lsg_ray.typing import Array

SPEC = Path(__file__).parent / "specs" / "deep-under.yaml"
REQUIRED = 0.95


def component_signs(first: Array, second: Array) -> Array:
    """Return ±1 for each component: whether two projections of the same images agree in sign."""
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    return np.sign(np.sum(first * second, axis=0))


def average_over_units(sigma: Array, spec: lsg_ray.Spec, signs: Array) -> tuple[Array, ...]:
    """Average configurations (..., N) over hidden units: (..., inputs) and (..., classes)."""
    layers = [
        sigma[..., weights].reshape(*sigma.shape[:-1], *shape)
        for weights, shape in zip(spec.network.layer_slices, spec.network.shapes, strict=True)
    ]
    return layers[0].mean(axis=-2) * signs, layers[-1].mean(axis=-1)


def correlation_with_error(samples: Array, published: Array) -> tuple[float, float]:
    """Correlate the mean of samples (M, n) with (n,); the error by a jackknife of 20 groups."""
    groups = np.array_split(samples, 20)
    total, count = samples.sum(axis=0), len(samples)
    leave_out = [
        np.corrcoef((total - g.sum(axis=0)) / (count - len(g)), published)[0, 1] for g in groups
    ]
    value = np.corrcoef(total / count, published)[0, 1]
    return float(value), float(np.sqrt(19 / 20 * np.sum((leave_out - np.mean(leave_out)) ** 2)))


@click.command()
@click.argument("reference", type=click.Path(exists=True))
@click.argument("test", type=click.Path(exists=True))
@click.option("--count", default=500, show_default=True, help="Number of configurations.")
@click.option(
    "--out", default="reproduction.zarr", show_default=True, help="Store of the ensemble."
)
@click.option("--workers", type=int, help="Number of Ray workers; without it, one per CPU.")
def main(reference: str, test: str, count: int, out: str, workers: int | None) -> None:
    """Sample the ensemble, or resume it, and compare magnetizations with REFERENCE."""
    spec = lsg_ray.load_spec(SPEC, [f"ensemble.count={count}"])
    dataset = lsg_ray.load_dataset(spec.dataset)
    with np.load(reference, allow_pickle=False) as arrays:
        published_m = arrays["m"]
    with np.load(test, allow_pickle=False) as arrays:
        signs = component_signs(dataset.test.x, arrays["x"])
    lsg_ray.sample(spec, out, workers=workers, style="auto")
    ensemble = lsg_ray.open_ensemble(out)
    sampled = average_over_units(ensemble.numpy(), spec, signs)
    published = average_over_units(published_m, spec, np.ones(len(signs)))
    result: dict[str, object] = {"configurations": ensemble.n_rows}
    for name, sample, expected in zip(("first", "last"), sampled, published, strict=True):
        value, error = correlation_with_error(sample, expected)
        result[f"{name}_layer"] = {"correlation": round(value, 4), "error": round(error, 4)}
        result[f"{name}_layer_m"] = np.round(sample.mean(axis=0), 4).tolist()
        result[f"{name}_layer_published"] = np.round(expected, 4).tolist()
        if value < REQUIRED:
            result["failed"] = f"{name} layer: below {REQUIRED}"
    click.echo(json.dumps(result, indent=2))
    sys.exit("failed" in result)


if __name__ == "__main__":
    main()
