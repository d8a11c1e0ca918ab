"""Text of strangers is shown and not obeyed, on one line each; secrets of URLs are masked."""

import json
import warnings

import pytest

from lsg_ray.cli import jobs as commands
from lsg_ray.cli.output import cell, plain, printable, show, shown_warnings, table
from lsg_ray.errors import ClusterError, InputError, SpecError, masked
from lsg_ray.results.seal import UnverifiedWarning

#: Sets the window's title; turns writing round; C1's CSI; ends lines; half a character.
HOSTILE = "a\x1b]0;owned\x07\x1b[2J\u202eb\x9b31m\nlsg: all is well\r\x85\u2028\ud800\x00\x7f"


def is_harmless(text: str) -> bool:
    return all(mark.isprintable() for mark in text)


def test_printable__escapes_all_that_a_terminal_obeys():
    result = printable(HOSTILE)
    assert is_harmless(result)
    assert r"\x1b]0;owned\x07" in result
    assert r"\u202e" in result
    assert printable("σ = −1, ½ … é") == "σ = −1, ½ … é"


def test_cells_and_tables__keep_to_their_lines():
    text = table({"name": HOSTILE, HOSTILE: {"x": HOSTILE, HOSTILE: 1}, "n": 10**4299})
    assert len(text.split("\n")) == 3
    assert all(map(is_harmless, text.split("\n")))
    assert cell(10**4299) == "about 2^14280"
    assert cell(-(10**30)) == "about -2^99"
    assert cell(1234567) == "1,234,567"
    assert cell([4, "a", {"n": 10**9999}, None]) == "[4, 'a', {'n': about 2^33215}, None]"


def test_show__keeps_lines_and_leaves_colours_out(capsys):
    show("\x1b[36m(worker)\x1b[0m one\r\ntwo\x1b]0;x\x07")
    assert capsys.readouterr().out == "(worker) one\ntwo\\x1b]0;x\\x07\n"


def test_warnings_of_ours__are_one_line(capsys):
    with shown_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"{HOSTILE}: unverified", UnverifiedWarning, stacklevel=1)
    printed = capsys.readouterr().err
    assert printed.startswith("lsg: warning: a")
    assert is_harmless(printed.rstrip("\n"))


SECRETS = (
    "s3://key:secret@bucket/x", "https://me:secret@host:8265/", "s3:/key:secret@bucket",
    "gs://a:b/secret@c@bucket/y", "http://secret@host", "HTTPS://u:secret@[::1]/x",
    "https://host/x?X-Amz-Signature=secret&n=1", "https://host/x?n=1&sig=secret",
    "ray://key:secret@head:10001", "redis://:secret@host",
)  # fmt: skip


@pytest.mark.parametrize("url", SECRETS)
def test_secrets_of_urls__are_masked(url):
    for text in (url, f"{url}: not there", f"at {url!r}, and {url}", f"{url}\n{url}"):
        assert "secret" not in masked(text)
        assert "secret" not in printable(text)
        assert "secret" not in str(InputError(text))
        assert "secret" not in str(SpecError([text], url))
        assert "secret" not in json.dumps(plain({text: [text, {"a": text}]}))
    assert masked("/data/a@b, memory://a@b, me@host, x = 1 & y = 2") == (
        "/data/a@b, memory://a@b, me@host, x = 1 & y = 2"
    )


@pytest.mark.parametrize("url", SECRETS)
@pytest.mark.parametrize(
    "words",
    [
        ["info", "{}"], ["verify", "{}"], ["query", "{}"], ["moments", "{}", "--out", "x"],
        ["sample", "{spec}", "--out", "{}"], ["run", "{spec}", "--out", "{}"], ["report", "{}"],
        ["sample", "{}", "--out", "x"], ["spec", "show", "{}"], ["tap", "{}", "--out", "x"],
        ["mc", "{}", "--references", "{}", "--out", "{}"], ["fit", "{}", "--out", "m"],
        ["moments", "{store}", "--out", "{}"],
        ["overlaps", "{store}", "--other", "{}", "--out", "x"],
        ["submit", "{spec}", "--address", "{}", "--out", "{}"], ["jobs", "list", "--address", "{}"],
        ["spec", "show", "{spec}", "--set", "name={}"], ["data", "fetch", "{}"],
    ],
    ids=lambda words: " ".join(words[:2]),
)  # fmt: skip
def test_no_command__repeats_the_secret_of_a_url(
    lsg, spec, store, tmp_path, monkeypatch, words, url
):
    monkeypatch.chdir(tmp_path)
    ran = lsg(*(word.format(url, spec=spec, store=store) for word in words), "--json")
    assert "secret" not in ran.out + ran.err
    assert ran.code in (0, 1, 2)


def changed(store, **attributes):
    """Change attributes of a store's root and take its digest away."""
    root = json.loads((store / "zarr.json").read_bytes())
    root["attributes"] |= attributes
    del root["attributes"]["digest"]
    (store / "zarr.json").write_text(json.dumps(root))


def test_info_and_verify__of_a_hostile_store(lsg, store):
    text = HOSTILE.replace("\ud800", "")  # half a character is refused as a whole
    changed(store, package_version=text, dataset_hash=text, derivation={text: text, "n": 10**999})
    (store / "a\x1b[2J\nb").write_text("")
    (store / "weights" / "a\u202eb").write_text("")
    for words in (["info", store], ["verify", store]):
        ran = lsg(*words)
        for printed in (ran.out, ran.err):
            assert all(map(is_harmless, printed.split("\n")))
        assert "lsg: all is well" not in ran.out.split("\n")
        assert "unverified" in ran.out
        assert is_harmless(lsg(*words, "--json").out.rstrip("\n"))
    assert lsg("info", store, "--json").json["package_version"] == text


def test_header_without_a_digest__is_said_to_be_unverified(lsg, store):
    assert lsg("info", store, "--json").json["header"] == "verified"
    changed(store)
    assert "unverified: zarr.json has no digest" in lsg("info", store).out
    ran = lsg("verify", store)
    assert ran.code == 0  # nobody can tell whether it has changed; all else is whole
    assert "note: unverified header: zarr.json has no digest" in ran.out


@pytest.mark.parametrize("version", [HOSTILE, [HOSTILE], {"a": HOSTILE}, 10**4000])
def test_errors__are_harmless(lsg, store, version):
    root = json.loads((store / "zarr.json").read_bytes())
    root["attributes"] |= {"format_version": version, "package_version": version}
    (store / "zarr.json").write_text(json.dumps(root))
    for words in (["info"], ["verify"], ["query"]):
        ran = lsg(*words, store)
        assert ran.code in (1, 2)
        assert all(map(is_harmless, (ran.out + ran.err).split("\n")))
        assert len(ran.err) < 20_000


def test_jobs_of_others__are_shown_on_one_line_each(lsg, monkeypatch):
    from lsg_ray.cluster import jobs
    from lsg_ray.cluster.jobs import JobStatus

    job = JobStatus(HOSTILE, "FAILED", HOSTILE, HOSTILE, 0.0, 1.0, 1, HOSTILE)
    monkeypatch.setattr(jobs, "job_list", lambda *_, **__: [job])
    monkeypatch.setattr(jobs, "job_status", lambda *_, **__: job)
    monkeypatch.setattr(jobs, "job_log", lambda *_, **__: HOSTILE)
    address = ("--address", "http://127.0.0.1:1")
    listed = lsg("jobs", "list", *address).out
    assert len(listed.rstrip("\n").split("\n")) == 2
    shown = lsg("jobs", "status", "x", *address).out
    assert len(shown.rstrip("\n").split("\n")) == len(JobStatus._fields)
    for text in (listed, shown, lsg("jobs", "logs", "x", *address).out):
        assert all(map(is_harmless, text.split("\n")))
    with pytest.raises(ClusterError):
        commands._conclude(job, False)


def deep(levels):
    tree = "x"
    for _ in range(levels):
        tree = {"a": tree}
    return tree


@pytest.mark.parametrize(
    "hostile",
    [
        {"derivation": deep(900)}, {"derivation": {"n": 10**4000}}, {"derivation": {"n": "\ud800"}},
        {"derivation": {"\udfff": 1}}, {"package_version": "\ud800"}, {"count": 10**4000},
        {"block_size": 10**300}, {"n_weights": -(10**4000)}, {"spec": deep(900)}, {"count": 1e308},
        {"dataset_hash": 10**4000}, {"format_version": deep(900)}, {"other": deep(100_000 // 200)},
    ],
    ids=lambda hostile: next(iter(hostile)),
)  # fmt: skip
def test_documents_beyond_all_use__are_one_line(lsg, store, hostile):
    changed(store, **hostile)
    for words in (["info"], ["verify"], ["query"], ["info", "--json"]):
        ran = lsg(*words, store)
        assert ran.code in (1, 2)
        printed = ran.err if words != ["verify"] else ran.out
        assert 1 <= len(printed.rstrip("\n").split("\n")) <= 2
        assert len(printed) < 2000


@pytest.mark.parametrize("family", ["figure", "scan"])
def test_figure_on_a_full_disk__is_named_and_nothing_is_half_written(tmp_path, monkeypatch, family):
    from pathlib import Path

    from lsg_ray.cli.stage_runs import draw
    from lsg_ray.errors import StoreError
    from lsg_ray.report.style import new_figure

    path = tmp_path / "f.png"
    if family == "scan":
        path.write_bytes(b"earlier")
    write = Path.write_bytes

    def full(self, data):
        write(self, data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match=r"f\.png: the figure could not be written: No space left"):
        draw(str(path), new_figure(1.0))
    assert [file.name for file in tmp_path.iterdir()] == ["f.png"] * (family == "scan")
    monkeypatch.undo()
    if family == "scan":
        assert path.read_bytes() == b"earlier"
    draw(str(path), new_figure(1.0))
    assert path.read_bytes().startswith(b"\x89PNG")
