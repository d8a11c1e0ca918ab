"""Addresses and tokens of a job server, and what is none; without a cluster."""

import pytest

from lsg_ray.cluster import dashboard
from lsg_ray.cluster.dashboard import auth_token, check_dashboard, readable_token
from lsg_ray.errors import ClusterError, InputError
from lsg_ray.paths import is_loopback

pytestmark = pytest.mark.usefixtures("no_token")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1"]
)
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["localhost.evil.com", "evil-localhost", "127.0.0.1.evil.com", "127.1", "2130706433", "0x7f.1",
     "0.0.0.0", "::", "::ffff:127.0.0.1", "10.0.0.1", "localhost.", "", "127.0.0.01"],
)  # fmt: skip
def test_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:8265", "http://localhost", "http://[::1]:8265", "https://ray.example.com",
     "https://10.0.0.1:443/ray/head"],
)  # fmt: skip
def test_addresses_that_need_no_token(address):
    assert check_dashboard(address + "/", None) == address


@pytest.mark.parametrize("address", ["http://10.0.0.1:8265", "http://localhost.evil.com"])
def test_plain_http_to_another_machine_needs_a_token(address):
    with pytest.raises(InputError, match=r"RAY_AUTH_TOKEN.*--insecure"):
        check_dashboard(address, None)
    assert check_dashboard(address, "token") == address
    assert check_dashboard(address, None, allow_insecure=True) == address
    assert readable_token(address, "token")
    assert not readable_token(address.replace("http:", "https:"), "token")
    assert not readable_token("http://127.0.0.1:8265", "token")


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1:8265", "ray://127.0.0.1:10001", "auto", "http://", "http://:8265",
     "http://127.0.0.1:99999", "http://127.0.0.1:0", "http://127.0.0.1:x", "file:///x",
     "http://127.0.0.1\\@evil.com", "http://evil.com#@127.0.0.1", "http://127.0.0.1 .evil.com",
     "http://user:hush-hush@127.0.0.1:8265", "http://127.0.0.1/?token=hush-hush",
     "http://127.0.0.1\n", "HTTP://10.0.0.1", "http://-x"],
)  # fmt: skip
def test_other_addresses_are_refused_and_secrets_not_repeated(address):
    with pytest.raises(InputError, match="http://HOST:8265") as error:
        check_dashboard(address, "token", allow_insecure=True)
    assert "hush-hush" not in str(error.value)


def test_the_token_is_where_ray_keeps_it(monkeypatch, tmp_path):
    assert auth_token() is None
    (tmp_path / "auth_token").write_text("of-home\n")
    assert auth_token() == "of-home"
    (tmp_path / "other").write_text("of-path")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "other"))
    assert auth_token() == "of-path"
    monkeypatch.setenv("RAY_AUTH_TOKEN", " of-variable ")
    assert auth_token() == "of-variable"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert auth_token() is None


def test_a_bad_token_is_refused_and_not_repeated(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "hush\nhush")
    with pytest.raises(InputError, match="RAY_AUTH_TOKEN is not one line") as error:
        auth_token()
    assert "hush" not in str(error.value)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="nothing cannot be read"):
        auth_token()


@pytest.mark.parametrize("answer", [None, [], 3, {}, [None], {"a": 1}])
def test_json_of_another_shape_is_no_job_server(answer, monkeypatch):
    models = pytest.importorskip("ray.dashboard.modules.job.pydantic_models")

    class Client:
        def list_jobs(self):
            return [models.JobDetails(**job) for job in answer]

        def get_job_info(self, _id):
            return models.JobDetails(**answer)

    monkeypatch.setattr(dashboard, "_connect", lambda *_: Client())
    server = dashboard.Dashboard("http://127.0.0.1:1")
    with pytest.raises(ClusterError, match="does not answer as a Ray job server"):
        server.job("lsg-x")
    if answer not in ([], {}):
        with pytest.raises(ClusterError, match="does not answer as a Ray job server"):
            server.jobs()
