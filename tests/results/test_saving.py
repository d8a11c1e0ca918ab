"""Results on disk: readable by xarray alone, whole or not there, never over something else."""

import contextlib
import json
import os
import subprocess
import sys
import uuid
import warnings

import numpy as np
import pytest
import xarray

from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.owned import machine_id
from lsg_ray.errors import InputError, StoreError
from lsg_ray.results import saving
from lsg_ray.results.opening import open_result, unfinished
from lsg_ray.results.saving import check_target, read_cached, save_result
from lsg_ray.results.seal import DamagedWarning
from lsg_ray.statistics.distances import distances
from lsg_ray.statistics.maps import embed
from lsg_ray.statistics.moments import moments
from lsg_ray.statistics.overlaps import overlaps

WIDTHS = (5, 3, 4, 1)


@pytest.fixture(scope="module")
def ensemble(ensemble_of):
    signs = np.where(np.random.default_rng(0).random((20, 31)) < 0.5, 1, -1)
    return ensemble_of(signs, WIDTHS, block_size=7)


@pytest.fixture(scope="module")
def result(ensemble):
    return moments(ensemble)


@pytest.mark.parametrize("measure", [moments, overlaps, distances, embed])
def test_saved__reads_back_without_a_warning(ensemble, tmp_path, measure):
    result = measure(ensemble)
    path = save_result(result, tmp_path / "r.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = xarray.open_zarr(path).load()
    assert set(again.variables) == set(result.variables)
    for name, variable in result.variables.items():
        if variable.dtype.kind != "U":
            np.testing.assert_array_equal(again[name].values, variable.values)
            assert again[name].dtype == variable.dtype
            assert again[name].attrs == variable.attrs
    assert again.attrs == result.attrs
    assert os.listdir(tmp_path) == ["r.zarr"]


def test_names__are_flags_that_decode(ensemble, tmp_path):
    for part in (None, "ITR"):
        result = moments(ensemble if part is None else ensemble.part(part))
        save_result(result, tmp_path / "r.zarr", overwrite=True)
        part = xarray.open_zarr(tmp_path / "r.zarr")["part"]
        names = dict(
            zip(part.attrs["flag_values"], part.attrs["flag_meanings"].split(), strict=True)
        )
        assert [names[code] for code in part.values] == result["part"].values.tolist()


def test_save__does_not_change_the_result(result, tmp_path):
    before = result.copy(deep=True)
    save_result(result, tmp_path / "r.zarr")
    assert result.identical(before)


# Whole or not at all


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("earlier", [False, True])
def test_failed_write__leaves_nothing_and_keeps_what_was_there(
    result, tmp_path, monkeypatch, failure, earlier
):
    path = tmp_path / "r.zarr"
    if earlier:
        save_result(result.isel(weight=slice(3), weight_=slice(3)), path)
    write = xarray.Dataset.to_zarr

    def fail_halfway(self, store, **options):
        encoding = {name: options["encoding"][name] for name in self[["m"]].variables}
        write(self[["m"]], store, **options | {"encoding": encoding})
        raise failure

    monkeypatch.setattr(xarray.Dataset, "to_zarr", fail_halfway)
    expected = StoreError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        save_result(result, path, overwrite=earlier)
    assert os.listdir(tmp_path) == (["r.zarr"] if earlier else [])
    if earlier:
        assert xarray.open_zarr(path)["m"].size == 3


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs a place where not even root writes")
def test_place_that_cannot_be_written__is_an_error_that_names_it(result):
    with pytest.raises(StoreError, match=r"/proc/r\.zarr could not be written"):
        save_result(result, "/proc/r.zarr")


# What a killed process leaves


def _left_by(pid, target, mark="1234abcd"):
    room = target.with_name(f".lsg.{machine_id()}-{pid}-{mark}")
    (room / "new").mkdir(parents=True)
    (room / "old").mkdir()
    return room


@pytest.fixture(scope="module")
def dead():
    """A process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("save", ["result", "arrays"])
def test_what_a_killed_process_left__is_swept_and_what_a_living_one_has_is_not(
    result, tmp_path, dead, save
):
    (_left_by(dead, tmp_path / "r") / "new" / "r").mkdir()
    living = _left_by(os.getppid(), tmp_path / "r")
    elsewhere = tmp_path / f".lsg.zzzz-{dead}-1"
    elsewhere.mkdir()
    if save == "result":
        save_result(result, tmp_path / "r")
    else:
        saving._write_arrays({"m": np.zeros(3)}, tmp_path / "r")
    assert {path.name for path in tmp_path.iterdir()} == {"r", living.name, elsewhere.name}


@pytest.mark.parametrize("whole", [True, False])
def test_killed_between_old_and_new__one_of_them_is_put_back(result, tmp_path, dead, whole):
    save_result(result, tmp_path / "r")
    room = _left_by(dead, tmp_path / "r")
    (tmp_path / "r").rename(room / "old" / "r")
    if whole:
        smaller = result.isel(weight=slice(3), weight_=slice(3))
        save_result(smaller, room / "new" / "r")
    save_result(result, tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "r"]
    assert xarray.open_zarr(tmp_path / "r")["m"].size == (3 if whole else 31)


@pytest.mark.parametrize("name", ["zarr.json", "m", "m/zarr.json", "m/c/0"])
def test_links_in_a_result__are_refused(result, tmp_path, name):
    save_result(result, tmp_path / "r")
    (tmp_path / "r" / name).rename(tmp_path / "kept")
    (tmp_path / "r" / name).symlink_to(tmp_path / "kept")
    with pytest.raises(InputError, match="is a symbolic link"):
        open_result(tmp_path / "r")


# Uploads


def _url():
    return f"memory://{uuid.uuid4().hex}"


def _strike_at(monkeypatch, number):
    """Let the process end at a request."""
    kind, seen = type(locate("memory://x")), []
    for name in ("write", "delete"):
        true = getattr(kind, name)

        def struck(self, key, *rest, true=true):
            seen.append(key)
            if len(seen) == number:
                raise KeyboardInterrupt
            return true(self, key, *rest)

        monkeypatch.setattr(kind, name, struck)
    return seen


@pytest.fixture(scope="module")
def short(result):
    """Few variables, as a kill is tried at every request."""
    return result[["m", "C"]].reset_coords(drop=True)


def test_an_upload_that_was_killed_anywhere__is_repeated_by_the_same_command(short, monkeypatch):
    number = 0
    while True:
        url, number = _url(), number + 1
        seen = _strike_at(monkeypatch, number)
        with contextlib.suppress(KeyboardInterrupt):
            save_result(short, url)
        monkeypatch.undo()
        if len(seen) < number:
            break
        if locate(url).age("zarr.json") is None:
            if number > 1:
                with pytest.raises(InputError, match="upload was interrupted; run the command"):
                    open_result(url)
            save_result(short, url)
        np.testing.assert_array_equal(open_result(url)["m"].values, short["m"].values)
    assert number > 10
    assert not [key for key in locate(url).everything() if key.startswith(".lsg")]


def test_an_overwrite_that_was_killed_anywhere__loses_no_result(short, monkeypatch):
    number, smaller = 0, short.isel(weight=slice(3), weight_=slice(3))
    text = set()
    while True:
        url, number = _url(), number + 1
        save_result(short, url)
        seen = _strike_at(monkeypatch, number)
        with contextlib.suppress(KeyboardInterrupt):
            save_result(smaller, url, overwrite=True)
        monkeypatch.undo()
        if len(seen) < number:
            break
        if unfinished(locate(url)) is not None:
            with pytest.raises(InputError, match=rf"new result is complete at {url}/\.lsg\.new"):
                open_result(url)
            text.add("interrupted")
        else:
            text.add(open_result(url)["m"].size)
        save_result(smaller, url, overwrite=True)
        assert open_result(url)["m"].size == 3
        assert not [key for key in locate(url).everything() if key.startswith(".lsg")]
    assert text == {31, "interrupted", 3}


def test_only_keys_of_ours__are_removed_when_an_upload_is_repeated(result):
    url = _url()
    locate(url).write(".lsg.upload.json", json.dumps({"keys": ["m/c/9"]}).encode())
    for key in ("m/c/9", "thesis"):
        locate(url).write(key, b"mine")
    save_result(result, url)
    assert set(locate(url).everything()) & {"m/c/9", "thesis"} == {"thesis"}


# Overwriting


def test_overwrite__replaces_a_result_and_only_when_told(result, tmp_path):
    path = save_result(result, tmp_path / "r.zarr")
    smaller = result.isel(weight=slice(3), weight_=slice(3))
    with pytest.raises(InputError, match="exists; name another path or pass --overwrite"):
        save_result(smaller, path)
    assert xarray.open_zarr(path)["m"].size == 31
    save_result(smaller, path, overwrite=True)
    assert xarray.open_zarr(path)["m"].size == 3
    assert os.listdir(tmp_path) == ["r.zarr"]


def _file(path, ensemble_of):
    path.write_text("mine")


def _folder(path, ensemble_of):
    path.mkdir()
    (path / "thesis.tex").write_text("mine")


def _foreign_zarr(path, ensemble_of):
    xarray.Dataset({"mine": ("x", [1, 2])}).to_zarr(path, consolidated=False, zarr_format=3)


def _foreign_json(path, ensemble_of):
    path.mkdir()
    (path / "zarr.json").write_text(json.dumps(["attributes"]))


def _ensemble(path, ensemble_of):
    ensemble_of(np.ones((3, 4), np.int8), url=path)


def _ensemble_without_ledger(path, ensemble_of):
    _ensemble(path, ensemble_of)
    (path / "ledger").rename(path / "lost")


def _dangling_link(path, ensemble_of):
    path.symlink_to(path.with_name("nowhere"))


@pytest.mark.parametrize(
    "make",
    [
        _file,
        _folder,
        _foreign_zarr,
        _foreign_json,
        _ensemble,
        _ensemble_without_ledger,
        _dangling_link,
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_anything_else__is_never_overwritten(result, tmp_path, ensemble_of, make, overwrite):
    path = tmp_path / "other"
    make(path, ensemble_of)
    before = sorted(file.relative_to(tmp_path) for file in tmp_path.rglob("*"))
    with pytest.raises(InputError, match="not a result of lsg" if overwrite else "exists"):
        save_result(result, path, overwrite=overwrite)
    assert sorted(file.relative_to(tmp_path) for file in tmp_path.rglob("*")) == before


def test_link_to_a_result__is_not_followed(result, tmp_path):
    save_result(result, tmp_path / "r.zarr")
    (tmp_path / "link").symlink_to(tmp_path / "r.zarr")
    with pytest.raises(InputError, match="not a result of lsg"):
        check_target(tmp_path / "link", overwrite=True)


def test_missing_parent__is_refused_and_not_made(result, tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path}/a/b is not a folder; make it first"):
        save_result(result, tmp_path / "a" / "b" / "r.zarr")
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a folder"):
        save_result(result, tmp_path / "file" / "r.zarr")


# Kept results


def test_kept__a_damaged_result_is_told(tmp_path):
    path = tmp_path / "k.zarr"
    made = xarray.Dataset(
        {"a": ("form", np.arange(2.0)), "minimum": ("form", np.array([1, 0], np.int8),
         {"flag_values": [0, 1], "flag_meanings": "no yes"})},
        {"form": ["sampled", "canonical"]}, {"statistic": "test", "survey": "key"},
    )  # fmt: skip
    save_result(made, path)
    output = read_cached(path, "key")
    assert output["form"].values.tolist() == ["sampled", "canonical"]  # names, as they were made
    assert output["minimum"].values.tolist() == [1, 0]
    assert read_cached(path, "other") is None
    assert read_cached(tmp_path / "nothing", "key") is None
    (path / "a" / "c" / "0").unlink()
    with pytest.warns(DamagedWarning, match="a/c/0 is missing.*: damaged, computed again"):
        assert read_cached(path, "key") is None
