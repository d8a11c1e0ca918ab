"""Images of units hold the weight of each pixel; data of strangers are read when asked for."""

import numpy as np
import pytest

from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.errors import InputError
from lsg_ray.explore import (
    inputs,
    session,  # noqa: F401 - loads what draws plots
)
from lsg_ray.explore.inputs import montage, unit_images, with_data
from lsg_ray.spec import DatasetSpec, parse_spec

from .test_views import texts


def stored(url, components, **dataset):
    """Return a store of one network of the digits, its weights and its data set."""
    spec = parse_spec({
        "name": "digits", "dataset": {"name": "digits", "components": components, **dataset},
        "network": {"widths": [components or 64, 6, 10]}, "ensemble": {"count": 1},
    })  # fmt: skip
    data = load_dataset(spec.dataset)
    create_ensemble(url, spec, dataset_hash=data.content_hash)
    weights = np.random.default_rng(5).choice([-1, 1], (1, spec.network.n_weights)).astype(np.int8)
    columns = dict.fromkeys(("accuracy", "loss", "test_accuracy", "polarization"), np.zeros(1))
    columns |= {"trial": np.zeros(1, int), "epochs": np.ones(1, int)}
    write_block(url, 0, Block(start=0, weights=weights, columns=columns, trials=1))
    return open_ensemble(url), weights[0], data


@pytest.mark.parametrize("components", [20, None])
def test_images_of_units__are_the_weights_of_pixels(monkeypatch, components):
    ensemble, weights, data = stored(f"memory://inputs-{components}", components)
    drawn = []
    monkeypatch.setattr(inputs, "png", lambda sheet, _side: drawn.append(sheet) or b"\x89PNG")
    seen = unit_images(ensemble, 0)
    units = weights[: 6 * (components or 64)].reshape(6, -1).astype(float)
    pixels = units @ data.components if components else units
    sheet = drawn[0]
    assert sheet.shape == (2 * 9 - 1, 3 * 9 - 1)
    for unit, (top, left) in enumerate([(0, 0), (0, 9), (0, 18), (9, 0), (9, 9), (9, 18)]):
        image = sheet[top : top + 8, left : left + 8] * np.abs(pixels).max()
        np.testing.assert_allclose(image, pixels[unit].reshape(8, 8), atol=1e-5)
    assert ("20 principal components" in seen.caption) == (components == 20)
    # A unit reacts to an image as its weights say.
    if components:
        x = data.test.x[:3] @ units.T
        v = data.test.x[:3] @ data.components
        np.testing.assert_allclose(v @ pixels.T, x, atol=1e-3)


def test_biases__are_no_inputs(relu_store):
    assert relu_store.spec.network.biases
    assert unit_images(relu_store, 1).png.startswith(b"\x89PNG")


def test_channels__are_averaged():
    assert montage(np.ones((1, 2, 2, 3)) * [1, 2, 3]).tolist() == [[1, 1], [1, 1]]


def test_other_data__and_data_without_images_are_refused(monkeypatch):
    ensemble, _, data = stored("memory://inputs-other", 10)
    shape = inputs.Inputs(data.components, (64,), data.content_hash)
    monkeypatch.setattr(inputs, "_inputs", lambda _: shape)
    with pytest.raises(InputError, match="no images"):
        unit_images(ensemble, 0)
    monkeypatch.setattr(inputs, "_inputs", lambda _: shape._replace(content_hash="1" * 64))
    with pytest.raises(InputError, match="other data"):
        unit_images(ensemble, 0)


def test_files_that_a_store_names__are_read_when_asked_for(tmp_path):
    read = []
    path = tmp_path / "<b>.npz"
    np.savez(path, x=np.eye(10, dtype=np.float32), y=np.arange(10) % 2)
    spec = DatasetSpec(name="file", path=str(path), components=None, test_fraction=0.2)
    pane = with_data(spec, lambda: read.append(1), lambda _: "made", "Reading")
    assert any("&lt;b&gt;.npz" in one for one in texts(pane))
    button = pane[1]
    assert not read
    button.clicks += 1
    assert len(pane) == 1
