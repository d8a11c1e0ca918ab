"""Sampling with real processes: workers, kills and resumes do not change a byte."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import ray

from lsg_ray.cluster import private, session
from lsg_ray.cluster.limits import available_cpus
from lsg_ray.cluster.sample import sample
from lsg_ray.cluster.session import TASK_EVENTS_VARIABLE, ray_session
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import ClusterError, InputError
from tests.cluster.conftest import SPEC, assert_same


def _command(tmp_path: Path, store: Path, *options: str) -> subprocess.Popen:
    file = tmp_path / "spec.yaml"
    file.write_text(json.dumps(SPEC))
    return subprocess.Popen(
        [sys.executable, "-c", "from lsg_ray.cli import main; main()", "sample", str(file),
         "--out", str(store), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_interrupts,
    )  # fmt: skip


def _heed_interrupts() -> None:
    """Undo what a shell does to jobs in the background: they ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _wait_for_blocks(store: Path, count: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while len(list((store / "ledger").glob("0*.json"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no blocks were written"
        time.sleep(0.02)


def _child(driver: subprocess.Popen, name: str) -> psutil.Process:
    for _ in range(500):
        for child in psutil.Process(driver.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.cmdline()[0].startswith(name):
                    return child
        time.sleep(0.02)
    raise AssertionError(f"no process {name}")


def test_killed_worker_and_killed_progress_are_replaced(spec, undisturbed, tmp_path):
    store = tmp_path / "s.zarr"
    driver = _command(tmp_path, store, "--workers", "2", "--json")
    for blocks, process in ((3, "ray::Sampler"), (6, "ray::ProgressActor")):
        _wait_for_blocks(store, blocks, driver)
        _child(driver, process).kill()
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, (out, err)
    assert json.loads(out)["complete"]
    assert_same(store, undisturbed)


def test_killed_driver_is_resumed(spec, undisturbed, tmp_path):
    store = tmp_path / "s.zarr"
    driver = _command(tmp_path, store, "--workers", "2")
    _wait_for_blocks(store, 4, driver)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    before = open_ensemble(store)
    assert 4 <= len(before.blocks) < 24
    result = sample(spec, store, workers=0)  # on Ray: `test_faults`, after a lost head
    assert result.resumed >= before.n_complete
    assert_same(store, undisturbed)


def test_interrupt_keeps_finished_blocks(spec, undisturbed, tmp_path):
    store = tmp_path / "s.zarr"
    driver = _command(tmp_path, store, "--workers", "2")
    _wait_for_blocks(store, 3, driver)
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 130, err
    assert "resume" in err
    assert "Traceback" not in err
    sample(spec, store, workers=0)
    assert_same(store, undisturbed)


def test_driver_leaves_nothing_behind(spec, tmp_path):
    me = psutil.Process()
    before = {process.pid for process in me.children(recursive=True)}
    small = spec.replace(ensemble={"count": 5})
    sample(small, tmp_path / "s.zarr", workers=1)
    time.sleep(1)
    left = [
        process.name()
        for process in me.children(recursive=True)  # other tests may run Rays of their own
        if process.pid not in before and process.name() in ("raylet", "gcs_server")
    ]
    assert not left
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.parametrize("mode", [None, "disabled"])
def test_a_private_ray_has_no_dashboard_and_answers_only_to_its_token(tmp_path, monkeypatch, mode):
    import ray

    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)

    asked = "import sys; from ray._raylet import GcsClient as Head; "
    asked += "print(Head(address=sys.argv[1]).internal_kv_keys(b'', None, 10))"
    strangers = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    strangers["HOME"] = str(tmp_path)  # where Ray looks for a token

    def answered(**token: str) -> bool:
        return b"session_name" in subprocess.run(
            [sys.executable, "-c", asked, address], capture_output=True, env=strangers | token
        ).stdout  # fmt: skip

    with ray_session(cpus=1):
        assert not ray._private.worker._global_node.webui_url
        assert os.environ[TASK_EVENTS_VARIABLE] == "0"
        address = ray.get_runtime_context().gcs_address
        assert answered(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=os.environ["RAY_AUTH_TOKEN"])
        assert not answered(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="f" * 64)
        assert not answered()
        assert not answered(RAY_AUTH_MODE="disabled")
        folder = Path(ray._private.worker._global_node.get_session_dir_path())
        ours = next(above for above in folder.parents if above.name.startswith("lsg-"))
        assert ours.stat().st_mode & 0o777 == 0o700
    assert not ours.exists()
    assert os.environ.get("RAY_AUTH_MODE") == mode
    assert "RAY_AUTH_TOKEN" not in os.environ
    assert TASK_EVENTS_VARIABLE not in os.environ


def test_a_private_ray_without_a_token_is_refused(monkeypatch):
    monkeypatch.setattr(private, "read_settings", lambda: None)
    monkeypatch.setattr("ray._raylet.get_authentication_mode", lambda: 0)
    with pytest.raises(ClusterError, match="would not ask for its token"), ray_session(cpus=1):
        pass


def test_servers_that_find_each_other_too_late_are_started_anew(monkeypatch):
    """As on a busy machine: what Ray raises there, from the place that it raises it at."""
    services, late = ray._private.services, [True]
    found = services.get_node

    def get_node(*args):
        if late.pop() if late else False:
            raise Exception("The current node timed out during startup.")
        return found(*args)

    monkeypatch.setattr(services, "get_node", get_node)
    before = session._below(os.getpid())
    with ray_session(cpus=1) as cpus:
        assert (cpus, late) == (1, [])
        assert ray.get(ray.remote(lambda: 7).remote()) == 7
    assert session._below(os.getpid()) <= before

    late[:] = [True] * (1 + session.CONFIG.start_retries)
    with pytest.raises(ClusterError, match=r"did not start.*timed out"), ray_session(cpus=1):
        pass
    assert session._below(os.getpid()) <= before


def test_memory_store_without_ray(spec, undisturbed):
    result = sample(spec, "memory://sampled", workers=0)
    info = open_ensemble("memory://sampled").info()
    assert result.rows == 120
    assert info["content_hash"] == open_ensemble(undisturbed).info()["content_hash"]
    with pytest.raises(InputError, match="workers=0"):
        sample(spec, "memory://other", workers=2)


def test_unreachable_cluster_is_a_clear_error():
    with pytest.raises(ClusterError, match="no Ray cluster at"), ray_session("127.0.0.1:1"):
        pass


@pytest.mark.parametrize("address", ["nonsense", "host:", ":6379", "host:port", "host:99999"])
def test_bad_address_creates_nothing(spec, tmp_path, address):
    with pytest.raises(InputError, match="host:port"):
        sample(spec, tmp_path / "s.zarr", address=address)
    with pytest.raises(InputError, match="without Ray"):
        sample(spec, tmp_path / "s.zarr", address=address, workers=0)
    assert not (tmp_path / "s.zarr").exists()


def test_bad_number_of_workers(spec, tmp_path):
    with pytest.raises(InputError, match="-1 workers"):
        sample(spec, tmp_path / "s.zarr", workers=-1)
    assert available_cpus() >= 1
