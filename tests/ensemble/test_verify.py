"""Every kind of damage is named, repaired and refilled; healthy blocks are never touched."""

import json
import re
import shutil

import numpy as np
import pytest
import zarr

from lsg_ray.ensemble import verify as verify_module
from lsg_ray.ensemble.conflicts import stored_content
from lsg_ray.ensemble.header import DIGEST_ATTRIBUTES
from lsg_ray.ensemble.ledger import record_key
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import create_ensemble
from lsg_ray.errors import StoreError, StoreInputError

from .synthetic import DATASET_HASH, fill, make_spec, memory_url, rows

SPEC = make_spec(count=60)
pytestmark = pytest.mark.usefixtures("no_writer_lives")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "e"
    fill(path, SPEC)
    return path


@pytest.fixture
def path(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "e")


def flip(file, place=9):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def edit(file, **changes):
    """Change a record as another program could, which knows nothing of its last field."""
    record = json.loads(file.read_text())
    record.pop("digest", None)
    file.write_text(json.dumps({**record, **changes}))


def rewrite_weights(path):
    """Change one weight so that all checksums hold, as another program could."""
    array = zarr.open_array(str(path / "weights"), mode="r+")
    array[32:48] = array[32:48] ^ 1


def rewrite(path, name, value):
    """Change one number so that checksums and content hash hold, as a program of ours could."""
    zarr.open_array(str(path / name), mode="r+")[35] = value
    header = open_ensemble(path).header
    content = stored_content(locate(path), header, 2)
    edit(path / RECORD, content=content)


def set_padding(path):
    array = zarr.open_array(str(path / "weights"), mode="r+")
    array[32:48] = array[32:48] | np.array([0, 0, 0, 0x80], np.uint8)


RECORD = record_key(2)

# What is done to a store, the kind of finding, words of its message, block 2 is lost by repair.
DAMAGE = {
    "flipped byte": (lambda p: flip(p / "weights/c.2.0"), "flipped bits", "'weights', block 2", 1),
    "flipped checksum": (lambda p: flip(p / "loss/c.2", -1), "flipped bits", "CRC32C", 1),
    "truncated": (
        lambda p: (p / "trial/c.2").write_bytes(b"123"),
        "truncated chunk",
        "array 'trial', block 2: trial/c.2 holds 3 bytes, must hold 68",
        1,
    ),
    "zero length": (
        lambda p: (p / "loss/c.2").write_bytes(b""),
        "truncated chunk",
        "holds 0 bytes",
        1,
    ),
    "missing": (lambda p: (p / "epochs/c.2").unlink(), "missing chunk", "'epochs', block 2", 1),
    "no record": (lambda p: (p / RECORD).unlink(), "left-over data", "block 2: no record", 1),
    "other content": (rewrite_weights, "content", "the record says", 1),
    "nan loss": (lambda p: rewrite(p, "loss", np.nan), "values", "holds nan at row 3 .* finite", 1),
    "negative trial": (lambda p: rewrite(p, "trial", -1), "values", "holds -1 .* be 0 to", 1),
    "accuracy above 1": (lambda p: rewrite(p, "accuracy", 1.5), "values", "1.5 .* be 0 to 1", 1),
    "nan accuracy": (lambda p: rewrite(p, "accuracy", np.nan), "values", "'accuracy', block 2", 1),
    "infinite polarization": (lambda p: rewrite(p, "polarization", -np.inf), "values", "-inf", 1),
    "padding bits": (set_padding, "content", "bits beyond the last weight", 1),
    "garbled record": (lambda p: (p / RECORD).write_text("{"), "record", "block 2", 1),
    "empty record": (lambda p: (p / RECORD).write_bytes(b""), "record", "block 2", 1),
    "binary record": (lambda p: (p / RECORD).write_bytes(b"\xff\0"), "record", "block 2", 1),
    "record of another block": (
        lambda p: shutil.copy(p / record_key(1), p / RECORD),
        "record",
        "has block 1, must be 2",
        1,
    ),
    "tampered content": (lambda p: edit(p / RECORD, content="0" * 64), "content", "000000", 1),
    "tampered rows": (lambda p: edit(p / RECORD, rows=15), "record", "trials: 18 given for 15", 1),
    "tampered trials": (lambda p: edit(p / RECORD, trials=19), "record", "19 given for 16", 1),
    "tampered summary": (
        lambda p: edit(p / RECORD, accuracy={"min": 0, "mean": 1, "max": 1}),
        "content",
        "summary of the accuracy",
        1,
    ),
    "extra field": (lambda p: edit(p / RECORD, note="x"), "record", "note", 1),
    "record without data": (
        lambda p: [chunk.unlink() for chunk in p.glob("*/c.2*")],
        "missing chunk",
        "block 2",
        1,
    ),
    "record beyond the plan": (
        lambda p: shutil.copy(p / RECORD, p / record_key(4)),
        "record",
        "there are only 4 blocks",
        0,
    ),
    "chunk beyond the plan": (
        lambda p: shutil.copy(p / "loss/c.2", p / "loss/c.9"),
        "left-over data",
        "block 9: no record, but loss/c.9",
        0,
    ),
    "staged chunk": (lambda p: (p / "loss/c.2#1").touch(), "left-over file", "loss/c.2#1", 0),
    "staged record": (lambda p: (p / f"{RECORD}#12").touch(), "left-over file", "#12", 0),
    "partial of zarr": (
        lambda p: (p / f"weights/c.2.{'0a' * 16}.partial").touch(),
        "left-over file",
        "partial",
        0,
    ),
    "missing metadata": (lambda p: (p / "loss/zarr.json").unlink(), "metadata", "is missing", 0),
    "garbled metadata": (
        lambda p: (p / "loss/zarr.json").write_text("[" * 9999),
        "metadata",
        "not readable JSON",
        0,
    ),
    "wrong shape": (
        lambda p: edit(p / "loss/zarr.json", shape=[61]),
        "metadata",
        r"array 'loss': loss/zarr.json: shape is \[61\], must be \[60\]",
        0,
    ),
    "wrong type": (
        lambda p: edit(p / "trial/zarr.json", data_type="int64"),
        "metadata",
        "data_type is .int64.",
        0,
    ),
    "wrong chunks": (
        lambda p: edit(p / "loss/zarr.json", chunk_grid={"name": "regular"}),
        "metadata",
        "chunk_grid",
        0,
    ),
    "no ledger metadata": (lambda p: (p / "ledger/zarr.json").unlink(), "metadata", "'ledger'", 0),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named_repaired_and_refilled(path, case):
    damage, kind, words, lost = DAMAGE[case]
    bystanders = {
        file: file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and ".2" not in file.name and "02.json" not in file.name
    }
    damage(path)
    report = verify(path)
    assert not report.ok
    assert {finding.kind for finding in report.findings} == {kind}
    assert re.search(words, report.findings[0].message)
    assert report.to_dict()["ok"] is False
    assert report.sound is kind.startswith("left-over")
    repaired = verify(path, repair=True)
    assert repaired.ok
    assert all(finding.repaired for finding in repaired.findings)
    assert repaired.missing == lost
    after = verify(path)
    assert after.ok
    assert after.findings == ()
    assert after.missing == lost
    assert open_ensemble(path).missing_blocks.tolist() == [2] * lost
    fill(path, SPEC)
    assert verify(path).ok
    np.testing.assert_array_equal(open_ensemble(path).numpy(), rows(60, 31)["weights"])
    for file, content in bystanders.items():
        if file.name == "zarr.json":
            assert json.loads(file.read_bytes()) == json.loads(content)
        else:
            assert file.read_bytes() == content


@pytest.mark.parametrize("name", ["thesis.tex", "weights/c.x", "loss/c.1.0", "loss/c.02", "x/y"])
def test_foreign_files_are_named_and_never_deleted(path, name):
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text("mine")
    for repair in (False, True):
        report = verify(path, repair=repair)
        assert [(finding.kind, finding.key) for finding in report.findings] == [
            ("foreign file", name)
        ]
        assert not report.ok
    assert (path / name).read_text() == "mine"
    assert report.healthy == 4


def test_links_and_staged_strangers_are_foreign(path, tmp_path):
    (path / "thesis#1").touch()
    (path / "link").symlink_to(tmp_path)
    report = verify(path, repair=True)
    assert {finding.kind for finding in report.findings} == {"foreign file"}
    assert (path / "thesis#1").exists()


def test_a_sound_store_is_sound_also_when_incomplete():
    url = memory_url()
    create_ensemble(url, SPEC, dataset_hash=DATASET_HASH)
    assert verify(url).ok
    fill(url, SPEC, blocks=[3, 1])
    progress = []
    report = verify(url, progress=lambda done, total: progress.append((done, total)))
    assert report.ok
    assert (report.blocks, report.healthy, report.missing, report.rows) == (4, 2, 2, 28)
    assert progress == [(1, 2), (2, 2)]
    assert json.loads(json.dumps(report.to_dict()))["findings"] == []


def test_several_kinds_of_damage_at_once(path):
    flip(path / "weights/c.0.0")
    (path / "loss/c.0").unlink()
    (path / "trial/c.3").write_bytes(b"")
    (path / record_key(1)).unlink()
    (path / "loss/c.1#1").touch()
    report = verify(path)
    assert {(finding.kind, finding.block) for finding in report.findings} == {
        ("flipped bits", 0),
        ("missing chunk", 0),
        ("left-over data", 1),
        ("left-over file", None),
        ("truncated chunk", 3),
    }
    assert report.healthy == 1
    assert verify(path, repair=True).missing == 3
    fill(path, SPEC)
    assert verify(path).ok


def test_a_lost_header_is_named_and_cannot_be_repaired(path):
    for spoil in (lambda f: f.write_text("{"), lambda f: f.write_text("{}"), lambda f: f.unlink()):
        spoil(path / "zarr.json")
        report = verify(path, repair=True)
        assert [finding.kind for finding in report.findings] == ["metadata"]
        assert not report.ok


def test_a_contradictory_header_is_named(path):
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["count"] = 61
    (path / "zarr.json").write_text(json.dumps(document))
    report = verify(path)
    assert "count is 61, the spec says 60; it cannot be repaired" in report.findings[0].message


def test_what_is_no_store_is_an_input_error(tmp_path):
    zarr.create_group(str(tmp_path / "foreign"))
    for name in ("foreign", "none"):
        with pytest.raises(StoreInputError):
            verify(tmp_path / name)


def test_a_damaged_record_stops_info_and_writing(path):
    (path / RECORD).write_text("{")
    with pytest.raises(StoreError, match=r"block 2: ledger/00000002\.json is not a record"):
        open_ensemble(path).info()
    with pytest.raises(StoreError, match=r"block 2: ledger/00000002\.json is not a record"):
        fill(path, SPEC, blocks=[2])


def test_a_repair_that_is_killed_leaves_no_half_block(path, monkeypatch):
    flip(path / "weights/c.2.0")
    location_type = type(locate(path))
    for stop_after in range(1, 9):
        true_delete, steps = location_type.delete, []

        def counted(self, key, steps=steps, stop_after=stop_after, true_delete=true_delete):
            steps.append(key)
            if len(steps) == stop_after:
                raise KeyboardInterrupt
            true_delete(self, key)

        monkeypatch.setattr(location_type, "delete", counted)
        with pytest.raises(KeyboardInterrupt):
            verify(path, repair=True)
        monkeypatch.setattr(location_type, "delete", true_delete)
        assert 2 in open_ensemble(path).missing_blocks or stop_after == 1
    assert verify(path, repair=True).ok


def test_a_block_dropped_while_verifying_is_no_finding(path, monkeypatch):
    true_check = verify_module.check_block

    def dropping(location, header, block):
        (path / record_key(2)).unlink(missing_ok=True)
        return true_check(location, header, block)

    monkeypatch.setattr(verify_module, "check_block", dropping)
    assert verify(path).healthy == 3


def test_every_flipped_bit_of_records_and_metadata_is_noticed(path):
    """What may be written in more than one way excepted: it means the same."""
    known = verify(path).content_hash
    texts = [RECORD, "zarr.json", "weights/zarr.json"]
    for file in (path / text for text in texts):
        whole = file.read_bytes()
        meant = json.loads(whole)
        for bit in range(0, 8 * len(whole), 61):
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            file.write_bytes(data)
            try:
                report = verify(path)
            except StoreInputError:  # no longer a store of ours
                continue
            if report.findings:
                continue
            assert report.content_hash == known
            found = json.loads(bytes(data))
            if file.name == "zarr.json":  # what Zarr and others may add is not ours to judge
                for name in set(meant) & set(found) - {"attributes"}:
                    assert found[name] == meant[name] or name == "consolidated_metadata"
                ours = {
                    name: v for name, v in found["attributes"].items() if name in DIGEST_ATTRIBUTES
                }
                assert ours == {
                    n: v for n, v in meant["attributes"].items() if n in DIGEST_ATTRIBUTES
                }
            else:
                assert found == meant
        file.write_bytes(whole)


def test_a_folder_in_the_place_of_a_file_is_named_and_the_rest_repaired(path):
    for key in (record_key(2), "accuracy/c.3"):
        (path / key).unlink()
        (path / key).mkdir()
        (path / key / "thesis").touch()
    (path / "loss" / "c.1").write_bytes(b"?")
    report = verify(path, repair=True)
    told = {finding.block: finding for finding in report.findings if finding.block is not None}
    assert told[1].repaired
    assert not told[3].repaired
    assert "remove it" in told[3].message
    assert not report.ok
    assert (path / "accuracy/c.3/thesis").exists()
