"""Arrays and files of weights become ordinary stores; what is interrupted goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import lsg_ray
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.writer import drop_block
from lsg_ray.errors import InputError, StoreError, StoreInputError
from lsg_ray.exchange import source
from lsg_ray.exchange.format import Request
from lsg_ray.registry import FORMATS
from lsg_ray.spec import parse_spec
from tests.exchange.made import WIDTHS, import_weights, reals, signs


@pytest.fixture
def small(monkeypatch):
    """Blocks of 7 configurations of 12 weights, and reads of 5."""
    sizes = source.ImportConfig(read_bytes=5 * 8 * 12, block_rows=7)
    monkeypatch.setattr(source, "CONFIG", sizes)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.float16, np.float32, np.float64, ">i4"])
def test_signs__of_any_type_are_stored_as_bits(tmp_path, small, kind):
    weights = signs()
    np.save(tmp_path / "w.npy", weights.astype(kind))
    ensemble = lsg_ray.write_ensemble(tmp_path / "w.npy", tmp_path / "e.zarr")
    np.testing.assert_array_equal(ensemble.numpy(), weights)
    assert lsg_ray.verify(ensemble.url).ok
    info = ensemble.info()
    assert (info["family"], info["rows"], info["blocks"]) == ("weights", 60, 9)
    assert info["accuracy"] is None
    assert info["derivation"]["kind"] == "import"


def test_damaged_block__is_imported_again_and_not_sampled(tmp_path, small):
    store = lsg_ray.write_ensemble(signs(), tmp_path / "e.zarr", network=WIDTHS)
    (tmp_path / "e.zarr" / "weights" / "c.2.0").unlink()
    remedy = r"import the same weights again \(lsg import\) to refill the block"
    with pytest.raises(StoreError, match=remedy):
        store.numpy()
    assert lsg_ray.verify(store.url, repair=True).missing == 1
    with pytest.raises(StoreError, match=remedy):
        store.numpy()
    lsg_ray.write_ensemble(signs(), tmp_path / "e.zarr", network=WIDTHS)
    assert lsg_ray.verify(store.url).missing == 0
    (tmp_path / "e.zarr" / "ledger" / "00000002.json").write_text("")
    with pytest.raises(StoreError, match=remedy):
        _ = open_ensemble(store.url).records
    derived = replace(store.header, derivation={"kind": "canonical"})
    assert derived.refill == "derive it again from the same store"


@pytest.mark.parametrize("kind", [np.uint8, np.bool_, np.float64])
def test_zeros_and_ones__are_mapped_and_it_is_said(tmp_path, kind):
    weights = signs()
    np.save(tmp_path / "w.npy", ((weights + 1) // 2).astype(kind))
    imported = import_weights(tmp_path / "w.npy", tmp_path / "e.zarr")
    np.testing.assert_array_equal(imported.ensemble.numpy(), weights)
    assert "weights 0 and 1 are stored as −1 and +1" in imported.notes


def test_content_hash__is_that_of_a_sampled_store_of_the_same_rows(tmp_path, small):
    one = lsg_ray.write_ensemble(signs(), tmp_path / "a.zarr")
    other = lsg_ray.write_ensemble(signs().astype(float), tmp_path / "b.zarr")
    assert one.info()["content_hash"] == other.info()["content_hash"]
    assert one.header.format_version == 3


def test_real_weights__keep_every_bit_of_float32(tmp_path, small):
    weights = reals(20)
    ensemble = lsg_ray.write_ensemble(weights, tmp_path / "e.zarr")
    assert ensemble.numpy().tobytes() == weights.tobytes()
    assert ensemble.info()["family"] == "real-weights"
    imported = import_weights(weights.astype(float) * (1 + 1e-9), tmp_path / "f.zarr")
    assert any(note.startswith("rounded to float32") for note in imported.notes)


@pytest.mark.parametrize("order", "CF")
def test_order_of_axes_in_memory__does_not_matter(tmp_path, small, order):
    weights = np.asarray(signs(), order=order)
    np.save(tmp_path / "w.npy", weights)
    np.savez(tmp_path / "w.npz", weights=weights)
    for name in ("w.npy", "w.npz"):
        ensemble = lsg_ray.write_ensemble(tmp_path / name, tmp_path / f"{name}.d")
        np.testing.assert_array_equal(ensemble.numpy(), weights)


def test_columns__are_stored_and_queried(tmp_path, small):
    weights, runs, score = signs(), np.arange(60) - 5, np.linspace(-1, 1, 60)
    np.savez_compressed(tmp_path / "w.npz", weights=weights, run=runs, label=np.array("text"))
    imported = import_weights(tmp_path / "w.npz", tmp_path / "e.zarr", columns={"score": score})
    ensemble = open_ensemble(tmp_path / "e.zarr")
    assert ensemble.query_columns == ("configuration", "run", "score")
    assert ensemble.column("score").tobytes() == score.tobytes()
    table = lsg_ray.query(ensemble, "run < 0 and score < -0.9", sort="-run")
    assert table["run"].tolist() == [-3, -4, -5]
    assert lsg_ray.verify(ensemble.url).ok
    assert any("label" in note for note in imported.notes)
    frame = ensemble.to_pandas()
    assert frame["run"].tolist() == runs.tolist()
    assert frame.index.name == "configuration"
    np.testing.assert_array_equal(ensemble.to_xarray()["score"], score)


def test_accuracy_of_the_source__is_said_to_be_kept(tmp_path):
    bare = import_weights(signs(), tmp_path / "bare.zarr")
    assert "weights alone: accuracy and loss are not computed" in bare.notes
    columns = {"accuracy": np.linspace(0.5, 1, 60), "run": np.arange(60)}
    own = import_weights(signs(), tmp_path / "own.zarr", columns=columns)
    kept = "weights alone: accuracy and loss are not computed; accuracy: those of the source"
    assert kept in own.notes


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a b": [0] * 60}, "column 'a b': names of columns are letters"),
        ({"weights_1": [0] * 60}, "a meaning of its own"),
        ({"configuration": [0] * 60}, "a meaning of its own"),
        ({"x": [0] * 59}, r"column 'x' has shape \(59,\); \(60,\) is needed"),
        ({"x": [np.nan] * 60}, "row 0, column 'x' is nan"),
        ({"accuracy": [97.0] * 60}, "column 'accuracy', rows from 0: holds 97.0 at row 0.*0 to 1"),
        ({"x": [0] * 60, "X": [0] * 60}, "column 'X' given beside 'x'"),
    ],
)
def test_columns_that_cannot_be__are_refused(tmp_path, columns, words):
    with pytest.raises(InputError, match=words):
        lsg_ray.write_ensemble(signs(), tmp_path / "e.zarr", columns=columns)
    assert not (tmp_path / "e.zarr").exists()


def test_interrupted__goes_on_and_a_changed_source_is_refused(tmp_path, small):
    np.save(tmp_path / "w.npy", signs())
    whole = lsg_ray.write_ensemble(tmp_path / "w.npy", tmp_path / "whole.zarr")
    steps = []

    def stop(done, total):
        steps.append((done, total))
        if done == 60 + 21:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lsg_ray.write_ensemble(tmp_path / "w.npy", tmp_path / "e.zarr", progress=stop)
    assert open_ensemble(tmp_path / "e.zarr").blocks.tolist() == [0, 1, 2]
    assert steps[-1] == (81, 120)
    drop_block(locate(tmp_path / "e.zarr"), whole.header, 1)
    again = lsg_ray.write_ensemble(tmp_path / "w.npy", tmp_path / "e.zarr")
    assert again.info()["content_hash"] == whole.info()["content_hash"]
    assert lsg_ray.verify(again.url).ok
    np.save(tmp_path / "w.npy", signs(seed=1))
    with pytest.raises(StoreInputError, match="the source has changed since"):
        lsg_ray.write_ensemble(tmp_path / "w.npy", tmp_path / "e.zarr")


def test_killed__goes_on(tmp_path):
    np.save(tmp_path / "w.npy", signs(4000, 500))
    code = (
        "import sys, lsg_ray; from lsg_ray.exchange import source\n"
        "source.CONFIG = source.ImportConfig(block_rows=2)\n"
        "lsg_ray.write_ensemble(sys.argv[1], sys.argv[2])"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "w.npy"), str(tmp_path / "e.zarr")]
    run = subprocess.Popen(words)
    ledger = tmp_path / "e.zarr" / "ledger"
    deadline = time.monotonic() + 60
    while run.poll() is None and time.monotonic() < deadline:
        if ledger.is_dir() and len(os.listdir(ledger)) > 20:
            break
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    begun = open_ensemble(tmp_path / "e.zarr")
    assert 0 < len(begun.blocks) < 2000
    np.testing.assert_array_equal(begun.numpy(), signs(4000, 500)[: len(begun.numpy())])
    subprocess.run(words, check=True)
    whole = open_ensemble(tmp_path / "e.zarr")
    assert whole.complete
    np.testing.assert_array_equal(whole.numpy(), signs(4000, 500))


def test_memory__holds_some_rows_at_a_time(tmp_path, small, monkeypatch):
    np.save(tmp_path / "w.npy", signs(500))
    np.savez_compressed(tmp_path / "w.npz", signs(500))
    np.savetxt(tmp_path / "w.csv", signs(500), "%d", delimiter=",")
    counts = []
    kinds = [FORMATS[name].read for name in ("npy", "npz", "csv")]
    sources = [kind(tmp_path / f"w.{name}", Request())
               for kind, name in zip(kinds, ("npy", "npz", "csv"), strict=True)]  # fmt: skip
    for one in sources:
        counts += [len(rows.weights) for _, rows in one.blocks()]
        # Also not in order.
        np.testing.assert_array_equal(one.read(7, 9).weights, signs(500)[7:9])
        np.testing.assert_array_equal(one.read(3, 5).weights, signs(500)[3:5])
    assert max(counts) == 5


def test_link_to_nothing__is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(InputError, match="a link to nothing"):
        lsg_ray.write_ensemble(signs(), tmp_path / "link")
    assert os.listdir(tmp_path) == ["link"]


def test_nothing_can_be_sampled_into_it(tmp_path):
    lsg_ray.write_ensemble(signs(), tmp_path / "e.zarr", network=WIDTHS)
    spec = parse_spec({"dataset": {"name": "digits"}})
    with pytest.raises(StoreInputError, match=r"configurations are imported.*now sampled"):
        lsg_ray.sample(spec, tmp_path / "e.zarr", workers=0)
    with pytest.raises(InputError, match="are imported"):
        lsg_ray.sample(open_ensemble(tmp_path / "e.zarr").spec, tmp_path / "f.zarr", workers=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"columns": 3}, "columns are 3"),
        ({"columns": [{"name": "x", "dtype": "|O", "description": ""}]}, "dtype is"),
        ({"columns": [{"name": "../x", "dtype": "<f8", "description": ""}]}, "letters"),
        ({"columns": [{"name": "y", "dtype": "<f8", "description": ""}]}, "checksum"),
    ],
)
def test_header_of_a_stranger__is_checked(tmp_path, change, words):
    lsg_ray.write_ensemble(signs(), tmp_path / "e.zarr", columns={"x": np.arange(60.0)})
    path = tmp_path / "e.zarr" / "zarr.json"
    tree = json.loads(path.read_text())
    tree["attributes"] |= change
    path.write_text(json.dumps(tree))
    with pytest.raises(StoreError, match=words):
        open_ensemble(tmp_path / "e.zarr")


def test_arrays_of_dask_and_truth_values(tmp_path, small):
    import dask.array

    weights = signs()
    lazy = dask.array.from_array(weights, chunks=(13, 5))
    one = lsg_ray.write_ensemble(lazy, tmp_path / "a.zarr")
    other = lsg_ray.write_ensemble(weights > 0, tmp_path / "b.zarr")
    for ensemble in (one, other):
        np.testing.assert_array_equal(ensemble.numpy(), weights)
    columns = {"run": np.arange(60)}
    np.savez(tmp_path / "w.npz", weights=weights, **columns)
    with pytest.raises(InputError, match="column 'run' is there already"):
        lsg_ray.write_ensemble(tmp_path / "w.npz", tmp_path / "c.zarr", columns=columns)
    assert not (tmp_path / "c.zarr").exists()


def test_signs_of_a_network_with_biases__are_real_weights(tmp_path):
    ensemble = lsg_ray.write_ensemble(
        signs(4, 64 * 2 + 2 + 20 + 10), tmp_path / "e", network=(64, 2, 10), dataset="digits"
    )
    assert (ensemble.spec.network.family, ensemble.spec.network.biases) == ("relu", True)
    assert lsg_ray.verify(ensemble.url).ok


def test_source_that_changes_meanwhile__is_told(tmp_path, small):
    np.save(tmp_path / "w.npy", signs())

    def change(done, total):
        if done == 60:
            np.save(tmp_path / "w.npy", signs(seed=1))
            os.utime(tmp_path / "w.npy", (1, 1))

    with pytest.raises(InputError, match="changed while it was read"):
        lsg_ray.write_ensemble(tmp_path / "w.npy", tmp_path / "e.zarr", progress=change)


def test_layout_of_flat_weights__is_by_the_network(tmp_path):
    W = [np.arange(1.0, 7).reshape(2, 3), np.arange(7.0, 13).reshape(3, 2)]
    b = [np.array([0.1, 0.2]), np.array([0.3, 0.4, 0.5])]
    stored = np.concatenate([np.column_stack([w, c]).ravel() for w, c in zip(W, b, strict=True)])[
        None
    ]
    torch_like = np.concatenate([v.ravel() for pair in zip(W, b, strict=True) for v in pair])[None]
    keras = np.concatenate([v.ravel() for w, c in zip(W, b, strict=True) for v in (w.T, c)])[None]
    for layout, flat in (("out-in", stored), ("parameters", torch_like), ("in-out", keras)):
        ensemble = lsg_ray.write_ensemble(flat, tmp_path / layout, network=WIDTHS, layout=layout)
        np.testing.assert_array_equal(ensemble.numpy(), stored.astype(np.float32))
    assert {name: ensemble.part(name).n_weights for name in ("LB", "RB")} == {"LB": 8, "RB": 9}
    with pytest.raises(InputError, match="3-2-3 have 12, with biases 17"):
        lsg_ray.write_ensemble(np.ones((4, 13)), tmp_path / "x", network=WIDTHS)


def test_array_to_model_to_scan__without_a_network(tmp_path):
    rng = np.random.default_rng(1)
    base = rng.choice([-1, 1], (400, 1))
    weights = np.where(rng.random((400, 10)) < 0.7, base, -base).astype(np.int8)
    ensemble = lsg_ray.write_ensemble(weights, tmp_path / "e.zarr")
    moments = lsg_ray.moments(ensemble)
    np.testing.assert_allclose(moments["m"], weights.mean(axis=0), atol=1e-12)
    model = lsg_ray.fit_boltzmann(moments, method="exact", verify=False)
    scan = lsg_ray.entropy_scan(model.model, ensemble, count=2)
    assert np.isfinite(scan["s"]).any()
    assert lsg_ray.overlaps(ensemble).attrs["statistic"]
    with pytest.raises(InputError, match=r"holds weights alone.*--network"):
        lsg_ray.canonicalize(ensemble)
    assert (
        "holds weights alone"
        in lsg_ray.relax(model.model, ensemble.url, sweeps=5, chains=4, count=1).attrs[
            "no_accuracy"
        ]
    )


def test_loss_that_overflows__is_refused_before_anything_is_created(tmp_path):
    """Found on the second pass, the row would leave a store that began."""
    weights = np.random.default_rng(0).normal(size=(9, 5 * 4 + 4 * 10))
    weights[7] *= 1e30
    network, dataset = {"family": "relu", "widths": [5, 4, 10]}, {"name": "digits", "components": 5}
    with pytest.raises(InputError, match=r"row 7 has weights up to .*leave the row out"):
        lsg_ray.write_ensemble(weights, tmp_path / "s", network=network, dataset=dataset)
    assert not (tmp_path / "s").exists()
    finite = lsg_ray.write_ensemble(weights[:7], tmp_path / "s", network=network, dataset=dataset)
    assert np.isfinite(finite.column("loss")).all()


@pytest.mark.parametrize("family", ["committee", "spherical-committee"])
def test_committees__come_back_with_their_layers(tmp_path, family):
    """Their units have inputs of their own: 15 weights, not those of a chain 15-3-1."""
    rng = np.random.default_rng(1)
    w = rng.normal(size=(4, 15)).astype(np.float32)
    w = np.sign(w).astype(np.int8) if family == "committee" else w
    dataset = {"name": "random-patterns", "patterns": 8, "inputs": 15}
    network = {"family": family, "widths": [15, 3, 1]}
    there = lsg_ray.write_ensemble(w, tmp_path / "a", network=network, dataset=dataset)
    lsg_ray.export(there, tmp_path / "a.npz")
    again = lsg_ray.write_ensemble(
        tmp_path / "a.npz", tmp_path / "b", network=network, dataset=dataset
    )
    assert np.array_equal(again.numpy(), w)
    assert np.array_equal(again.column("accuracy"), there.column("accuracy"))
    units = w.reshape(4, 3, 5).astype(float)
    train = load_dataset(there.spec.dataset).train
    votes = np.sign(np.einsum("mkn,pkn->mpk", units, train.x.reshape(-1, 3, 5))).sum(axis=2)
    right = (votes > 0) == (np.asarray(train.y) == 1)
    np.testing.assert_allclose(there.column("accuracy"), right.mean(axis=1))
    with pytest.raises(InputError, match=r"16 weights a configuration; this network .* has 15"):
        lsg_ray.write_ensemble(
            np.ones((2, 16), np.int8), tmp_path / "c", network=network, dataset=dataset
        )
