"""What is old enough that no writer can be at it; a server of S3, and a local run beside it."""

import pytest

from lsg_ray.cli import main
from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble import remote, writer
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.spec import parse_spec

from .s3 import BUCKET, SPEC, make_bucket, moto_server, using


@pytest.fixture
def no_writer_lives(monkeypatch):
    """Let data without a record count as a dead writer's at once."""
    monkeypatch.setattr(writer, "LIVE_SECONDS", float("-inf"))


@pytest.fixture(scope="session")
def server():
    with moto_server() as endpoint:
        make_bucket(endpoint, BUCKET)
        yield endpoint


@pytest.fixture
def s3(server):
    """The server, with credentials for it in the environment."""
    with using(server):
        yield server


@pytest.fixture
def url(request):
    """A place of its own for each test."""
    name = "".join(mark if mark.isalnum() else "-" for mark in request.node.name)
    return f"s3://{BUCKET}/tests/{name}/e ü.zarr"


@pytest.fixture
def hasty(monkeypatch):
    """Limits of seconds instead of minutes."""
    config = remote.RemoteConfig(
        retry_seconds=1.5, first_retry_seconds=1.0, stall_seconds=0.5, first_pause_seconds=0.02
    )
    monkeypatch.setattr(remote, "CONFIG", config)


@pytest.fixture(scope="session")
def local_run(tmp_path_factory):
    """Content of the small run on a local disk."""
    store = tmp_path_factory.mktemp("undisturbed") / "s.zarr"
    sample(parse_spec(SPEC), store, workers=0)
    return open_ensemble(store)


@pytest.fixture
def lsg(capsys):
    """Run a command in this process; return its exit code, output and messages."""

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return stop.value.code, out, err

    return run
