"""Networks trained with PyTorch: in, measured, clustered, out, and the same again."""

import itertools

import numpy as np
import pytest
import torch

import lsg_ray
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import InputError
from lsg_ray.exchange import layers
from lsg_ray.spec import DatasetSpec
from tests.exchange.made import import_weights

DATASET = DatasetSpec(name="digits", components=None)
WIDTHS = (64, 8, 10)


def new(widths=WIDTHS, bias=True):
    modules = []
    for into, out in itertools.pairwise(widths):
        modules += [torch.nn.Linear(into, out, bias=bias), torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


@pytest.fixture(scope="module")
def trained():
    """Three networks, and the right answers of each on the test set."""
    data = load_dataset(DATASET)
    x, y = (torch.tensor(part) for part in (data.train.x, data.train.y))
    networks, right = [], []
    for seed in range(3):
        torch.manual_seed(seed)
        net = new()
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(30):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        with torch.no_grad():
            answers = net(torch.tensor(data.test.x)).argmax(1).numpy()
        right.append((answers == data.test.y).mean())
        networks.append(net)
    return networks, np.array(right)


def save_folder(networks, folder):
    folder.mkdir()
    for number, net in enumerate(networks):
        torch.save(net.state_dict(), folder / f"net{8 + number}.pt")
    return folder


def test_trained_networks__go_in_and_out(trained, tmp_path):
    networks, right = trained
    folder = save_folder(networks, tmp_path / "nets")
    (folder / "README").write_text("")
    imported = import_weights(folder, tmp_path / "e.zarr", network=WIDTHS, dataset=DATASET)
    ensemble = imported.ensemble
    np.testing.assert_array_equal(ensemble.column("test_accuracy"), right)
    assert right.min() > 0.5
    assert "3 files in natural order of their names, net8.pt to net10.pt" in imported.notes
    assert "1 other files are left out" in imported.notes
    assert (ensemble.spec.network.family, ensemble.spec.network.biases) == ("relu", True)
    assert lsg_ray.verify(ensemble.url).ok
    clusters = lsg_ray.clustering(ensemble.url)
    assert clusters.sizes["configuration"] == 3
    walk = lsg_ray.random_walk(ensemble.url, sigma=[0.01], steps=4, configurations=2, examples=100)
    assert walk.attrs["statistic"]

    lsg_ray.export(ensemble.url, tmp_path / "all.pt")
    lsg_ray.export(ensemble.where("configuration == 1"), tmp_path / "one.pt")
    states = torch.load(tmp_path / "all.pt", weights_only=True)
    states[1:2] = [torch.load(tmp_path / "one.pt", weights_only=True)]
    for net, state in zip(networks, states, strict=True):
        again = new()
        again.load_state_dict(state, strict=True)
        for one, other in zip(net.parameters(), again.parameters(), strict=True):
            assert torch.equal(one, other)
    back = lsg_ray.write_ensemble(
        tmp_path / "all.pt", tmp_path / "back.zarr", network=WIDTHS, dataset="digits"
    )
    assert back.info()["content_hash"] == ensemble.info()["content_hash"]


def test_state_dicts_in_memory__and_widths_by_their_shapes(trained, tmp_path):
    networks, right = trained
    imported = import_weights(
        [net.state_dict() for net in networks], tmp_path / "e.zarr", dataset=DATASET
    )
    assert "widths by the shapes: 64-8-10" in imported.notes
    np.testing.assert_array_equal(imported.ensemble.column("accuracy"), right)


def test_without_a_data_set__layers_are_those_of_the_network(trained, tmp_path):
    networks, _ = trained
    folder = save_folder(networks, tmp_path / "nets")
    ensemble = lsg_ray.write_ensemble(folder, tmp_path / "e.zarr", network=WIDTHS)
    assert ensemble.info()["family"] == "real-weights"
    assert ensemble.part("RB").n_weights == 9 * 10
    lsg_ray.export(ensemble, tmp_path / "all.pt")
    for net, state in zip(networks, torch.load(tmp_path / "all.pt"), strict=True):
        again = new()
        again.load_state_dict(state, strict=True)
        assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())


def test_transposed_matrices__are_detected_and_told(trained, tmp_path):
    networks, right = trained
    folder = tmp_path / "nets"
    folder.mkdir()
    for number, net in enumerate(networks):
        tree = {}
        for name, (key, value) in zip("abcd", net.state_dict().items(), strict=True):
            module = "dense" if name in "ab" else "out"
            kind = "kernel" if "weight" in key else "bias"
            tree[f"{module}/{kind}"] = value.T.contiguous() if kind == "kernel" else value
        torch.save(tree, folder / f"{number}.pth")
    imported = import_weights(folder, tmp_path / "e.zarr", network=WIDTHS, dataset="digits")
    assert "matrices are [in, out] and are transposed" in imported.notes
    np.testing.assert_array_equal(imported.ensemble.column("accuracy"), right)
    with pytest.raises(InputError, match="no tensors of a network 64-8-10"):
        import_weights(folder, tmp_path / "f.zarr", network=WIDTHS, layout="out-in")


def test_square_matrices__are_of_torch_unless_said(tmp_path):
    state = {"0.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    imported = import_weights([state], tmp_path / "a", network=(2, 2))
    assert any("their shapes fit [in, out] as well" in note for note in imported.notes)
    np.testing.assert_array_equal(imported.ensemble.numpy(), [[1, 2, 3, 4]])
    other = import_weights([state], tmp_path / "b", network=(2, 2), layout="in-out")
    np.testing.assert_array_equal(other.ensemble.numpy(), [[1, 3, 2, 4]])


def test_layers_of_a_network__are_found_by_shape():
    shapes = {"out.weight": (4, 2), "hidden.weight": (2, 3), "hidden.bias": (2,), "out.bias": (4,)}
    match = layers.match_layers(shapes, (3, 2, 4), None, "x")
    assert [layer.matrix for layer in match.layers] == ["hidden.weight", "out.weight"]
    for spoiled, words in [
        ({**shapes, "norm.weight": (7,)}, "norm.weight .7. belongs to no layer"),
        ({k: v for k, v in shapes.items() if k != "out.bias"}, "out.weight has no biases"),
        ({}, "there are none"),
    ]:
        with pytest.raises(InputError, match=words):
            layers.match_layers(spoiled, (3, 2, 4), None, "x")


def test_convolutions__are_stored_as_layers_by_name(tmp_path):
    def conv(seed):
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 3, 2), torch.nn.BatchNorm2d(3), torch.nn.Flatten(),
            torch.nn.Linear(12, 2),
        )  # fmt: skip

    networks = [conv(seed) for seed in range(6)]
    imported = import_weights([net.state_dict() for net in networks], tmp_path / "e.zarr")
    ensemble = open_ensemble(tmp_path / "e.zarr")
    assert any("counters are left out: 1.num_batches_tracked" in note for note in imported.notes)
    names = ensemble.spec.network.options["names"]
    assert names[:2] == ["0.weight", "0.bias"]
    assert "0.weight, 3x1x2x2" in ensemble.to_xarray()["weights_0"].attrs["description"]
    assert lsg_ray.distances(ensemble).attrs["mean"] > 0
    assert lsg_ray.clustering(ensemble).sizes["configuration"] == 6
    with pytest.raises(InputError, match="holds weights alone"):
        lsg_ray.clustering(ensemble, alignment="matching")
    with pytest.raises(InputError, match=r"holds weights alone.*--network"):
        lsg_ray.flatness(ensemble)
    lsg_ray.export(ensemble, tmp_path / "e.pt")
    for net, state in zip(networks, torch.load(tmp_path / "e.pt"), strict=True):
        conv(9).load_state_dict(state, strict=True)
        assert all(torch.equal(net.state_dict()[key], value) for key, value in state.items())


def test_binary_network__has_its_accuracy(tmp_path):
    torch.manual_seed(0)
    data = load_dataset(DatasetSpec(name="digits", components=5))
    rows, right = [], []
    for _ in range(4):
        net = torch.nn.Sequential(
            torch.nn.Linear(5, 16, bias=False), torch.nn.LeakyReLU(0.1),
            torch.nn.Linear(16, 10, bias=False),
        )  # fmt: skip
        with torch.no_grad():
            for weight in net.parameters():
                weight.copy_(torch.sign(weight))
            answers = net(torch.tensor(data.test.x)).argmax(1).numpy()
        right.append((answers == data.test.y).mean())
        rows.append(torch.nn.utils.parameters_to_vector(net.parameters()).detach().numpy())
    np.save(tmp_path / "w.npy", np.array(rows))
    imported = import_weights(
        tmp_path / "w.npy", tmp_path / "e", network=(5, 16, 10), dataset="digits"
    )
    assert "inputs: 5 principal components of digits" in imported.notes
    assert imported.ensemble.spec.network.family == "binary"
    np.testing.assert_allclose(imported.ensemble.column("accuracy"), right, atol=1e-12)
    canonical = lsg_ray.canonicalize(imported.ensemble, tmp_path / "c")
    assert lsg_ray.verify(canonical.url).ok
    np.testing.assert_array_equal(
        canonical.column("accuracy"), imported.ensemble.column("accuracy")
    )


@pytest.mark.parametrize("spoil", ["shape", "name", "nan"])
def test_one_file_that_is_unlike_the_others__is_named(trained, tmp_path, spoil):
    folder = save_folder(trained[0], tmp_path / "nets")
    state = trained[0][0].state_dict()
    if spoil == "shape":
        state["2.weight"] = state["2.weight"][:, :5]
    elif spoil == "name":
        state["3.weight"] = state.pop("2.weight")
    else:
        state["2.weight"] = state["2.weight"] * np.nan
    torch.save(state, folder / "net9.pt")
    words = {"shape": r"net9.pt: '2.weight' is .*\(10, 5\).*\(10, 8\).*net8.pt",
             "name": "net9.pt: '2.weight' is missing",
             "nan": "row 1, weight .* is nan"}  # fmt: skip
    with pytest.raises(InputError, match=words[spoil]):
        lsg_ray.write_ensemble(folder, tmp_path / "e.zarr")
    assert not (tmp_path / "e.zarr").exists()


def test_layers_in_another_order__are_not_guessed(tmp_path):
    """Matrices [in, out] of 6-4-6 are those of torch too, with the layers exchanged."""
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=shape).astype(np.float32) for shape in ((6, 4), (4, 6)))
    state = {"0.weight": torch.from_numpy(first), "2.weight": torch.from_numpy(second)}
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(InputError, match="pass --layout in-out or --layout out-in"):
        import_weights(tmp_path / "m.pt", tmp_path / "a", network=(6, 4, 6))
    for layout, rows in (("in-out", (first.T, second.T)), ("out-in", (second, first))):
        store, _ = import_weights(
            tmp_path / "m.pt", tmp_path / layout, network=(6, 4, 6), layout=layout
        )
        np.testing.assert_array_equal(store.numpy()[0], np.concatenate([w.ravel() for w in rows]))
