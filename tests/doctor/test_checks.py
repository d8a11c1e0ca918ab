"""`lsg doctor`: what it finds, on machines that are whole and on ones that are not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lsg_ray.kernels.compile  # noqa: F401 - refuses to load in some environments of the tests
from lsg_ray import doctor
from lsg_ray.cluster.session import _below
from lsg_ray.doctor import clusters, installation, machine, measured, storage
from lsg_ray.errors import InputError
from tests.cli.conftest import lsg  # noqa: F401 - a fixture

SECRET = "s3cr3t-of-this-test"


def states(checks) -> dict[str, str]:
    return {check.name: check.state for check in checks}


@pytest.fixture
def away(monkeypatch, tmp_path):
    """An environment without data, caches and clusters of this machine."""
    for name in (
        "LSG_DATA_DIR",
        "RAY_ADDRESS",
        *machine.THREAD_VARIABLES,
        *machine.NUMBA_VARIABLES,
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LSG_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def test_this_machine__has_no_problem(away, lsg):  # noqa: F811
    ran = lsg("doctor", "--json")
    assert ran.code == 0, ran.out
    found = {check["name"]: check for check in ran.json["checks"]}
    assert found["packages"]["state"] == found["processor"]["state"] == "ok"
    assert found["data set digits"]["state"] == "ok"
    assert found["data set mnist"]["remedy"] == "lsg data fetch mnist"
    assert ran.json["problem"] == 0
    assert ran.json["versions"]["lsg-ray"]
    text = lsg("doctor")
    assert text.code == 0
    assert all(len(line) <= 130 for line in text.out.splitlines())
    assert text.out.splitlines()[-1].startswith("0 problems, ")


def test_secrets__are_not_shown(away, lsg, monkeypatch):  # noqa: F811
    monkeypatch.setenv("RAY_ADDRESS", f"ray://user:{SECRET}@127.0.0.1:9")
    for name in ("RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, SECRET)
    for words in (("doctor",), ("doctor", "--json"), ("--version",)):
        ran = lsg(*words)
        assert SECRET not in ran.out + ran.err
    assert "AWS_SECRET_ACCESS_KEY" in lsg("doctor").out


def test_cluster_that_is_gone__is_a_problem(away, lsg, monkeypatch):  # noqa: F811
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    ran = lsg("doctor", "--json")
    found = {check["name"]: check for check in ran.json["checks"]}
    assert (ran.code, found["Ray cluster"]["state"]) == (1, "problem")
    assert "RAY_ADDRESS" in found["Ray cluster"]["seen"]


def test_what_cannot_be_examined__is_a_problem_and_not_the_end(away, monkeypatch):
    def broken():
        raise ImportError("no module\nnamed numba")

    def refused():
        raise InputError("NUMBA_CPU_FEATURES is wrong")

    monkeypatch.setattr(machine, "processor", broken)
    monkeypatch.setattr(machine, "threads", refused)
    found = {check.name: check for check in doctor.examine()}
    seen = "cannot be examined: ImportError: no module named numba"
    assert found["processor"].seen == seen
    assert found["threads"].seen == "cannot be examined: NUMBA_CPU_FEATURES is wrong"
    assert {found[name].state for name in ("processor", "threads")} == {"problem"}
    assert found["Ray"].state != "problem"


# Packages


def test_requirements__of_this_package_are_all_read():
    listed = [line for line in installation.metadata.requires("lsg-ray") if "extra" not in line]
    needed = [each for each in installation.requirements() if each.extra is None]
    assert len(needed) == len(listed) >= 20
    assert all(each.least for each in needed)


@pytest.mark.parametrize(
    ("versions", "fault"),
    [
        ({"numpy": "1.26.4"}, "numpy 1.26.4 is older than 2.0"),
        ({"ray": None}, "ray is not installed"),
    ],
)
def test_packages__missing_or_old_are_a_problem(monkeypatch, versions, fault):
    whole = installation.version_of
    monkeypatch.setattr(
        installation, "version_of", lambda name: versions[name] if name in versions else whole(name)
    )
    (check,) = installation.packages()
    assert check.state == "problem"
    assert fault in check.seen
    assert "pip install" in check.remedy


def test_extras__say_what_installs_them(monkeypatch):
    whole = installation.version_of
    gone = {"panel": None, "safetensors": None, "aiohttp": None}
    monkeypatch.setattr(
        installation, "version_of", lambda name: None if name in gone else whole(name)
    )
    found = {check.name: check for check in installation.extras()}
    assert found["extra explore"].state == found["extra exchange"].state == "absent"
    assert found["extra cluster"].state == "absent"  # of ray[default], whose own extra it is
    assert found["extra explore"].remedy == "pip install 'lsg-ray[explore]'"
    assert not {"extra test", "extra dev"} & set(found)


# The machine


@pytest.mark.parametrize(
    ("name", "value", "check", "state"),
    [
        ("OMP_NUM_THREADS", "100000", "threads", "warning"),
        ("OMP_NUM_THREADS", "0", "threads", "warning"),
        ("OMP_NUM_THREADS", "many", "threads", "warning"),
        ("OMP_NUM_THREADS", "1", "threads", "ok"),
        ("NUMBA_DISABLE_JIT", "1", "processor", "problem"),
        ("NUMBA_DISABLE_JIT", "0", "processor", "warning"),
        ("NUMBA_OPT", "0", "processor", "warning"),
    ],
)
def test_environment__that_slows_down_is_named(away, monkeypatch, name, value, check, state):
    monkeypatch.setenv(name, value)
    (found,) = {"threads": machine.threads, "processor": machine.processor}[check]()
    assert found.state == state
    assert (name in found.seen + found.remedy) or state == "ok"


def test_little_memory__names_how_many_workers_fit(monkeypatch):
    monkeypatch.setattr("lsg_ray.cluster.limits.available_memory", lambda: 3 * 2**29)
    monkeypatch.setattr("lsg_ray.cluster.limits.available_cpus", lambda: 64)
    found = {check.name: check for check in machine.memory()}
    assert found["memory"].state == "warning"
    assert found["memory"].remedy.startswith("--workers 1,")


def test_few_open_files__are_a_warning(monkeypatch):
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    (found,) = machine.open_files()
    assert (found.state, found.remedy) == ("warning", "ulimit -n 65536, for many workers")


# Folders


def test_damaged_data__is_a_warning_that_names_the_file(away, monkeypatch):
    (away / "mnist").mkdir()
    (away / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"none")
    monkeypatch.setenv("LSG_DATA_DIR", str(away))
    found = {check.name: check for check in storage.data_sets()}
    assert found["data set mnist"].state == "warning"
    assert "t10k-images" in found["data set mnist"].seen
    monkeypatch.setenv("LSG_DATA_DIR", str(away / "none"))
    assert states(storage.data_sets()) == {"data sets": "problem"}


def test_cache__that_may_not_be_written_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("lsg_ray.kernels.compile.CACHE_FOLDER", str(tmp_path / "none"))
    assert states(storage.compiled_kernels()) == {"compiled kernels": "warning"}
    monkeypatch.setattr("lsg_ray.kernels.compile.CACHE_FOLDER", str(tmp_path))
    (found,) = storage.compiled_kernels()
    assert (found.state, "none yet" in found.seen) == ("ok", True)
    assert list(tmp_path.iterdir()) == []


# Ray


def test_private_ray__is_started_and_leaves_nothing_behind(away, monkeypatch):
    before = _below(os.getpid())
    monkeypatch.setattr(clusters, "START_SECONDS", 600.0)  # other tests may hold the CPUs
    found = {check.name: check for check in clusters.of_ray(start=True)}
    assert found["private Ray"].state == "ok", found
    assert _below(os.getpid()) <= before


def test_private_ray__that_does_not_start_in_time_is_stopped(away, monkeypatch):
    before = _below(os.getpid())
    monkeypatch.setattr(clusters, "START_SECONDS", 0.5)
    assert clusters._started().state == "problem"
    monkeypatch.setattr(clusters, "_TRY", "raise SystemExit('no raylet')")
    monkeypatch.setattr(clusters, "START_SECONDS", 60.0)
    found = clusters._started()
    assert (found.state, found.seen) == ("problem", "no raylet")
    assert _below(os.getpid()) <= before


# Rates, and what is loaded


def test_speed__is_that_of_work_that_was_done(away, monkeypatch):
    monkeypatch.setattr(measured, "SECONDS", 0.05)
    monkeypatch.chdir(away)
    found = {check.name: check.seen for check in measured.speed()}
    products = float(found["speed of products"].split()[0])
    training = float(found["speed of training"].split()[-2])
    assert 0 < training < 100 * products
    assert list(away.iterdir()) == []


def test_version__reads_metadata_alone():
    code = (
        "import sys\nfrom lsg_ray.cli.main import main\n"
        "try: main(['--version'])\nexcept SystemExit as stop: assert stop.code == 0\n"
        "print(*[n for n in ('numpy', 'numba', 'torch', 'ray', 'zarr') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, loaded = done.stdout.split("\n")[:2]
    assert loaded == ""
    assert version.startswith("lsg-ray ")
    assert all(f"{name} " in version for name in ("python", *installation.SHOWN, "platform"))


def test_nothing_is_written(away, lsg, monkeypatch):  # noqa: F811
    monkeypatch.chdir(away)
    assert lsg("doctor").code == 0
    assert [path for path in Path(away).rglob("*") if path.is_file()] == []
