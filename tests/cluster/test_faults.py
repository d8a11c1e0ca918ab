"""Faults strike a run in its middle; the same command then completes it, to the same content.

`test_sample` has the killed worker, the killed progress actor, the killed driver and Ctrl-C.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lsg_ray.cluster import sample as sample_module
from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import missing_blocks
from lsg_ray.errors import StoreError
from lsg_ray.spec import Spec
from tests.cluster.faults import (
    BLOCKS,
    PATIENCE,
    RAY_SETTINGS,
    SPEC,
    Nodes,
    Run,
    blocks_in,
    children,
    wait_until_gone,
    without_privileges,
)

#: A Dask graph on a cluster, whose only task never ends.
GRAPH = """
import os, sys, time, dask
from lsg_ray.cluster.dask import dask_session
from lsg_ray.errors import ClusterError
@dask.delayed
def wait():
    time.sleep(1000)
try:
    with dask_session(sys.argv[1]):
        print("computing", file=sys.__stdout__, flush=True)
        wait().compute()
except ClusterError as error:
    print(error, flush=True)
    os._exit(1)
"""
KEYS = ("count", "rows", "blocks_complete", "trials", "accuracy", "content_hash")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What is known of a run that nothing struck, in this process."""
    url = tmp_path_factory.mktemp("undisturbed") / "s"
    sample(Spec.model_validate(SPEC), url, workers=0)
    info = open_ensemble(url).info()
    assert info["rows"] == SPEC["ensemble"]["count"] < info["trials"]
    return url, {key: info[key] for key in KEYS}


@pytest.fixture(autouse=True)
def _nothing_is_left():
    before = children()
    yield
    wait_until_gone(children() - before)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "s"


@pytest.fixture
def nodes():
    folder = tempfile.mkdtemp(prefix="lsg-nodes-", dir="/tmp")  # sockets need a short path
    cluster = Nodes(folder, nodes=2)
    yield cluster
    cluster.close()
    shutil.rmtree(folder, ignore_errors=True)


def resume(store):
    """Do the rest in this process; return how many configurations were there before."""
    return sample(Spec.model_validate(SPEC), store, workers=0).resumed


def run_again(store, *options):
    """Give the same command again; return how many configurations were there before."""
    code, out, err = Run(store, "--json", *options).end()
    assert code == 0, err
    return json.loads(out)["sampled"]["resumed"]


def assert_like(store, undisturbed):
    """Nothing is lost, doubled, damaged or left over."""
    report = verify(store)
    assert (report.findings, report.healthy, report.missing) == ((), BLOCKS, 0)
    info = open_ensemble(store).info()
    assert {key: info[key] for key in KEYS} == undisturbed[1]
    assert report.content_hash == info["content_hash"]


def assert_partial(store, at_least):
    """What was finished is whole, what was not is not seen, and there is something left to do."""
    report = verify(store)
    assert report.sound, report.findings
    assert at_least <= report.healthy < BLOCKS
    assert open_ensemble(store).n_rows == 2 * report.healthy
    return report.healthy


def test_a_run_outlives_its_nodes(undisturbed, store, nodes):
    run = Run(store, "--address", nodes.address, "--json", pause=1.0)
    run.wait_for_blocks(2)
    nodes.kill()
    run.wait_for_blocks(blocks_in(store) + 1)
    nodes.add()
    run.wait_for_blocks(3)
    nodes.terminate()
    assert blocks_in(store) < BLOCKS
    code, out, err = run.end()
    assert code == 0, err
    assert "Traceback" not in err
    assert json.loads(out)["complete"]
    assert_like(store, undisturbed)


def test_a_lost_head_is_a_clear_error_and_a_new_cluster_does_the_rest(undisturbed, store, nodes):
    run = Run(store, "--address", nodes.address, "--json", pause=2.0)
    graph = subprocess.Popen(
        [sys.executable, "-c", GRAPH, nodes.address],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | RAY_SETTINGS,
    )  # fmt: skip
    assert graph.stdout.readline() == "computing\n"
    run.wait_for_blocks(2)
    nodes.kill_head()
    assert "has not answered" in graph.communicate(timeout=PATIENCE)[0]
    code, out, err = run.end()
    assert code == 1, err
    assert f"lsg: the head of the Ray cluster, {nodes.address}, has not answered" in err
    assert "run the same command" in err
    assert "Traceback" not in err
    assert json.loads(out)["exit_code"] == 1
    before = assert_partial(store, 2)
    nodes.renew(1)
    assert run_again(store, "--address", nodes.address) >= 2 * before
    assert_like(store, undisturbed)


def test_a_lost_node_of_a_private_ray_is_a_clear_error(undisturbed, store):
    run = Run(store, "--workers", "2", pause=1.0)
    run.wait_for_blocks(2)
    next(child for child in run.children() if child.name() == "raylet").kill()
    code, _, err = run.end()
    assert code == 1, err
    assert "lsg: Ray's raylet on this machine has ended" in err
    assert "run the same command" in err
    assert "Traceback" not in err
    before = assert_partial(store, 2)
    # A worker may have finished its block after the driver had ended.
    assert resume(store) >= 2 * before
    assert_like(store, undisturbed)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_termination_ends_a_run_within_its_grace_period(undisturbed, store, workers):
    run = Run(store, "--workers", workers, pause=0.7)
    run.wait_for_blocks(2)
    began = time.monotonic()
    run.process.terminate()
    code, _, err = run.end()
    assert time.monotonic() - began < 20, "a spot node gives 30 seconds"
    assert code == 143, err
    assert "lsg: terminated; run the same command again to resume" in err
    assert "Traceback" not in err
    assert "SIGTERM" not in err, "Ray's own report"
    before = assert_partial(store, 2)
    assert resume(store) == 2 * before
    assert_like(store, undisturbed)


def test_termination_of_all_processes_at_once_keeps_what_is_done(undisturbed, store):
    run = Run(store, "--workers", "2", pause=0.7)
    run.wait_for_blocks(2)
    os.killpg(run.process.pid, signal.SIGTERM)
    code, _, err = run.end()
    assert code in (1, 143), err  # 1 where Ray's server ends the driver before it can speak
    assert "Traceback" not in err
    assert_partial(store, 2)
    resume(store)
    assert_like(store, undisturbed)


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


def test_a_full_disk_is_a_clear_error(undisturbed, small_disk):
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
    assert_like(store, undisturbed)


def test_a_disk_that_turns_read_only_is_a_clear_error(undisturbed, small_disk):
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
    assert_like(store, undisturbed)


def test_revoked_permission_is_a_clear_error(undisturbed, store):
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
    assert_like(store, undisturbed)


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
    undisturbed, store, file, kind, blocks_lost
):
    shutil.copytree(undisturbed[0], store)
    flip(store / file)
    assert [finding.kind for finding in verify(store).findings] == [kind]
    assert verify(store, repair=True).ok
    assert missing_blocks(store).tolist() == [3] * blocks_lost
    assert resume(store) == 24 - 2 * blocks_lost
    assert_like(store, undisturbed)


def test_flipped_bytes_of_the_root_document_are_an_error(undisturbed, store):
    shutil.copytree(undisturbed[0], store)
    saved = (store / "zarr.json").read_bytes()
    flip(store / "zarr.json")
    assert [finding.kind for finding in verify(store).findings] == ["metadata"]
    with pytest.raises(StoreError, match=r"zarr\.json"):
        open_ensemble(store)
    with pytest.raises(StoreError, match=r"zarr\.json"):
        resume(store)
    (store / "zarr.json").write_bytes(saved)
    assert_like(store, undisturbed)


def flip(file: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    file.write_bytes(data)


def test_a_clock_that_runs_backwards_changes_nothing(undisturbed, store):
    code, out, err = Run(store, "--workers", "0", "--json", clock=True).end()
    assert code == 0, err
    assert json.loads(out)["sampled"]["seconds"] > 0
    assert_like(store, undisturbed)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_two_drivers_at_once_share_a_store(undisturbed, store, workers):
    runs = [Run(store, "--workers", workers, "--json", pause=0.2) for _ in range(2)]
    for code, out, err in [run.end() for run in runs]:
        assert code == 0, err
        assert json.loads(out)["complete"]
        assert "Traceback" not in err
    assert_like(store, undisturbed)


def test_a_killed_driver_beside_another_leaves_nothing_behind(undisturbed, store):
    runs = [Run(store, "--workers", "0", pause=0.2) for _ in range(2)]
    for run in runs:
        run.wait_for_blocks(2)
    runs[0].kill()
    assert runs[1].end()[0] == 0
    assert_like(store, undisturbed)


# Beside a run


def test_repair_beside_a_run_takes_nothing_from_it(undisturbed, store):
    run = Run(store, "--workers", "0", "--json", pause=0.2)
    run.wait_for_blocks(1)
    kinds = set()
    while run.process.poll() is None:
        report = verify(store, repair=True)
        assert report.ok, report.findings
        kinds |= {finding.kind for finding in report.findings}
    code, out, err = run.end()
    assert code == 0, err
    assert kinds == {"unfinished"}
    assert json.loads(out)["rows"] == SPEC["ensemble"]["count"]
    assert_like(store, undisturbed)


@pytest.mark.parametrize("times", [1, 2])
def test_a_run_does_blocks_again_that_go_missing(undisturbed, store, monkeypatch, times):
    true_write, taken = sample_module.write_block, []

    def write_block(url, index, *arguments, **options):
        written = true_write(url, index, *arguments, **options)
        if taken.count(index) < times and index in (3, 5):
            taken.append(index)
            os.remove(store / "ledger" / f"{index:08d}.json")
        return written

    monkeypatch.setattr(sample_module, "write_block", write_block)
    result = sample(Spec.model_validate(SPEC), store, workers=0)
    assert (result.rows, len(taken)) == (SPEC["ensemble"]["count"], 2 * times)
    assert_like(store, undisturbed)


def test_a_run_whose_blocks_go_missing_for_ever_fails(store, monkeypatch):
    true_write = sample_module.write_block

    def write_block(url, index, *arguments, **options):
        written = true_write(url, index, *arguments, **options)
        if index == 3:
            os.remove(store / "ledger" / f"{index:08d}.json")
        return written

    monkeypatch.setattr(sample_module, "write_block", write_block)
    with pytest.raises(StoreError, match=r"1 blocks are missing again .* 3 the first.* verify"):
        sample(Spec.model_validate(SPEC), store, workers=0)


def test_of_two_runs_of_different_counts_the_smaller_says_that_the_ensemble_grew(
    undisturbed, store
):
    small = Run(store, "--workers", "0", "--count", "23", pause=0.5)
    small.wait_for_blocks(2)
    sample(Spec.model_validate(SPEC), store, workers=0)
    code, _, err = small.end()
    assert code == 1, err
    assert "the ensemble grew from 23 to 24 configurations" in err
    assert "--count 24" in err
    assert_like(store, undisturbed)


def test_a_resume_on_another_kind_of_processor_says_so(undisturbed, store, monkeypatch, capsys):
    shutil.copytree(undisturbed[0], store)
    for index in (1, 4, 5):
        os.remove(store / "ledger" / f"{index:08d}.json")
    resume(store)
    assert "warning" not in capsys.readouterr().err
    os.remove(store / "ledger" / "00000004.json")
    os.remove(store / "ledger" / "00000005.json")
    monkeypatch.setattr(sample_module, "_processor", lambda _: "pdp11 11/70 00")
    resume(store)
    err = capsys.readouterr().err
    assert err.count("warning: blocks of this ensemble were computed on") == 1
    assert "and now on pdp11 11/70 00" in err
    assert open_ensemble(store).info()["processors"]["pdp11 11/70 00"] == 2
    assert_like(store, undisturbed)


def test_workers_that_are_killed_for_memory_end_the_run(store):
    setting = {
        "RAY_memory_usage_threshold": "0.001",
        "RAY_memory_monitor_refresh_ms": "50",
        "RAY_task_oom_retry_delay_base_ms": "10",
    }
    code, _, err = Run(store, "--workers", "1", setting=setting).end()
    assert code == 1, err
    assert "killed a worker for memory again and again" in err
    assert "fewer --workers" in err
    assert "Traceback" not in err


def _wait_until_ray_starts(run):
    deadline = time.monotonic() + PATIENCE
    while not (found := run.children()):
        assert run.process.poll() is None, run.process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


def test_sigterm_while_ray_starts_ends_it_with_its_line(store):
    run = Run(store, "--workers", "1")
    servers = _wait_until_ray_starts(run)
    run.process.terminate()
    code, _, err = run.end()
    assert code == 143, err
    assert "lsg: terminated; run the same command again to resume" in err
    assert "Traceback" not in err
    wait_until_gone(servers)


def test_a_second_interrupt_ends_it_at_once(store):
    run = Run(store, "--workers", "1", pause=2.0)
    run.wait_for_blocks(1)
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    began = time.monotonic()
    while run.process.poll() is None and time.monotonic() < began + 20:
        run.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    code, _, err = run.end()
    assert code == 130, err
    assert "run the same command again to resume" in err
    assert "Traceback" not in err
