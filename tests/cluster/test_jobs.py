"""Jobs on a real cluster with a dashboard and a token: submit, follow, attach, fail, stop."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from lsg_ray.cli import main
from lsg_ray.cluster import dashboard, jobs
from lsg_ray.cluster.session import AGENT_START_VARIABLE, CONFIG
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.errors import ClusterError
from lsg_ray.results.opening import open_result
from lsg_ray.spec import parse_spec

for _needed in ("aiohttp", "grpc", "requests"):
    pytest.importorskip(_needed, reason="jobs need ray[default]")

TOKEN = "a-token-of-forty-characters-for-this-test"
SPEC = parse_spec(
    {
        "name": "tiny",
        "dataset": {"name": "digits", "components": 4},
        "network": {"widths": [4, 3, 10]},
        "training": {"epochs": 2, "batch_size": 100},
        "ensemble": {"count": 4, "threshold": 0, "draws": 2, "block_size": 2},
    }
)
#: What the cluster's processes know of the object store; the client does not.
OBJECT_STORE = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-cluster",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


class Cluster(NamedTuple):
    address: str
    s3: str | None
    folder: Path


def _free_port() -> int:
    """A port below those that the system, and so Ray itself, hands out."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as attempt, contextlib.suppress(OSError):
            attempt.bind(("", port))
            return port


@contextlib.contextmanager
def _object_store():
    """A server of S3 in this process, if moto is there: its URL."""
    try:
        from moto.server import ThreadedMotoServer
    except ImportError:
        yield None
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _start(folder: str, port: int, environment: dict[str, str]) -> subprocess.Popen:
    ports = (f"--{name}={_free_port()}" for name in ("port", "ray-client-server-port",
             "dashboard-agent-listen-port", "dashboard-agent-grpc-port"))  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
         "--num-cpus=2", "--include-dashboard=true", "--dashboard-host=127.0.0.1",
         f"--dashboard-port={port}", *ports, f"--temp-dir={folder}",
         "--object-store-memory=100000000", "--disable-usage-stats"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def _await_dashboard(address: str, head: subprocess.Popen) -> None:
    import requests

    deadline = time.monotonic() + 90
    while True:
        assert head.poll() is None, "ray start ended"
        assert time.monotonic() < deadline, "the dashboard did not come up"
        with contextlib.suppress(requests.RequestException):
            answer = requests.get(
                f"{address}/api/jobs/", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5
            )
            if answer.ok:
                return
        time.sleep(0.2)


def _end(head: subprocess.Popen) -> None:
    processes = psutil.Process(head.pid).children(recursive=True)
    head.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        head.wait(20)
    for process in [*processes, psutil.Process(head.pid)] if head.poll() is None else processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    head.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tempfile.mkdtemp(prefix="lsg-jobs-", dir="/tmp")
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "AWS_"))}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, **OBJECT_STORE}
    environment[AGENT_START_VARIABLE] = str(CONFIG.agent_start_ms)  # the machine may be busy
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with _object_store() as s3:
        head = _start(folder, port, environment | ({"AWS_ENDPOINT_URL": s3} if s3 else {}))
        try:
            _await_dashboard(address, head)
            yield Cluster(address, s3, tmp_path_factory.mktemp("jobs"))
        finally:
            _end(head)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def token(monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    # Ray would prefer these to the address that is given.
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)


@pytest.fixture
def lsg(capsys, cluster, tmp_path):
    """Run a command against the cluster in this process: exit code, output, errors."""
    (tmp_path / "spec.yaml").write_text(SPEC.canonical_json())

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        name, *rest = map(str, words)
        with pytest.raises(SystemExit) as stop:
            main([name, *rest[: name == "jobs"], "--address", cluster.address,
                  *rest[name == "jobs" :]])  # fmt: skip
        return (stop.value.code, *capsys.readouterr())

    return run


def test_a_job_samples_into_an_object_store_and_a_second_submit_attaches(
    lsg, cluster, tmp_path, monkeypatch
):
    url = str(cluster.folder / "tiny.zarr")
    if cluster.s3 is not None:
        import requests

        requests.put(f"{cluster.s3}/ensembles", timeout=10).raise_for_status()
        url = "s3://ensembles/runs/tiny.zarr"
    code, out, err = lsg("submit", tmp_path / "spec.yaml", "--out", url)
    assert code == 0, err
    assert "succeeded" in out
    log = [line for line in err.splitlines() if line.strip()]
    assert "submitted" in log[0]
    assert any("4 of 4 configurations" in line for line in log)
    assert len(log) == len(set(log))
    assert OBJECT_STORE["AWS_SECRET_ACCESS_KEY"] not in err + out

    said = []
    again = jobs.submit(SPEC, url, cluster.address, log=said.append)
    assert (again.status, again.exit_code, again.attached) == ("SUCCEEDED", 0, True)
    assert again.id.startswith("lsg-sample-tiny-")
    assert again.out == url
    assert "attached" in said[0]
    assert [found.id for found in jobs.job_list(cluster.address)] == [again.id]
    assert "4 of 4" in jobs.job_log(again.id, cluster.address)
    measured = ("submit", url, "--stage", "moments", "--out", f"{url}-m")
    code, _, err = lsg(*measured)
    assert code == 0, err

    # Only the cluster had the credentials until now.
    for name, value in {**OBJECT_STORE, "AWS_ENDPOINT_URL": cluster.s3 or ""}.items():
        monkeypatch.setenv(name, value)
    ensemble = open_ensemble(url)
    assert ensemble.spec == SPEC
    assert verify(url).ok
    assert len(ensemble.where("accuracy >= 0").numpy()) == 4
    assert open_result(f"{url}-m").attrs["count"] == 4
    if cluster.s3 is None:
        pytest.skip("passed on a disk; a server of S3 needs moto[s3] and flask")


def test_a_failing_job_says_why_and_the_next_attempt_can_be_stopped(lsg, cluster, tmp_path):
    store = cluster.folder / "a store; with 'odd' $(name).zarr"
    words = ("submit", tmp_path / "spec.yaml", "--out", store, "--set", "ensemble.threshold=1.0",
             "--set", "ensemble.give_up_after=3")  # fmt: skip
    without_ray = ("--", "--workers", "0")
    code, out, err = lsg(*words, *without_ray)
    assert (code, out) == (1, "")
    assert "failed with exit code 1" in err
    assert "0 of 3 trials" in err.rpartition("failed with exit code 1")[2]
    assert "Traceback" not in err
    assert (store / "zarr.json").is_file()

    code, out, err = lsg(*words, "--no-follow", "--json", *without_ray)
    assert code == 0, err
    id = next(job.id for job in jobs.job_list(cluster.address) if job.id.endswith("-2"))
    assert id in out
    code, out, err = lsg("jobs", "stop", id)
    assert code == 0, err
    assert jobs.job_status(id, cluster.address).status in ("STOPPED", "PENDING", "FAILED")


def test_a_job_that_cannot_start_ends_in_our_own_time(cluster):
    arguments = (SPEC, str(cluster.folder / "never.zarr"), cluster.address)
    began, said = time.monotonic(), []
    with pytest.raises(ClusterError, match=r"has not started in 1 s.*\n.*--driver-cpus"):
        jobs.submit(*arguments, driver_cpus=99, start_timeout=1)
    assert time.monotonic() - began < 20
    # Ray keeps it pending; it is not attached to.
    with pytest.raises(ClusterError, match="has not started"):
        jobs.submit(*arguments, driver_cpus=99, start_timeout=0.1, log=said.append)
    assert "never started" in said[0]
    assert "-2 submitted" in said[1]


def test_a_wrong_token_is_refused(cluster, lsg, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another-token-that-is-not-the-cluster-s")
    code, _, err = lsg("jobs", "list")
    assert code == 1
    assert "refuses the token" in err
    assert "another-token" not in err
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setattr(dashboard, "TOKEN_FILE", str(cluster.folder / "nothing"))
    code, _, err = lsg("jobs", "list")
    assert code == 1
    assert "asks for a token" in err


def test_an_unknown_job_is_bad_input(lsg):
    for words in (("status", "lsg-nothing"), ("logs", "lsg-nothing"), ("stop", "../../x")):
        code, _, err = lsg("jobs", *words)
        assert code == 2
        assert "jobs list" in err


def test_a_port_without_a_job_server_is_a_clear_error(lsg, cluster):
    with pytest.raises(ClusterError, match=r"no answer from http://127\.0\.0\.1:9"):
        jobs.job_list("http://127.0.0.1:9")
    if cluster.s3:
        with pytest.raises(ClusterError, match=cluster.s3):
            jobs.job_list(cluster.s3)
