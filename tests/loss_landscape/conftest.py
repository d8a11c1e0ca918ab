import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.spec import parse_spec


def relu_spec(count=6, **sections):
    tree = {
        "name": "tiny-relu",
        "dataset": {"name": "digits"},
        "network": {"family": "relu", "widths": [64, 12, 10]},
        "training": {"epochs": 6, "batch_size": 64, "learning_rate": 0.01},
        "ensemble": {"count": count},
    }
    return parse_spec(
        {
            key: {**tree.get(key, {}), **sections.get(key, {})}
            if isinstance(tree.get(key, {}), dict)
            else sections.get(key, tree[key])
            for key in {**tree, **sections}
        }
    )


def _made(folder, name, spec):
    index = folder / f"{name}.zarr"
    sample(spec, index, workers=0)
    return open_ensemble(index)


@pytest.fixture(scope="session")
def relu_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("relu")


@pytest.fixture(scope="session")
def solutions(relu_folder):
    """Six networks 64-12-10."""
    return _made(relu_folder, "solutions", relu_spec())


@pytest.fixture(scope="session")
def deep(relu_folder):
    """Four networks 64-9-7-10 with biases."""
    network = {"widths": [64, 9, 7, 10], "biases": True}
    return _made(relu_folder, "deep", relu_spec(4, network=network))


@pytest.fixture(scope="session")
def large_batches(relu_folder):
    """Four networks 64-12-10, trained with large batches."""
    training = {"batch_fraction": 0.5, "epochs": 12, "batch_size": None}
    return _made(relu_folder, "large", relu_spec(4, name="large", training=training))
