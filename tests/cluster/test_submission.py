"""What becomes of a job, told by a server in this process."""

import pytest

from lsg_ray.cluster import jobs, request
from lsg_ray.cluster.dashboard import Dashboard, Job, UnreachableError
from lsg_ray.errors import ClusterError
from lsg_ray.spec import Spec

pytestmark = pytest.mark.usefixtures("no_token")


class Server(Dashboard):
    """A job server with a few jobs, in this process; states in the order that they are told."""

    def __init__(self, **states):
        self.address, self.token = "http://127.0.0.1:1", None
        self.states = {id.replace("_", "-"): list(printed) for id, printed in states.items()}
        self.stopped, self.sent, self.began, self.logs = [], [], 1e10, ["one\ntwo\nthr", "ee\n"]

    def job(self, id):
        if id not in self.states:
            return None
        printed = self.states[id]
        state = printed.pop(0) if len(printed) > 1 else printed[0]
        if isinstance(state, Exception):
            raise state
        return Job(id, state, "said:\nlsg: no luck", {}, self.began, None, None)

    def log(self, _):
        self.text = getattr(self, "text", "") + (self.logs.pop(0) if self.logs else "")
        return self.text

    def submit(self, id, **request):
        self.sent.append((id, request))
        taken = id in self.states
        self.states.setdefault(id, ["PENDING"])
        return not taken

    def stop(self, id):
        self.stopped.append(id)


def _submit(server, **options):
    options = {"again": False, "with_code": False, "driver_cpus": 0, "start_timeout": 9, **options}
    job = request.JobRequest("run", ("sample",), {"a": "b"}, Spec())
    return jobs._submitted(server, job, lambda _: None, **options)


def test_a_run_is_submitted_once():
    server = Server()
    assert _submit(server, driver_cpus=2) == ("run", False)
    assert _submit(server) == ("run", True)
    ((id, sent),) = server.sent
    assert id == "run"
    assert sent["entrypoint_num_cpus"] == 2
    assert sent["entrypoint"] == "python -m lsg_ray.cli sample"
    assert set(sent["runtime_env"]) == {"working_dir"}
    assert sent["metadata"] == {"a": "b"}


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "SUCCEEDED"])
def test_a_run_under_way_or_done_is_attached_to(state):
    assert _submit(Server(run=[state])) == ("run", True)
    assert _submit(Server(run=["FAILED"], run_2=[state])) == ("run-2", True)


def test_a_failed_run_is_tried_again_under_the_next_id():
    assert _submit(Server(run=["FAILED"])) == ("run-2", False)
    assert _submit(Server(run=["FAILED"], run_2=["STOPPED"])) == ("run-3", False)
    assert _submit(Server(run=["SUCCEEDED"]), again=True) == ("run-2", False)
    assert _submit(Server(run=["RUNNING"]), again=True) == ("run", True)


def test_a_run_that_never_started_is_given_up():
    server = Server(run=["PENDING"])
    server.began = 1.0
    assert _submit(server) == ("run-2", False)
    assert server.stopped == ["run"]


def test_two_submits_at_once_share_a_job(monkeypatch):
    server = Server()
    server.states["run"] = ["RUNNING"]
    looks = iter([False])  # the other's job is there only at the second look
    monkeypatch.setattr(
        server, "job", lambda id: Server.job(server, id) if next(looks, True) else None
    )
    assert _submit(server) == ("run", True)
    assert len(server.sent) == 1


@pytest.fixture
def no_sleep(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(jobs.time, "sleep", lambda s: clock.__setitem__(0, clock[0] + s))


def test_whole_lines_are_passed_on_once(no_sleep):
    lines = []
    server = Server(run=["PENDING", "RUNNING", "RUNNING", "FAILED"])
    job = jobs._follow(server, "run", 60, print, lines.append)
    assert lines == ["one", "two", "three"]
    assert (job.status, job.done) == ("FAILED", False)
    assert job.reason.endswith("lsg: no luck")


def test_a_job_that_does_not_start_is_stopped(no_sleep):
    server = Server(run=["PENDING"])
    with pytest.raises(ClusterError, match="not started in 60 s"):
        jobs._follow(server, "run", 60, print, print)
    assert server.stopped == ["run"]


def test_a_lost_connection_is_waited_for_and_then_told(no_sleep):
    lost, said = UnreachableError("no answer"), []
    server = Server(run=["RUNNING", *[lost] * 5, "RUNNING", "SUCCEEDED"])
    assert jobs._follow(server, "run", 60, said.append, print).done
    assert len(said) == 1
    assert "trying again" in said[0]
    with pytest.raises(ClusterError, match=r"No answer for 120 s.*jobs status run"):
        jobs._follow(Server(run=["RUNNING", lost]), "run", 60, print, print)


def test_a_forgotten_job_is_told(no_sleep):
    with pytest.raises(ClusterError, match="knows no job run"):
        jobs._follow(Server(), "run", 60, print, print)


def test_interrupted_following_says_how_to_go_on(monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    said = []
    monkeypatch.setattr(jobs.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        jobs._follow(Server(run=["RUNNING"]), "run", 60, said.append, print)
    assert "lsg jobs logs run --follow" in said[0]


def test_reasons_are_the_job_s_own():
    message = (
        "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 "
        "chars):\n2026-01-01 INFO job_manager.py:581 -- Runtime env is setting up.\n"
        "Running entrypoint for job x: python -m lsg_ray.cli\n\nlsg: bad luck"
    )
    assert jobs._reason(message) == "lsg: bad luck"
    assert "--with-code" in jobs._reason("No module named 'lsg_ray'")
    assert jobs._reason("runtime_env setup failed: x") == "runtime_env setup failed: x"
