"""Weights along training: kept, resumed, verified, queried, and measured at a chosen time."""

import itertools
import shutil

import numpy as np
import pytest
import xarray

import lsg_ray
from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.errors import InputError, SpecError
from lsg_ray.networks.layout import chunk_examples
from lsg_ray.registry import FAMILIES
from lsg_ray.spec import parse_spec

BINARY = {
    "dataset": {"name": "digits", "train_examples": 300},
    "network": {"widths": [20, 6, 5, 10]},
    "training": {"epochs": 4, "batch_size": 100},
    "ensemble": {"count": 6, "threshold": 0.1, "draws": 3, "block_size": 2, "seed": 5},
}
RELU = {
    "dataset": {"name": "digits", "train_examples": 300},
    "network": {"family": "relu", "widths": [64, 6, 10]},
    "training": {"epochs": 4, "batch_size": 100, "stack": 2},
    "ensemble": {"count": 6, "seed": 5},
}


def spec_of(tree, snapshots, **training):
    ensemble = {**tree["ensemble"], "snapshots": snapshots}
    return parse_spec({**tree, "ensemble": ensemble, "training": {**tree["training"], **training}})


def stored(spec, url):
    sample(spec, url, workers=0)
    assert verify(url).ok
    return open_ensemble(url)


@pytest.fixture(scope="module", params=["binary", "torch", "relu"])
def pair(request, tmp_path_factory):
    """A store with snapshots, and the same without."""
    tree = RELU if request.param == "relu" else BINARY
    engine = {"engine": "torch"} if request.param == "torch" else {}
    folder = tmp_path_factory.mktemp(request.param)
    ensemble = stored(spec_of(tree, [0, 1, 4], **engine), folder / "kept.zarr")
    plain = stored(spec_of(tree, None, **engine), folder / "plain.zarr")
    return ensemble, plain


def test_snapshots_change_nothing_else(pair):
    ensemble, plain = pair
    np.testing.assert_array_equal(ensemble.numpy(), plain.numpy())
    for name in plain.query_columns:
        np.testing.assert_array_equal(ensemble.column(name), plain.column(name))


def test_last_snapshot_is_the_configuration(pair):
    ensemble, _ = pair
    np.testing.assert_array_equal(ensemble.snapshot(4).numpy(), ensemble.numpy())
    for name in FAMILIES[ensemble.spec.network.family].measures:
        result = ensemble.snapshot(4).column(f"snapshot_{name}")
        np.testing.assert_allclose(result, ensemble.column(name), rtol=1e-6)


def test_a_shorter_run_ends_at_the_snapshot(pair):
    """What is kept after an epoch is what training for an epoch gives (all its draws aside)."""
    ensemble, _ = pair
    if ensemble.signs:
        return
    short = ensemble.spec.replace(training={"epochs": 1}, ensemble={"snapshots": None})
    url = "memory://snapshots-short"
    sample(short, url, workers=0)
    np.testing.assert_array_equal(ensemble.snapshot(1).numpy(), open_ensemble(url).numpy())


def test_measures_are_those_of_the_weights(pair):
    ensemble, _ = pair
    data = lsg_ray.load_dataset(ensemble.spec.dataset)
    family = FAMILIES[ensemble.spec.network.family]
    for time in (0, 1):
        view = ensemble.snapshot(time)
        accuracy, loss = family.evaluate(ensemble.spec, view.numpy(), data.test.x, data.test.y)
        np.testing.assert_array_equal(view.column("snapshot_accuracy"), accuracy)
        np.testing.assert_allclose(view.column("snapshot_loss"), loss, rtol=1e-6)


def test_views_show_one_time(pair, tmp_path):
    ensemble, _ = pair
    view = ensemble.snapshot(1)
    assert "snapshot_accuracy" in view.query_columns
    assert "snapshot_accuracy" not in ensemble.query_columns
    mean = view.column("snapshot_accuracy").mean()
    some = view.where(f"snapshot_accuracy > {mean}")
    rows = np.flatnonzero(view.column("snapshot_accuracy") > mean)
    np.testing.assert_array_equal(some.numpy(), view.numpy()[rows])
    np.testing.assert_array_equal(view.take([3, 1])["weights"], view.numpy()[[3, 1]])
    np.testing.assert_array_equal(view.to_dask().compute(), view.numpy())
    np.testing.assert_array_equal(view.part("RB").numpy(), view.numpy()[:, view.parts["RB"]])
    np.testing.assert_array_equal(view.to_xarray()["weights"].values, view.numpy())
    if ensemble.signs:
        np.testing.assert_array_equal(
            view.part("LB").packed_block(0), np.packbits(
                view.numpy()[:2, view.parts["LB"]] > 0, axis=1, bitorder="little"
            )
        )  # fmt: skip
    result = lsg_ray.moments(view)
    np.testing.assert_allclose(result["m"].values, view.numpy().mean(0), atol=1e-6)
    assert result.attrs["snapshot"] == 1
    with pytest.raises(InputError, match="snapshot 2 given; there are, in epochs: 0, 1, 4"):
        ensemble.snapshot(2)


def test_zarr_readers_see_the_axis(pair):
    ensemble, _ = pair
    whole = ensemble.to_xarray()
    names = [name for name in whole if str(name).startswith("snapshot_weights")]
    assert names
    assert all(whole[name].dims[:2] == ("configuration", "snapshot") for name in names)
    assert whole[names[0]].attrs["times"] == [0, 1, 4]


def test_missing_and_damaged_blocks(pair, tmp_path):

    ensemble, _ = pair
    url = tmp_path / "copy.zarr"
    shutil.copytree(ensemble.url, url)
    name = "snapshot_weights" if ensemble.signs else "snapshot_weights_0"
    chunk = next(path for path in sorted((url / name).iterdir()) if path.name.startswith("c.1"))
    chunk.write_bytes(chunk.read_bytes()[::-1])
    assert not verify(url).ok
    verify(url, repair=True)
    assert open_ensemble(url).missing_blocks.tolist() == [1]
    sample(ensemble.spec, url, workers=0)
    assert open_ensemble(url).info()["content_hash"] == ensemble.info()["content_hash"]


@pytest.mark.parametrize(
    ("given", "unit", "times"),
    [
        ("log:4", "epochs", (0, 1, 2, 4)),
        ({"steps": [0, 1, 2, 12]}, "steps", (0, 1, 2, 12)),
        ({"steps": "log:4"}, "steps", (0, 1, 3, 12)),
        ([4], "epochs", (4,)),
    ],
)
def test_times(given, unit, times):
    spec = spec_of(BINARY, given)
    assert spec.times == (unit, times)
    per = 1 if unit == "steps" else 3
    assert spec.snapshot_steps == tuple(per * time for time in times)
    assert parse_spec(spec.tree()) == spec


def test_without_snapshots_a_run_is_what_it_was():
    assert "snapshots" not in spec_of(BINARY, None).canonical_json()


def test_steps_of_both_engines(tmp_path):
    for tree in (BINARY, RELU):
        result = stored(spec_of(tree, {"steps": [0, 1, 5, 12]}), tmp_path / "s.zarr")
        weights = [result.snapshot(time).numpy() for time in (0, 1, 5, 12)]
        assert all((a != b).any() for a, b in itertools.pairwise(weights))
        np.testing.assert_array_equal(weights[-1], result.numpy())

        shutil.rmtree(tmp_path / "s.zarr")


def test_networks_that_ended_keep_their_last_weights():
    spec = spec_of(RELU, [1, 2, 3, 4], target_loss=2.2, learning_rate=1e-2)
    url = "memory://snapshots-ended"
    sample(spec, url, workers=0)
    result = open_ensemble(url)
    epochs = result.column("epochs")
    assert epochs.min() < 4
    for time in (1, 2, 3, 4):
        ended = epochs <= time
        np.testing.assert_array_equal(result.snapshot(time).numpy()[ended], result.numpy()[ended])


@pytest.mark.parametrize(
    "given",
    ["log:1", "log:x", "log:99999", [2, 1], [-1], [], [1.5], [True], {"days": [1]}, {"steps": 3},
     [0, 5], {"steps": [13]}, "all", 3],
)  # fmt: skip
def test_wrong_times_are_refused(given):
    with pytest.raises(SpecError, match=r"ensemble.snapshots: .* given"):
        spec_of(BINARY, given)


def test_evaluate_agrees_with_binary_evaluate():
    from lsg_ray.networks import binary_network

    spec = spec_of(BINARY, None)
    data = lsg_ray.load_dataset(spec.dataset)
    rng = np.random.default_rng(0)
    weights = np.where(rng.random((3, spec.network.n_weights)) < 0.5, -1, 1)
    known = binary_network.evaluate(spec.network, weights, chunk_examples(data.test.x, data.test.y))
    result = FAMILIES["binary"].evaluate(spec, weights, data.test.x, data.test.y)
    np.testing.assert_array_equal(result, known)


def test_commands_take_a_snapshot(tmp_path, capsys):
    """All that measures, and queries; 0 is a time as others are."""
    import json

    from lsg_ray.cli import main

    def lsg(*words):
        with pytest.raises(SystemExit) as ended:
            main([*map(str, words), "--json"])
        return ended.value.code, json.loads(capsys.readouterr().out)

    for number, tree in enumerate((BINARY, RELU)):
        store = tmp_path / f"s{number}"
        ensemble = stored(spec_of(tree, [0, 4]), store)
        for time in (0, 4):
            out = tmp_path / f"m{number}-{time}"
            assert lsg("moments", store, "--snapshot", time, "--out", out)[0] == 0
            with xarray.open_zarr(out) as result:
                np.testing.assert_allclose(
                    result["m"], ensemble.snapshot(time).numpy().mean(0), atol=1e-6
                )
                assert result.attrs["snapshot"] == time
        code, rows = lsg("query", store, "--snapshot", 0, "--where", "snapshot_accuracy < 2")
        assert (code, len(rows["rows"])) == (0, 6)
        assert "snapshot_loss" in rows["rows"][0]
        code, text = lsg("moments", store, "--snapshot", 3, "--out", tmp_path / "no")
        assert code == 2
        assert "there are, in epochs: 0, 4" in text["error"]
        assert lsg("info", store)[1]["snapshots"] == {"epochs": [0, 4]}
    size = ("--sigma", 1e-9, "--steps", 4, "--configurations", 2)
    assert lsg("walk", store, "--snapshot", 0, *size, "--out", tmp_path / "w")[0] == 0
    with xarray.open_zarr(tmp_path / "w") as result:
        expected = ensemble.snapshot(0).column("snapshot_test_loss")[:2]
        last = result["test_loss"].isel(step=-1).transpose("solution", ...).values.reshape(2, -1)
        np.testing.assert_allclose(last, np.tile(expected[:, None], last.shape[1]), rtol=1e-5)


def test_steps_of_a_study_name_times_that_are_kept():
    with pytest.raises(SpecError, match=r"study.moments: snapshot 2 given; there are"):
        parse_spec({**spec_of(BINARY, [0, 4]).tree(), "study": {"moments": {"snapshot": 2}}})


def test_a_view_of_a_snapshot_is_no_store(pair, tmp_path):
    """Not all columns were kept then: numbers of the end would stand beside weights of before."""
    ensemble, _ = pair
    with pytest.raises(InputError, match="weights along training"):
        lsg_ray.permute(ensemble.snapshot(1), 0.5, tmp_path / "p.zarr")
    assert not (tmp_path / "p.zarr").exists()
    made = lsg_ray.permute(ensemble, 0.5, tmp_path / "q.zarr")
    assert made.spec.times[1] == ()
    assert verify(tmp_path / "q.zarr").ok


def test_views_and_results_say_when(pair):
    ensemble, _ = pair
    view = ensemble.snapshot(1)
    assert view.to_xarray().attrs["snapshot"] == 1
    assert ensemble.to_xarray()["snapshot"].values.tolist() == [0, 1, 4]
    for wrong in (True, 1.0, "1", 2):
        with pytest.raises(InputError, match=r"snapshot .* given"):
            ensemble.snapshot(wrong)
    with pytest.raises(InputError, match="already"):
        view.snapshot(4)
    assert ensemble.snapshot(np.int64(4)).at == 2
    if not ensemble.signs:
        result = lsg_ray.random_walk(view, sigma=0.01, steps=4, configurations=2)
        assert (result.attrs["snapshot"], result.attrs["snapshot_unit"]) == (1, "epochs")


def test_what_the_first_version_cannot_read_is_of_the_second(pair):
    ensemble, plain = pair
    assert (ensemble.info()["format_version"], plain.info()["format_version"]) == (2, 1)


def test_schema_takes_what_is_taken():
    from lsg_ray.spec import Spec

    about = Spec.model_json_schema()["$defs"]["EnsembleSpec"]["properties"]["snapshots"]
    kinds = [one.get("type") for one in about["anyOf"]]
    assert kinds == ["array", "string", "object", "null"]
