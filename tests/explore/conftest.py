"""What the explorer is tried on: a run folder with a hostile name, healthy and damaged results."""

import importlib.util

import numpy as np
import pytest
import xarray

LIBRARIES = ("panel", "holoviews", "bokeh", "datashader")
#: Runs if it is ever taken for markup.
HOSTILE = "<img src=x onerror=alert(1)>"

collect_ignore_glob = (
    [] if all(importlib.util.find_spec(name) for name in LIBRARIES) else ["test_*.py"]
)


@pytest.fixture(scope="session")
def run_folder(ensemble_of, tmp_path_factory):
    """A run: 60 configurations of 4-3-1 weights, moments, a model, a map, and one of a stranger."""
    import lsg_ray
    from lsg_ray.results.saving import save_result
    from lsg_ray.stages import stage_of
    from lsg_ray.study import save

    folder = tmp_path_factory.mktemp("runs") / "toy"
    folder.mkdir()
    rng = np.random.default_rng(0)
    weights = np.where(rng.random((60, 15)) < rng.random(15), 1, -1)
    ensemble = ensemble_of(
        weights, widths=(4, 3, 1), url=str(folder / "ensemble.zarr"), block_size=10
    )
    for name, made in (
        ("moments", lsg_ray.moments(ensemble)),
        ("moments-2", lsg_ray.moments(ensemble.where("accuracy < 0.5"))),
        ("moments-3", lsg_ray.moments(ensemble.where("accuracy >= 0.5"))),
        ("overlaps", lsg_ray.overlaps(ensemble)),
        ("overlaps-LB", lsg_ray.overlaps(ensemble.part("LB"))),
        ("map", lsg_ray.embed(ensemble, method="pca")),
        ("cluster", lsg_ray.clustering(ensemble, alignment="none")),
    ):
        stage = stage_of({"map": "embed"}.get(name, name.partition("-")[0]))
        save(stage, made, stage.options({}), str(folder / f"{name}.zarr"))
    J = rng.normal(0, 0.1, (15, 15))
    J = np.triu(J, 1)
    lsg_ray.IsingModel(J + J.T, rng.normal(0, 0.3, 15)).save(folder / "model.zarr")
    stranger = xarray.Dataset(
        {HOSTILE.replace("/", ""): ("x", np.arange(5.0), {"long_name": HOSTILE, "units": HOSTILE})},
        attrs={"statistic": HOSTILE, "stage": HOSTILE, HOSTILE: [HOSTILE]},
    )
    save_result(stranger, folder / "stranger.zarr")
    save_result(xarray.Dataset({"a": ("x", np.arange(3.0))}), folder / "damaged.zarr")
    chunk = next(file for file in (folder / "damaged.zarr" / "a").rglob("*") if "c" in file.name)
    if chunk.is_dir():
        chunk = next(file for file in chunk.rglob("*") if file.is_file())
    chunk.write_bytes(b"no chunk")
    return folder


@pytest.fixture(scope="session")
def relu_store(tmp_path_factory):
    """Four networks 64-12-10 with biases, trained on the digits for two epochs."""
    from lsg_ray.cluster.sample import sample
    from lsg_ray.ensemble.reader import open_ensemble
    from lsg_ray.spec import parse_spec

    tree = {
        "name": "tiny-relu",
        "dataset": {"name": "digits"},
        "network": {"family": "relu", "widths": [64, 12, 10], "biases": True},
        "training": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01},
        "ensemble": {"count": 4},
    }
    url = tmp_path_factory.mktemp("relu") / "ensemble.zarr"
    sample(parse_spec(tree), url, workers=0)
    return open_ensemble(url)
