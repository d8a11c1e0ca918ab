"""Faults of what a run writes to: full, read-only and damaged disks, permissions, a wrong clock."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from lsg_ray.cluster import sampler
from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import missing_blocks
from lsg_ray.errors import StoreError
from lsg_ray.spec import Spec
from tests.cluster.faults import SPEC, Run, assert_like, assert_partial, resume, without_privileges

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for some of the blocks."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here: that needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def remount(place, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def test_a_full_disk_is_a_clear_error(unstruck, small_disk):
    store = small_disk / "s"
    code, _, err = Run(store, "--workers", "2", pause=0.1).end()
    assert code == 1, err
    assert f"lsg: {store}: " in err
    assert "cannot be written: " in err
    assert "No space left on device" in err
    assert "make room" in err
    assert "Traceback" not in err
    before = assert_partial(store, 1)
    remount(small_disk, "size=4m")
    assert resume(store) == 2 * before
    assert_like(store, unstruck)


def test_a_disk_that_turns_read_only_is_a_clear_error(unstruck, small_disk):
    store = small_disk / "s"
    remount(small_disk, "size=4m")
    run = Run(store, "--workers", "0", pause=0.4)
    run.wait_for_blocks(2)
    while subprocess.run(
        ["mount", "-o", "remount,ro", str(small_disk)], capture_output=True
    ).returncode:  # a file was open for writing just then
        time.sleep(0.01)
    code, _, err = run.end()
    assert code == 1, err
    assert f"lsg: {store}: " in err
    assert "cannot be written: " in err
    assert "Read-only file system" in err
    assert "mount it for writing" in err
    assert "Traceback" not in err
    assert_partial(store, 2)
    remount(small_disk, "rw")
    resume(store)
    assert_like(store, unstruck)


def test_revoked_permission_is_a_clear_error(unstruck, store):
    run = Run(store, "--workers", "0", pause=0.3, before=without_privileges)
    run.wait_for_blocks(2)
    folders = [folder for folder in (store, *store.iterdir()) if folder.is_dir()]
    for folder in folders:
        folder.chmod(0o500)
    code, _, err = run.end()
    for folder in folders:
        folder.chmod(0o700)
    assert code == 1, err
    assert f"lsg: {store}: " in err
    assert "cannot be written: " in err
    assert "Permission denied" in err
    assert "permissions forbid" in err
    assert "Traceback" not in err
    before = assert_partial(store, 2)
    assert resume(store) == 2 * before
    assert_like(store, unstruck)


@pytest.mark.parametrize(
    ("file", "kind", "blocks_lost"),
    [
        ("weights/c.3.0", "flipped bits", 1),
        ("accuracy/c.3", "flipped bits", 1),
        ("ledger/00000003.json", "record", 1),
        ("weights/zarr.json", "metadata", 0),
    ],
)
def test_flipped_bytes_are_found_dropped_and_sampled_again(
    unstruck, store, file, kind, blocks_lost
):
    shutil.copytree(unstruck[0], store)
    flip(store / file)
    assert [finding.kind for finding in verify(store).findings] == [kind]
    assert verify(store, repair=True).ok
    assert missing_blocks(store).tolist() == [3] * blocks_lost
    assert resume(store) == 24 - 2 * blocks_lost
    assert_like(store, unstruck)


def test_flipped_bytes_of_the_root_document_are_an_error(unstruck, store):
    shutil.copytree(unstruck[0], store)
    saved = (store / "zarr.json").read_bytes()
    flip(store / "zarr.json")
    assert [finding.kind for finding in verify(store).findings] == ["metadata"]
    with pytest.raises(StoreError, match=r"zarr\.json"):
        open_ensemble(store)
    with pytest.raises(StoreError, match=r"zarr\.json"):
        resume(store)
    (store / "zarr.json").write_bytes(saved)
    assert_like(store, unstruck)


def flip(file: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    file.write_bytes(data)


def test_a_clock_that_runs_backwards_changes_nothing(unstruck, store):
    code, out, err = Run(store, "--workers", "0", "--json", clock=True).end()
    assert code == 0, err
    assert json.loads(out)["sampled"]["seconds"] > 0
    assert_like(store, unstruck)


@pytest.mark.parametrize("times", [1, 2])
def test_a_run_does_blocks_again_that_go_missing(unstruck, store, monkeypatch, times):
    true_write, taken = sampler.write_block, []

    def write_block(url, index, *arguments, **options):
        written = true_write(url, index, *arguments, **options)
        if taken.count(index) < times and index in (3, 5):
            taken.append(index)
            os.remove(store / "ledger" / f"{index:08d}.json")
        return written

    monkeypatch.setattr(sampler, "write_block", write_block)
    result = sample(Spec.model_validate(SPEC), store, workers=0)
    assert (result.rows, len(taken)) == (SPEC["ensemble"]["count"], 2 * times)
    assert_like(store, unstruck)


def test_a_run_whose_blocks_go_missing_for_ever_fails(store, monkeypatch):
    true_write = sampler.write_block

    def write_block(url, index, *arguments, **options):
        written = true_write(url, index, *arguments, **options)
        if index == 3:
            os.remove(store / "ledger" / f"{index:08d}.json")
        return written

    monkeypatch.setattr(sampler, "write_block", write_block)
    with pytest.raises(StoreError, match=r"1 blocks are missing again .* 3 the first.* verify"):
        sample(Spec.model_validate(SPEC), store, workers=0)


def test_a_resume_on_another_kind_of_processor_says_so(unstruck, store, monkeypatch, capsys):
    shutil.copytree(unstruck[0], store)
    for index in (1, 4, 5):
        os.remove(store / "ledger" / f"{index:08d}.json")
    resume(store)
    assert "warning" not in capsys.readouterr().err
    os.remove(store / "ledger" / "00000004.json")
    os.remove(store / "ledger" / "00000005.json")
    monkeypatch.setattr(sampler, "_processor", lambda _: "pdp11 11/70 00")
    resume(store)
    err = capsys.readouterr().err
    assert err.count("warning: blocks of this ensemble were computed on") == 1
    assert "and now on pdp11 11/70 00" in err
    assert open_ensemble(store).info()["processors"]["pdp11 11/70 00"] == 2
    assert_like(store, unstruck)
