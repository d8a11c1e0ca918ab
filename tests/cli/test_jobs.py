"""What is submitted, to whom, and what becomes of it; without a cluster."""

import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lsg_ray.cli import jobs as commands
from lsg_ray.cli.main import cli
from lsg_ray.cli.scripts import run_stage
from lsg_ray.cluster import dashboard, jobs, request
from lsg_ray.cluster.dashboard import (
    Dashboard,
    Job,
    UnreachableError,
    auth_token,
    check_dashboard,
    readable_token,
)
from lsg_ray.cluster.request import plan_job, runtime_environment
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import ClusterError, InputError
from lsg_ray.paths import is_loopback
from lsg_ray.spec import Spec, load_spec, parse_spec
from lsg_ray.stages import job_stages

ROOT = Path(__file__).parents[2]
SCRIPTS = ("sample", "statistics", "fit", "scan", "landscape", "pipeline")
SECRETS = [
    "s3://AKIA:hush-hush@bucket/x",
    "s3://hush-hush@bucket/x",
    "https://account.example/x?sv=1&sig=hush-hush",
    "s3://bucket/x?X-Amz-Signature=hush-hush",
    "gs://bucket/x#access_token=hush-hush",
]


@pytest.fixture(autouse=True)
def no_token(monkeypatch, tmp_path):
    for name in ("MODE", "TOKEN", "TOKEN_PATH"):
        monkeypatch.delenv(f"RAY_AUTH_{name}", raising=False)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    monkeypatch.setattr(dashboard, "TOKEN_FILE", str(tmp_path / "auth_token"))


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


def test_the_id_of_a_job_is_that_of_its_run():
    spec = Spec(name="A.Run_1")
    job = plan_job(spec, "s3://bucket/a/")
    assert job.id.startswith("lsg-sample-a-run-1-")
    assert job.id == plan_job(Spec(name="A.Run_1"), "s3://bucket/a").id
    others = [
        plan_job(spec.replace(ensemble={"count": 7}), "s3://bucket/a"),
        plan_job(spec, "s3://bucket/b"),
        plan_job(spec, "s3://bucket/a", options=["--workers", "3"]),
        plan_job(spec, "/shared/a", "pipeline"),
    ]
    assert len({job.id, *(other.id for other in others)}) == 5
    assert job.metadata["lsg_spec_hash"] == spec.hash


@pytest.mark.parametrize(
    ("stage", "options", "line"),
    [
        ("sample", "", "sample spec.yaml --out s3://bucket/out"),
        ("moments", "--part LB", "moments SOURCE --out s3://bucket/out --part LB"),
        ("fit", "--method bp", "fit SOURCE --out s3://bucket/out --method bp"),
        ("scan", "--references s3://r", "scan SOURCE --out s3://bucket/out --references s3://r"),
        ("walk", "--steps 7", "walk SOURCE --out s3://bucket/out --steps 7"),
    ],
)
def test_each_stage_is_a_command_that_the_command_line_knows(stage, options, line):
    source = Spec() if stage == "sample" else "s3://bucket/in"
    job = plan_job(source, "s3://bucket/out", stage, options.split())
    assert " ".join(job.arguments) == line.replace("SOURCE", "s3://bucket/in")
    commands._check_arguments(list(job.arguments))


def test_a_pipeline_needs_a_disk():
    assert plan_job(Spec(), "/shared/run", "pipeline").arguments[0] == "run"
    with pytest.raises(InputError, match="disk"):
        plan_job(Spec(), "s3://bucket/run", "pipeline")


def test_all_stages_are_commands():
    with click.Context(cli) as context:
        for stage in job_stages():
            assert cli.get_command(context, "run" if stage == "pipeline" else stage) is not None
    assert commands.START_SECONDS == jobs.START_SECONDS


@pytest.mark.parametrize(
    ("source", "stage", "options", "match"),
    [
        ("s3://bucket/in", "sample", [], "reads a specification"),
        (Spec(), "fit", [], "reads a store or model"),
        ("s3://bucket/in", "statistics", [], "stage 'statistics' given; one of sample, pipeline"),
        ("in.zarr", "fit", [], "another machine"),
        (Spec(), "sample", ["a\nb"], "control characters"),
    ],
)
def test_what_does_not_fit_is_refused(source, stage, options, match):
    with pytest.raises(InputError, match=match):
        plan_job(source, "s3://bucket/out", stage, options)


@pytest.mark.parametrize("out", ["s3://bucket/in/", "s3://bucket", "s3://bucket/in/x"])
def test_what_is_read_is_not_written(out):
    with pytest.raises(InputError, match="is what is read"):
        plan_job("s3://bucket/in", out, "fit")


def test_names_of_files_are_refused_and_homes_are_absolute(monkeypatch):
    with pytest.raises(InputError, match=r"x\.npz given; a store is a folder"):
        plan_job(Spec(), "s3://bucket/x.npz")
    monkeypatch.setenv("HOME", "/home/me")
    assert plan_job(Spec(), "~/x").arguments[-1] == "/home/me/x"


@pytest.mark.parametrize(
    "out", ["out.zarr", "./x", "memory://x", "ftp://x/y", "/a\nb", "s3://bucket/../c"]
)
def test_places_that_mean_something_else_elsewhere_are_refused(out):
    with pytest.raises(InputError):
        plan_job(Spec(), out)


@pytest.mark.parametrize("url", SECRETS)
def test_secrets_are_refused_and_not_repeated(url):
    store, out = "s3://bucket/in", "s3://bucket/out"
    for arguments in (
        (Spec(), url),
        (url, out, "fit"),
        (store, out, "scan", ["--references", url]),
        (store, out, "scan", [f"--references={url}"]),
    ):
        with pytest.raises(InputError, match="environment") as error:
            plan_job(*arguments)
        assert "hush-hush" not in str(error.value)


def test_the_shell_sees_one_word_for_each():
    out = '/shared/a b\'; touch $(x) `y` "z" && θ'
    job = plan_job(Spec(), out, options=["--x=$HOME", "; reboot"])
    assert shlex.split(job.entrypoint)[3:] == [
        "sample", "spec.yaml", "--out", out, "--x=$HOME", "; reboot",
    ]  # fmt: skip


def test_the_specification_travels_alone():
    spec = parse_spec({"network": {"family": "relu"}, "ensemble": {"count": 3, "seed": 2**100}})
    with runtime_environment(spec, False) as environment:
        work = Path(environment["working_dir"])
        assert [path.name for path in work.iterdir()] == ["spec.yaml"]
        assert load_spec(work / "spec.yaml").hash == spec.hash
    assert not work.exists()
    with runtime_environment(None, False) as environment:
        assert environment == {}


def test_the_code_travels_without_caches(monkeypatch):
    with runtime_environment(None, True) as environment:
        (package,) = map(Path, environment["py_modules"])
        assert package.name == "lsg_ray"
        files = [path for path in package.rglob("*") if path.is_file()]
        assert package / "cli" / "__main__.py" in files
        assert {".j2", ".mplstyle"} <= {path.suffix for path in files}
        assert not any("__pycache__" in path.parts or path.name[0] == "." for path in files)
        assert sum(path.stat().st_size for path in files) < request.MAX_CODE_BYTES / 2
    monkeypatch.setattr(request, "MAX_CODE_BYTES", 10_000)
    with pytest.raises(InputError, match="MiB"), runtime_environment(None, True):
        pass


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


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("--out s3://bucket/x", "--address"),
        ("--out x.zarr HERE", "another machine"),
        ("--out s3://bucket/x --address http://10.0.0.1:8265", "no token"),
        ("--out s3://bucket/x --address 10.0.0.1", "http://HOST:8265"),
        ("--out s3://bucket/x HERE --stage x", "stage 'x' given"),
        ("--out s3://bucket/x HERE --set a.b=1", "a"),
        ("--out s3://bucket/x HERE -- --nonsense", "nonsense"),
        ("--out s3://bucket/x HERE -- --help", "own command"),
        ("--out s3://bucket/x HERE -- --out /y", "before the --"),
        ("--out s3://bucket/x HERE -- --set=ensemble.count=7", "before the --"),
        ("--out s3://bucket/x HERE --start-timeout nan", "start_timeout nan"),
        ("--out s3://bucket/x HERE --stage fit --count 3", "specifications"),
    ],
)
def test_bad_usage_sends_nothing(lsg, spec, words, match, monkeypatch):
    monkeypatch.setattr(dashboard, "_connect", lambda *_: pytest.fail("connected"))
    words = words.replace("HERE", "--address http://127.0.0.1:1")
    ran = lsg("submit", spec, *words.split())
    assert ran.code == 2, ran.err
    assert match in ran.err


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


def test_no_cluster_is_a_failure_in_one_json_object(lsg, spec):
    address = "http://127.0.0.1:9"
    ran = lsg("submit", spec, "--out", "s3://bucket/x", "--address", address, "--json")
    assert ran.code == 1
    assert ran.json["exit_code"] == 1


def test_failed_jobs_end_with_their_reason(lsg, spec, monkeypatch):
    failed = jobs.JobStatus(
        "lsg-x", "FAILED", "sample", "s3://bucket/x", 1.0, 2.0, 2, "lsg: why", True
    )
    monkeypatch.setattr(jobs, "submit", lambda *_, **__: failed)
    words = ("submit", spec, "--out", "s3://bucket/x", "--address", "http://127.0.0.1:9")
    ran = lsg(*words)
    assert (ran.code, ran.out) == (1, "")
    assert "lsg-x failed with exit code 2\nlsg: why" in ran.err
    done = failed._replace(status="SUCCEEDED", reason="")
    monkeypatch.setattr(jobs, "submit", lambda *_, **__: done)
    assert lsg(*words, "--json").json["status"] == "SUCCEEDED"


def test_lists_are_tables_or_json(lsg, monkeypatch):
    result = jobs.JobStatus("lsg-x", "RUNNING", "sample", "s3://bucket/x", 1.0, 2.0, None, "")
    monkeypatch.setattr(jobs, "job_list", lambda *_, **__: [result])
    words = ("jobs", "list", "--address", "http://127.0.0.1:9")
    assert "RUNNING" in lsg(*words).out
    assert lsg(*words, "--json").json["rows"][0]["id"] == "lsg-x"


def _stage(capsys, stage, *words):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run_stage(stage, [str(word) for word in words])
    return (stop.value.code, *capsys.readouterr())


def test_scripts_take_what_they_read_as_an_option_too(capsys, spec, tmp_path):
    store, moments = tmp_path / "s.zarr", tmp_path / "m.zarr"
    code, _, err = _stage(capsys, "sample", "--spec", spec, "--out", store, "--workers", "0")
    assert code == 0, err
    assert open_ensemble(store).n_complete == 6
    code, _, err = _stage(capsys, "statistics", "moments", f"--store={store}", "--out", moments)
    assert code == 0, err
    assert moments.is_dir()
    code, _, err = _stage(capsys, "statistics", "nonsense", store)
    assert code == 2
    code, _, err = _stage(capsys, "sample", "--spec")
    assert code == 2, err
    assert _stage(capsys, "statistics", "moments", "-h")[0] == 0


def test_scripts_run_from_a_checkout(tmp_path):
    code = f"""
import runpy, sys
for stage in {SCRIPTS!r}:
    script = {str(ROOT / "jobs")!r} + f"/{{stage}}.py"
    sys.path.insert(0, {str(ROOT / "jobs")!r})
    sys.argv = [script, "--help"]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
        assert stop.code == 0, stage
    import lsg_ray, statistics
    assert lsg_ray.__file__.startswith({str(ROOT)!r}), lsg_ray.__file__
    assert hasattr(statistics, "fmean"), statistics
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    usages = [line for line in ran.stdout.splitlines() if line.startswith("Usage:")]
    assert [usage.split()[1] for usage in usages] == [f"{stage}.py" for stage in SCRIPTS]
    assert "also be given as --spec" in ran.stdout
