"""What is exported is read by other programs, and is the same to the last bit."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import xarray

import lsg_ray
from lsg_ray.errors import InputError, StoreInputError
from lsg_ray.exchange.xarray_engine import EnsembleBackend
from lsg_ray.registry import loaded
from tests.exchange.made import reals, signs

#: Optional libraries of formats.
NEEDS = {"parquet": "pyarrow", "nc": "h5netcdf", "safetensors": "safetensors"}


def need(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])


@pytest.fixture(scope="module", params=["signs", "reals"])
def made(request, tmp_path_factory):
    """A store in blocks of four, and its weights."""
    from lsg_ray.exchange import source

    weights = signs(10, 12) if request.param == "signs" else reals(10, 12)
    columns = {"run": np.arange(10) - 3, "score": np.linspace(0, 1, 10) ** 7 / 3}
    before, source.CONFIG = source.CONFIG, source.ImportConfig(block_rows=4)
    try:
        ensemble = lsg_ray.write_ensemble(
            weights, tmp_path_factory.mktemp("e") / "e.zarr", network=(3, 2, 3), columns=columns
        )
    finally:
        source.CONFIG = before
    return ensemble, weights, columns


def read_back(path):
    """Return the arrays of a file, as other programs read them."""
    suffix = path.suffix[1:]
    if suffix == "npy":
        return {"weights": np.load(path)}
    if suffix == "npz":
        with np.load(path) as arrays:
            return dict(arrays)
    if suffix == "mtx":
        return {"weights": np.asarray(scipy.io.mmread(path).todense())}
    if suffix == "nc":
        with xarray.open_dataset(path, engine="h5netcdf") as dataset:
            return {name: dataset[name].values for name in dataset.variables}
    if suffix == "parquet":
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path)
        arrays = {name: table[name].to_numpy() for name in table.column_names}
        return arrays | {"weights": np.stack(arrays["weights"])}
    assert suffix == "csv"
    import pandas

    frame = pandas.read_csv(path)
    weights = frame[[name for name in frame if name.startswith("w")]].to_numpy()
    return {name: frame[name].to_numpy() for name in frame} | {"weights": weights}


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "parquet", "nc", "mtx"])
def test_configurations__are_read_by_others(made, tmp_path, suffix):
    need(suffix)
    ensemble, weights, columns = made
    exported = lsg_ray.export(ensemble, tmp_path / f"x.{suffix}")
    arrays = read_back(tmp_path / f"x.{suffix}")
    assert (exported.rows, exported.bytes) == (10, (tmp_path / f"x.{suffix}").stat().st_size)
    assert arrays["weights"].astype(np.float32).tobytes() == weights.astype(np.float32).tobytes()
    if suffix in ("npz", "csv", "parquet", "nc"):
        for name, values in columns.items():
            assert arrays[name].tobytes() == values.tobytes(), name
    lsg_ray.export(ensemble, tmp_path / f"y.{suffix}", where="run >= 0", limit=5)
    some = read_back(tmp_path / f"y.{suffix}")["weights"].astype(np.float32)
    np.testing.assert_array_equal(some, weights[3:8])


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "parquet", "safetensors", "pt"])
def test_what_is_exported__is_imported_as_it_was(made, tmp_path, suffix):
    need(suffix)
    ensemble, weights, columns = made
    lsg_ray.export(ensemble, tmp_path / f"x.{suffix}")
    again = lsg_ray.write_ensemble(tmp_path / f"x.{suffix}", tmp_path / "a.zarr", network=(3, 2, 3))
    np.testing.assert_array_equal(again.numpy(), weights)
    if suffix in ("npz", "csv", "parquet"):
        assert again.info()["content_hash"] == ensemble.info()["content_hash"]
        assert again.query_columns == ("configuration", *columns)


def test_single_configuration__is_one_state_dict(made, tmp_path):
    torch = pytest.importorskip("torch")
    load = pytest.importorskip("safetensors.torch").load_file
    ensemble, weights, _ = made
    for suffix in ("pt", "safetensors"):
        path = tmp_path / f"x.{suffix}"
        lsg_ray.export(ensemble, path, limit=1)
        state = torch.load(path, weights_only=True) if suffix == "pt" else load(path)
        net = torch.nn.Sequential(torch.nn.Linear(3, 2, False), torch.nn.ReLU(),
                                  torch.nn.Linear(2, 3, False))  # fmt: skip
        net.load_state_dict(state, strict=True)
        flat = torch.nn.utils.parameters_to_vector(net.parameters()).detach().numpy()
        np.testing.assert_array_equal(flat, weights[0])


def test_outcome_of_sampling__stands_for_its_store(tmp_path):
    spec = lsg_ray.Spec.model_validate(
        {
            "dataset": {"name": "random-patterns", "patterns": 3, "inputs": 5},
            "network": {"family": "perceptron", "widths": [5, 1]},
            "ensemble": {"count": 6},
        }
    )
    outcome = lsg_ray.sample(spec, tmp_path / "w.zarr", workers=0)
    for name, source in (("a", outcome), ("b", outcome.url)):
        lsg_ray.export(source, tmp_path / f"{name}.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    assert lsg_ray.moments(outcome).equals(lsg_ray.moments(tmp_path / "w.zarr"))


def test_chosen_columns(made, tmp_path):
    ensemble, _, columns = made
    lsg_ray.export(ensemble, tmp_path / "x.npz", columns=["score"])
    assert set(read_back(tmp_path / "x.npz")) == {"score", "attributes"}
    lsg_ray.export(ensemble, tmp_path / "x.npy", columns=["run"])
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), columns["run"])
    lsg_ray.export(ensemble, tmp_path / "x.csv", columns=["run", "score"])
    assert (tmp_path / "x.csv").read_text().splitlines()[:2] == ["run,score", "-3,0.0"]


def test_engine_of_xarray__is_declared():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    declared = project["project"]["entry-points"]["xarray.backends"]
    assert loaded(declared["lsg"]) is EnsembleBackend


def test_engine_of_xarray(made):
    ensemble, weights, columns = made
    dataset = xarray.open_dataset(ensemble.url, engine=EnsembleBackend)
    lazy = xarray.open_dataset(ensemble.url, engine=EnsembleBackend, chunks={})
    assert lazy["weights"].chunks is not None
    np.testing.assert_array_equal(dataset["weights"], weights)
    some = xarray.open_dataset(
        ensemble.url, engine=EnsembleBackend, where="run == 2", drop_variables=["weights"]
    )
    assert some["score"].values == columns["score"][5]
    assert "weights" not in some
    backend = EnsembleBackend()
    assert backend.guess_can_open(ensemble.url)
    assert not any(map(backend.guess_can_open, ("nothing.zarr", 3, "http://x/y")))


@pytest.mark.parametrize("suffix", ["nc", "npz", "csv", "parquet", "npy", "mtx"])
def test_results__are_written_too(made, tmp_path, suffix):
    need(suffix)
    ensemble = made[0]
    moments = lsg_ray.moments(ensemble)
    columns = {"csv": ["m", "m_stderr"], "parquet": ["m"], "npy": ["C"], "mtx": ["C"]}.get(suffix)
    path = tmp_path / f"m.{suffix}"
    lsg_ray.export(moments, path, columns=columns)
    if suffix == "csv":
        import pandas

        frame = pandas.read_csv(path)
        np.testing.assert_array_equal(frame["m_stderr"], moments["m_stderr"])
        assert frame["part"].tolist() == ["LB"] * 6 + ["RB"] * 6
    elif suffix == "parquet":
        import pandas

        np.testing.assert_array_equal(pandas.read_parquet(path)["m"], moments["m"])
    elif suffix == "nc":
        with xarray.open_dataset(path, engine="h5netcdf") as dataset:
            xarray.testing.assert_equal(dataset[["m", "C"]].load(), moments[["m", "C"]])
            assert dataset.attrs["statistic"] == moments.attrs["statistic"]
    else:
        array = {
            "npz": lambda: np.load(path)["C"], "npy": lambda: np.load(path),
            "mtx": lambda: scipy.io.mmread(path).toarray(),
        }[suffix]()  # fmt: skip
        np.testing.assert_array_equal(array, moments["C"])


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("x.xls", {}, "the suffix gives the format: .npy"),
        ("x", {}, "the suffix gives the format"),
        ("no/x.npy", {}, "no such folder"),
        ("s3://bucket/x.npy", {}, "local path"),
        ("x.graphml", {}, "a store is written as .npy"),
        ("x.npz", {"columns": ["sore"]}, "column 'sore' given; there are configuration"),
        ("x.npz", {"columns": []}, "columns none given"),
        ("x.npz", {"where": "run > 99"}, "no configurations meet"),
        ("x.npz", {"where": "run >"}, "where|run"),
        ("x.npy", {"columns": ["run", "score"]}, "one array"),
        ("x.mtx", {"columns": ["run"]}, "weights alone"),
        ("x.npz", {"limit": 0}, "at least 1"),
        ("x.npz", {"cutoff": 0.5}, "couplings of a model"),
    ],
)
def test_faults__are_told_and_nothing_is_written(made, tmp_path, name, options, words):
    path = name if "://" in name else tmp_path / name
    with pytest.raises(InputError, match=words):
        lsg_ray.export(made[0].url, path, **options)
    assert not list(tmp_path.iterdir())


def test_earlier_file__stays_unless_said(made, tmp_path):
    path = tmp_path / "x.npy"
    path.write_text("mine")
    with pytest.raises(InputError, match="--overwrite"):
        lsg_ray.export(made[0], path)
    with pytest.raises(InputError, match="one array"):
        lsg_ray.export(made[0], path, columns=["run", "score"], overwrite=True)
    assert path.read_text() == "mine"
    lsg_ray.export(made[0], path, overwrite=True)
    np.testing.assert_array_equal(np.load(path), made[1])
    with pytest.raises(StoreInputError, match="inside the Zarr store"):
        lsg_ray.export(made[0], f"{made[0].url}/x.npy")


def test_missing_library__is_told_with_its_remedy(made, tmp_path, monkeypatch):
    from lsg_ray.exchange import format as formats

    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(formats.importlib, "import_module", absent)
    for suffix, library in NEEDS.items():
        with pytest.raises(InputError, match=rf"{library}.*pip install 'lsg-ray\[exchange\]'"):
            lsg_ray.export(made[0].url, tmp_path / f"x.{suffix}")
