"""`lsg info`, `lsg verify` and `lsg query`."""

import csv
import io

import pytest

from lsg_ray.ensemble.reader import open_ensemble

from .conftest import content, listing

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


def test_a_result__is_no_store_and_not_called_damaged(lsg, store, tmp_path):
    assert lsg("sign-consistency", store, "--out", tmp_path / "r.zarr").code == 0
    for words in (("info",), ("verify",), ("melting", "--out", tmp_path / "m.zarr")):
        ran = lsg(words[0], tmp_path / "r.zarr", *words[1:])
        assert ran.code == 2
        assert "a result ('sign consistency'), and no ensemble" in ran.err
        assert ran.err.count("\n") == 1
