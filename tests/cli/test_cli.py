"""The `lsg` command: exit codes, clean output, and nothing left behind by what is refused."""

import ast
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from lsg_ray import __version__
from lsg_ray.ensemble.reader import open_ensemble

from .conftest import listing

HEAVY = ("dask", "matplotlib", "numba", "ray", "sklearn", "torch", "xarray", "zarr")
LSG = Path(sys.executable).with_name("lsg")


# Starting


def _children_seconds() -> float:
    """Return the CPU time of processes that were waited for: the same on a busy machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def slowness():
    """How much slower this machine is now than one that loads NumPy and pydantic in 0.25 s."""
    code = "import time; import numpy, pydantic; pydantic.BaseModel; print(time.process_time())"
    return max(1.0, float(subprocess.check_output([sys.executable, "-c", code])) / 0.25)


def test_help_and_version__answer_at_once():
    for option in ("--help", "--version"):
        seconds = []
        for _ in range(5):
            began = _children_seconds()
            done = subprocess.run([LSG, option], capture_output=True, text=True)
            seconds.append(_children_seconds() - began)
            assert (done.returncode, done.stderr) == (0, "")
        assert median(seconds) < 0.3 * slowness()
    assert done.stdout.startswith(f"lsg-ray {__version__}, python ")


@pytest.mark.parametrize(
    "code",
    [
        "import lsg_ray",
        "import lsg_ray.cli",
        "from lsg_ray.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "import lsg_ray; lsg_ray.Spec, lsg_ray.load_spec",
    ],
)
def test_start__loads_nothing_heavy(code):
    code = f"import sys, time\nbegan = time.process_time()\n{code}\n" + (
        "seconds = time.process_time() - began\n"
        f"print([n for n in {HEAVY} if n in sys.modules], seconds, file=sys.stderr)"
    )
    for _ in range(3):  # caches that others use too cost CPU time as well
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        loaded, _, seconds = done.stderr.strip().rpartition(" ")
        assert loaded == "[]"
        if float(seconds) < 0.5:
            break
    assert float(seconds) < 0.5 * slowness()


def test_every_public_name__is_there():
    import lsg_ray

    assert set(lsg_ray.__all__) <= set(dir(lsg_ray))
    assert all(callable(getattr(lsg_ray, name)) for name in lsg_ray.__all__)
    with pytest.raises(AttributeError, match="attribute smaple"):
        _ = lsg_ray.smaple


def test_every_command__has_help_of_one_line_that_fits(lsg):
    assert lsg().code == 2
    page = lsg("--help").out
    for command in (
        "data",
        "canonicalize",
        "distances",
        "embed",
        "info",
        "moments",
        "overlaps",
        "permute",
        "query",
        "report",
        "run",
        "sample",
        "spec",
        "verify",
    ):
        assert f"\n  {command} " in page
        assert lsg(command, "-h").code == 0


# --json


def test_json__is_one_document_and_nothing_else(lsg, spec, store, tmp_path):
    commands = {
        ("sample", spec, "--out", store, "--workers", 0): "sampled",
        ("sample", spec, "--out", tmp_path / "new", "--workers", 0, "--count", 2): "sampled",
        ("info", store): "content_hash",
        ("verify", store): "findings",
        ("query", store): "rows",
        ("query", store, "--format", "csv"): "rows",
        ("moments", store, "--out", tmp_path / "m"): "mean_abs_m",
        ("spec", "show", spec): "hash",
        ("spec", "schema"): "properties",
        ("data", "list"): "datasets",
        ("data", "fetch", "digits"): "folder",
    }
    for words, key in commands.items():
        ran = lsg(*words, "--json")
        assert (ran.code, ran.err) == (0, ""), words
        assert ran.out.count("\n") == 1
        assert key in ran.json


def test_json__of_a_failure_is_one_document_too(lsg, spec, store, tmp_path):
    commands = [
        ("sample", spec, "--out", store, "--workers", 0, "--set", "ensemble.seed=1"),
        ("sample", spec, "--out", tmp_path / "x", "--set", "ensemble.count=many"),
        ("run", spec, "--out", spec),
        ("info", tmp_path),
        ("query", store, "--where", "accuracy >"),
        ("query", store, "--limit", "0"),
        ("moments", store, "--out", store),
        ("report", tmp_path),
        ("data", "fetch", "nothing"),
        ("nonsense",),
    ]
    for words in commands:
        ran = lsg(*words, "--json")
        assert (ran.code, ran.json["exit_code"]) == (2, 2), words
        assert ran.out.count("\n") == 1
        assert ran.json["error"] in ran.err
        assert ran.err


def test_progress__goes_to_standard_error(lsg, spec, tmp_path):
    ran = lsg("sample", spec, "--out", tmp_path / "s", "--workers", 0)
    assert ran.code == 0
    assert ran.err.startswith("configurations: 6/6, ")
    (line,) = ran.out.splitlines()
    assert line.startswith(f"{tmp_path / 's'}: 6 of 6 configurations, 6 sampled now (")


# Bad usage


@pytest.mark.parametrize(
    "words",
    [
        ("sample",),
        ("sample", "SPEC"),
        ("sample", "SPEC", "--out", "OUT", "--count", "0"),
        ("sample", "SPEC", "--out", "OUT", "--count", "x"),
        ("sample", "SPEC", "--out", "OUT", "--workers", "-1"),
        ("sample", "SPEC", "--out", "OUT", "--nonsense"),
        ("sample", "SPEC", "--out", "OUT", "--set", "ensemble.count"),
        ("sample", "SPEC", "--out", "memory://x"),
        ("sample", "SPEC", "--out", "http://host/x"),
        ("sample", "SPEC", "--out", ""),
        ("sample", "none.yaml", "--out", "OUT"),
        ("run", "SPEC"),
        ("run", "SPEC", "--out", "s3://bucket/run"),
        ("run", "SPEC", "--out", "OUT", "--count", "1"),
        ("moments", "STORE"),
        ("query", "STORE", "--format", "xml"),
        ("spec", "show"),
        ("spec", "nonsense"),
    ],
    ids=" ".join,
)
def test_bad_usage__exits_with_2_and_creates_nothing(
    lsg, spec, store, tmp_path, monkeypatch, words
):
    paths = {"SPEC": spec, "STORE": store, "OUT": tmp_path / "out"}
    monkeypatch.chdir(tmp_path)
    before = listing(tmp_path)
    ran = lsg(*(paths.get(word, word) for word in words))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert listing(tmp_path) == before


def test_bad_spec__one_line_a_fault_and_nothing_created(lsg, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("network: {leaky_slope: 7}\nensemble: {count: 0, oops: 1}\ntraining: 3")
    for command in ("run", "sample"):
        ran = lsg(command, bad, "--out", tmp_path / "out", "--set", "ensemble.draws=x")
        assert (ran.code, ran.out) == (2, "")
        lines = ran.err.removeprefix("lsg: ").splitlines()
        assert len(lines) == 5
        assert all(line.startswith(f"{bad}: ") for line in lines)
    assert os.listdir(tmp_path) == ["bad.yaml"]


@pytest.mark.parametrize(
    "change", ["dataset.train_examples=99999", "network.family=relu", "ensemble.count=2000000000"]
)
def test_spec_that_cannot_be_run__creates_nothing(lsg, spec, tmp_path, change):
    ran = lsg("sample", spec, "--out", tmp_path / "out", "--workers", 0, "--set", change)
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_out_of_memory__is_a_message(lsg, spec, tmp_path, monkeypatch):
    def sample(*arguments, **options):
        raise MemoryError("Unable to allocate 149. GiB")

    monkeypatch.setattr("lsg_ray.cluster.sample.sample", sample)
    ran = lsg("sample", spec, "--out", tmp_path / "s", "--json")
    assert ran.code == 1
    assert ran.err.startswith("lsg: out of memory: Unable to allocate 149. GiB; what is finished")
    assert ran.err.count("\n") == 1
    assert ran.json["exit_code"] == 1


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("lsg_ray.ising.targets.open_archive", ("fit", "IN.npz", "--out", "OUT")),
        ("lsg_ray.ising.model.open_archive", ("tap", "IN.npz", "--out", "OUT")),
        ("lsg_ray.ising.targets.signs", ("fit", "IN", "--out", "OUT")),
    ],
)
def test_out_of_memory__is_never_called_bad_input(lsg, tmp_path, monkeypatch, path, words):
    def fail(*_arguments, **_options):
        raise MemoryError("Unable to allocate 149. GiB")

    (tmp_path / "IN.npz").write_bytes(b"")
    (tmp_path / "IN").mkdir()
    monkeypatch.setattr(path, fail)
    paths = {"IN.npz": tmp_path / "IN.npz", "IN": tmp_path / "IN", "OUT": tmp_path / "OUT"}
    ran = lsg(*(paths.get(word, word) for word in words))
    assert (ran.code, "out of memory" in ran.err) == (1, True), ran.err


def test_no_handler__takes_a_lack_of_memory_for_something_else():
    """`except Exception` would catch MemoryError too, and call it a damaged file."""
    import lsg_ray

    for source in Path(lsg_ray.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Try):
                kinds = [ast.unparse(one.type) if one.type else "" for one in node.handlers]
                if "Exception" in kinds:
                    earlier = " ".join(kinds[: kinds.index("Exception")])
                    assert "MemoryError" in earlier, f"{source}:{node.lineno}"


# spec, data


def test_spec_show__gives_a_spec_that_is_the_same_run(lsg, spec, tmp_path):
    shown = lsg("spec", "show", spec, "--set", "ensemble.seed=3", "--count", 7).out
    (tmp_path / "shown.yaml").write_text(shown)
    ran = lsg("spec", "show", tmp_path / "shown.yaml", "--json").json
    assert shown.endswith(f"# spec hash: {ran['hash']}\n")
    assert (ran["spec"]["ensemble"]["seed"], ran["spec"]["ensemble"]["count"]) == (3, 7)


def test_spec_schema__is_json_either_way(lsg):
    assert lsg("spec", "schema").json == lsg("spec", "schema", "--json").json


def test_data_list__names_what_is_here(lsg):
    assert "digits             1437 + 360" in lsg("data", "list").out


# Pipes and signals: processes of their own


@pytest.mark.parametrize(
    ("words", "code"),
    [(["query", "--format", "csv"], 1), (["info", "--json"], 1), (["info", "--json", "x"], 2)],
)
def test_broken_pipe__ends_without_a_word(store, words, code):
    """The reader is gone before the first byte, as with ``| head -0``."""
    path = [] if "x" in words else [store]
    child = subprocess.Popen([LSG, *words, *path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    err = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait() == code
    assert "Traceback" not in err
    assert "Exception" not in err
    assert (err == "") == (code == 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_behind_standard_output__is_a_message(store):
    with open("/dev/full", "w") as full:
        for extra in ([], ["--json"]):
            done = subprocess.run(
                [LSG, "query", store, *extra], stdout=full, stderr=subprocess.PIPE, text=True
            )
            assert (done.returncode, done.stderr) == (1, "lsg: output: No space left on device\n")


def test_interrupt__exits_with_130_and_the_resumed_store_is_as_undisturbed(lsg, spec, tmp_path):
    words = ["sample", spec, "--workers", "0", "--count", "24"]
    words += ["--set", "ensemble.block_size=1", "--set", "training.epochs=40"]
    store = tmp_path / "s"
    child = subprocess.Popen(
        [LSG, *words, "--out", store],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets jobs in the background ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (store / "ledger" / "00000001.json").exists():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "lsg: interrupted; run the same command again to resume"
    assert "Traceback" not in err
    kept = open_ensemble(store).n_complete
    assert 2 <= kept < 24
    resumed = lsg(*words, "--out", store, "--json").json
    assert resumed["sampled"]["resumed"] == kept
    assert lsg("verify", store).code == 0
    undisturbed = lsg(*words, "--out", tmp_path / "u", "--json").json
    assert resumed["content_hash"] == undisturbed["content_hash"]
