"""The `lsg` command: exit codes, clean output, and nothing left behind by what is refused."""

import ast
import csv
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from lsg_ray import __version__
from lsg_ray.ensemble.reader import open_ensemble

from .conftest import content, listing

HEAVY = ("dask", "matplotlib", "numba", "ray", "sklearn", "torch", "xarray", "zarr")
LSG = Path(sys.executable).with_name("lsg")


# Starting


def test_help_and_version__answer_at_once():
    for option in ("--help", "--version"):
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            done = subprocess.run([LSG, option], capture_output=True, text=True)
            seconds.append(time.perf_counter() - began)
            assert (done.returncode, done.stderr) == (0, "")
        assert median(seconds) < 0.3
    assert done.stdout == f"lsg, version {__version__}\n"


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
    code = f"import sys, time\nbegan = time.perf_counter()\n{code}\n" + (
        "seconds = time.perf_counter() - began\n"
        f"print([n for n in {HEAVY} if n in sys.modules], seconds, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded, _, seconds = done.stderr.strip().rpartition(" ")
    assert loaded == "[]"
    assert float(seconds) < 0.5


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


# sample


def test_out__in_a_missing_folder_is_made(lsg, spec, tmp_path):
    ran = lsg("sample", spec, "--out", tmp_path / "a" / "b", "--workers", 0, "--count", 2)
    assert ran.code == 0
    assert open_ensemble(tmp_path / "a" / "b").n_complete == 2


def test_out__that_is_a_file_or_foreign_is_left_alone(lsg, spec, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    before = listing(tmp_path)
    for name, message in [
        ("file", "a file is in the way"),
        ("folder", "not empty and not an lsg-ray"),
    ]:
        ran = lsg("sample", spec, "--out", tmp_path / name, "--workers", 0)
        assert ran.code == 2
        assert message in ran.err
    assert listing(tmp_path) == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a place where not even root writes")
def test_out__that_cannot_be_written_is_one_line(lsg, spec, store):
    for words in (("sample", spec, "--workers", 0), ("moments", store)):
        ran = lsg(*words, "--out", "/proc/lsg")
        assert (ran.code, ran.out) == (1, "")
        assert len(ran.err.splitlines()) == 1
        assert "/proc/lsg" in ran.err


def test_sample_again__does_nothing(lsg, spec, store):
    before = listing(store)
    times = [file.stat().st_mtime_ns for file in sorted(store.rglob("*"))]
    ran = lsg("sample", spec, "--out", store, "--workers", 0, "--json")
    sampled = ran.json["sampled"]
    assert (sampled["rows"], sampled["trials"], sampled["resumed"]) == (0, 0, 6)
    assert listing(store) == before
    assert [file.stat().st_mtime_ns for file in sorted(store.rglob("*"))] == times


def test_sample_another_run__names_the_fields_and_changes_nothing(lsg, spec, store):
    before = listing(store)
    changes = ("--set", "training.epochs=3", "--set", "ensemble.seed=9", "--count", 5)
    ran = lsg("sample", spec, "--out", store, "--workers", 0, *changes)
    assert ran.code == 2
    for line in (
        "training.epochs: the store has 2, the spec 3",
        "ensemble.seed: the store has 0, the spec 9",
        "ensemble.count: the store has 6, the spec 5: it can only grow",
    ):
        assert line in ran.err.splitlines()
    assert listing(store) == before


def test_sample_more__grows_to_what_a_new_store_would_hold(lsg, spec, store, tmp_path):
    grown = lsg("sample", spec, "--out", store, "--workers", 0, "--count", 9, "--json")
    assert (grown.json["rows"], grown.json["sampled"]["rows"]) == (9, 3)
    new = lsg("sample", spec, "--out", tmp_path / "n", "--workers", 0, "--count", 9, "--json")
    assert new.json["content_hash"] == grown.json["content_hash"]
    assert lsg("verify", store).code == 0


def test_threshold_out_of_reach__exits_with_1_shows_what_was_seen_and_keeps_blocks(
    lsg, spec, store, tmp_path
):
    """The threshold lies between the accuracies of configurations 0 and 1."""
    first, second = open_ensemble(store).column("accuracy")[:2].tolist()
    assert second < first
    out = tmp_path / "out"
    words = ("sample", spec, "--out", out, "--workers", 0, "--set", "ensemble.block_size=1")
    words += ("--set", f"ensemble.threshold={(first + second) / 2}")
    words += ("--set", "ensemble.give_up_after=1")
    for _ in range(2):
        ran = lsg(*words)
        assert (ran.code, ran.out) == (1, "")
        assert "0 of 1 trials reached ensemble.threshold" in ran.err
        assert f"min {second:.4f}, quartiles" in ran.err
        assert "Lower ensemble.threshold" in ran.err
        assert open_ensemble(out).blocks.tolist() == [0]
    assert lsg(*words, "--json").json["exit_code"] == 1
    assert lsg("verify", out).code == 0


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


# run


def test_run__tells_its_stages_on_standard_error_and_its_result_on_output(
    lsg, spec, tmp_path, monkeypatch
):
    monkeypatch.setattr("lsg_ray.report.page.write_report", lambda path, *_: path / "report.html")
    words = ("run", spec, "--out", tmp_path / "r", "--workers", 0)
    ran = lsg(*words)
    assert (ran.code, ran.out.splitlines()[-1]) == (0, f"report: {tmp_path / 'r' / 'report.html'}")
    assert "moments: n_weights " in ran.out
    assert "entropy landscape: left_out Needs at least 50 configurations; there are 6." in ran.out
    assert max(map(len, ran.out.splitlines()[:-1])) <= 200
    stages = [line for line in ran.err.splitlines() if line.endswith(" ...")]
    names = ["sample", "verify", "moments", "overlaps", "distances", "map", "report"]
    assert [stage.split()[0] for stage in stages] == names
    again = lsg(*words, "--json")
    assert (again.code, again.err) == (0, "")
    assert again.json["rows"] == 6
    assert list(again.json["stage_seconds"]) == names
    assert again.json["failed"] == []
    assert again.json["study"]["moments"]["count"] == 6


def test_run__a_step_that_fails_is_exit_code_1_and_the_report_says_why(
    lsg, spec, tmp_path, monkeypatch
):
    from lsg_ray import study

    compute = study.compute

    def broken(stage, *inputs, **options):
        if stage.name == "overlaps":
            raise ValueError("of the second statistic")
        return compute(stage, *inputs, **options)

    monkeypatch.setattr(study, "compute", broken)
    ran = lsg("run", spec, "--out", tmp_path / "r", "--workers", 0)
    assert ran.code == 1
    assert "1 of 5 steps failed: overlaps; what is finished is kept" in ran.err
    assert "overlaps: failed ValueError: of the second statistic" in ran.out
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "No overlaps: ValueError: of the second statistic." in page
    assert "Magnetization" in page


# info, verify


@pytest.mark.parametrize("command", ["info", "verify", "query", "moments"])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing", "nothing there"),
        (".", "a directory without a store"),
        ("file", "not a directory"),
        ("zarr", "not an lsg-ray ensemble"),
        ("", "is not a path or URL of a store"),
        ("memory://nothing", "nothing there"),
    ],
)
def test_no_store__exits_with_2_and_says_what_is_there(
    lsg, tmp_path, monkeypatch, command, path, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "zarr").mkdir()
    (tmp_path / "zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    before = listing(tmp_path)
    ran = lsg(command, path, *(("--out", "m") if command == "moments" else ()))
    assert (ran.code, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert message in line
    assert listing(tmp_path) == before


def test_info__tells_what_the_store_holds(lsg, store):
    result = lsg("info", store, "--json").json
    assert result["url"] == str(store)
    assert (result["rows"], result["count"], result["complete"]) == (6, 6, True)
    lines = lsg("info", store).out.splitlines()
    assert [line.split()[0] for line in lines] == list(result)


def test_info__of_an_empty_store_has_no_numbers_made_up(lsg, spec, tmp_path):
    change = ("--set", "ensemble.threshold=1", "--set", "ensemble.give_up_after=1")
    assert lsg("sample", spec, "--out", tmp_path / "s", "--workers", 0, *change).code == 1
    result = lsg("info", tmp_path / "s", "--json").json
    assert (result["rows"], result["accuracy"], result["acceptance"]) == (0, None, None)
    assert lsg("query", tmp_path / "s", "--format", "json").out == "[]\n"
    assert lsg("moments", tmp_path / "s", "--out", tmp_path / "m").code == 2


def test_verify__names_a_flipped_byte_and_repair_makes_room_for_it(lsg, spec, store):
    whole = content(store)
    chunk = store / "weights" / "c.1.0"
    data = bytearray(chunk.read_bytes())
    data[2] ^= 4
    chunk.write_bytes(data)
    damaged = listing(store)

    ran = lsg("verify", store)
    assert ran.code == 1
    assert ran.out.startswith(f"{store}: 2 of 3 blocks whole, 0 missing, 4 configurations\n")
    assert "FOUND flipped bits: array 'weights', block 1: weights/c.1.0" in ran.out
    result = lsg("verify", store, "--json")
    assert (result.code, result.json["ok"], result.err) == (1, False, "")
    assert listing(store) == damaged
    assert lsg("query", store, "--columns", "weights").code == 1

    ran = lsg("verify", store, "--repair")
    assert ran.code == 0
    assert "repaired flipped bits" in ran.out
    assert (
        lsg("sample", spec, "--out", store, "--workers", 0, "--json").json["sampled"]["rows"] == 2
    )
    assert lsg("verify", store).code == 0
    assert content(store) == whole


# query


def test_query__formats_agree(lsg, store):
    words = ("query", store, "--where", "configuration >= 1", "--sort", "-accuracy", "--limit", 3)
    rows = lsg(*words, "--format", "json").json
    assert lsg(*words, "--json").json == {"count": 3, "rows": rows}
    assert len(rows) == 3
    assert [row["accuracy"] for row in rows] == sorted((r["accuracy"] for r in rows), reverse=True)
    comma = list(csv.DictReader(io.StringIO(lsg(*words, "--format", "csv").out)))
    assert [{name: float(value) for name, value in row.items()} for row in comma] == rows
    head, *lines = (line.split() for line in lsg(*words).out.splitlines())
    assert head == list(rows[0])
    for line, row in zip(lines, rows, strict=True):
        assert [float(cell) for cell in line] == pytest.approx(list(row.values()), rel=1e-5)
    widths = {len(line) for line in lsg(*words).out.splitlines()}
    assert len(widths) == 1


def test_query__weights_come_as_signs(lsg, store):
    rows = lsg("query", store, "--columns", "configuration, weights", "--format", "json").json
    weights = open_ensemble(store).numpy()
    for row, signs in zip(rows, weights, strict=True):
        assert [1 if mark == "+" else -1 for mark in row["weights"]] == signs.tolist()


def test_query__nothing_found_is_no_failure(lsg, store):
    words = ("query", store, "--where", "accuracy > 1")
    assert lsg(*words, "--json").json == {"count": 0, "rows": []}
    assert lsg(*words).out.split()[0] == "configuration"
    assert lsg(*words, "--format", "csv").out.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--where", "accuracy >"), "invalid syntax"),
        (("--where", "trial"), "this is a number; compare it with something"),
        (("--where", "__import__('os').system('touch pwned')"), "not allowed here"),
        (("--where", "acuracy > 1"), "acuracy"),
        (("--where", ""), "the condition is empty"),
        (("--columns", "accuracy,nope"), "unknown column 'nope'"),
        (("--columns", "accuracy,accuracy"), "named twice"),
        (("--columns", ""), "unknown column ''"),
        (("--sort", "nope"), "sort: unknown column 'nope'"),
        (("--sort", "weights"), "sort: unknown column 'weights'"),
        (("--limit", "0"), "'--limit'"),
    ],
)
def test_query__bad_words_exit_with_2(lsg, store, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    ran = lsg("query", store, *words)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert not (tmp_path / "pwned").exists()


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
