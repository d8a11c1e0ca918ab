"""Kills and races: two writers, two drivers, a growing store, a reader beside a run."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lsg_ray.ensemble import writer
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.repair import Repair
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import create_ensemble, missing_blocks, write_block
from lsg_ray.errors import InputError, StoreError

from .synthetic import DATASET_HASH, fill, make_block, make_spec, memory_url, rows, with_columns

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(params=["memory", "local"])
def url(request, tmp_path):
    return memory_url() if request.param == "memory" else str(tmp_path / "ens ü.zarr")


def test_two_writers_that_disagree_leave_no_wrong_block(url, monkeypatch):
    spec = make_spec()
    create_ensemble(url, spec, dataset_hash=DATASET_HASH)
    block = make_block(spec, 0)
    other = with_columns(block, loss=block.columns["loss"] + np.float32(1))
    true_add = writer.add_record

    def overtaken(location, record):
        monkeypatch.setattr(writer, "add_record", true_add)
        write_block(url, 0, other)  # finishes between this writer's data and its record
        return true_add(location, record)

    monkeypatch.setattr(writer, "add_record", overtaken)
    with pytest.raises(StoreError, match="block 0 is complete with content"):
        write_block(url, 0, block)
    # The later writer's data stand, so both writers' blocks agree with the record or it is gone.
    assert verify(url).ok


def test_a_mixture_of_two_writers_is_withdrawn(url, monkeypatch):
    spec = make_spec()
    create_ensemble(url, spec, dataset_hash=DATASET_HASH)
    block = make_block(spec, 0)
    other = with_columns(block, loss=block.columns["loss"] + np.float32(1))
    true_add = writer.add_record

    def overtaken(location, record):
        monkeypatch.setattr(writer, "add_record", true_add)
        write_block(url, 0, other)
        location.write("loss/c.0", mine)  # this writer's own data land last
        return true_add(location, record)

    write_block(url, 0, block)
    mine = bytes(locate(url).read("loss/c.0"))
    writer.drop_block(locate(url), open_ensemble(url).header, 0)
    monkeypatch.setattr(writer, "add_record", overtaken)
    with pytest.raises(StoreError, match="block 0 is complete with content"):
        write_block(url, 0, block)
    assert 0 in missing_blocks(url)
    fill(url, spec)
    assert verify(url).ok


@pytest.mark.parametrize("stop_after", range(1, 14))
def test_growing_may_be_killed_anywhere(stop_after, monkeypatch):
    url = memory_url()
    fill(url, make_spec(count=37))
    location_type = type(locate(url))
    true_write, steps = location_type.write, []

    def counted(self, *arguments):
        steps.append(arguments)
        if len(steps) == stop_after:
            raise KeyboardInterrupt
        return true_write(self, *arguments)

    monkeypatch.setattr(location_type, "write", counted)
    try:
        create_ensemble(url, make_spec(count=70), dataset_hash=DATASET_HASH)
    except KeyboardInterrupt:
        pass
    else:
        assert len(steps) < stop_after
    monkeypatch.setattr(location_type, "write", true_write)
    ensemble = open_ensemble(url)
    np.testing.assert_array_equal(ensemble.numpy(), rows(37, 31)["weights"][: ensemble.n_rows])
    fill(url, make_spec(count=70))
    np.testing.assert_array_equal(open_ensemble(url).numpy(), rows(70, 31)["weights"])
    assert verify(url).ok


def test_a_late_writer_of_the_old_plan_cannot_finish_a_short_block(monkeypatch):
    url, small = memory_url(), make_spec(count=20)
    create_ensemble(url, small, dataset_hash=DATASET_HASH)
    true_add = writer.add_record

    def late(location, record):
        create_ensemble(url, make_spec(count=40), dataset_hash=DATASET_HASH)
        return true_add(location, record)

    monkeypatch.setattr(writer, "add_record", late)
    with pytest.raises(StoreError, match="the ensemble grew"):
        write_block(url, 1, make_block(small, 1))
    assert missing_blocks(url).tolist() == [0, 1, 2]


def test_a_short_block_of_an_ensemble_that_grew_is_told_as_that():
    url, small = memory_url(), make_spec(count=20)
    create_ensemble(url, small, dataset_hash=DATASET_HASH)
    create_ensemble(url, make_spec(count=40), dataset_hash=DATASET_HASH)
    assert write_block(url, 0, make_block(small, 0), count=20) == "written"
    with pytest.raises(StoreError, match=r"grew from 20 to 40 .* run again with --count 40"):
        write_block(url, 1, make_block(small, 1), count=20)
    with pytest.raises(InputError, match="block 1: trials"):
        write_block(url, 1, make_block(small, 1))


@pytest.mark.parametrize("first", ["record", "data"])
def test_short_and_long_writers_of_one_block_leave_the_long_one_or_none(first, url, monkeypatch):
    """The longer block is finished while the shorter one is between its data and its record."""
    small, large = make_spec(count=20), make_spec(count=40)
    create_ensemble(url, small, dataset_hash=DATASET_HASH)
    true_add = writer.add_record

    def overtaken(location, record):
        monkeypatch.setattr(writer, "add_record", true_add)
        if first == "record":
            assert true_add(location, record)
            # It stands just after the one who grows has looked for the last time.
            monkeypatch.setattr(writer.Location, "delete", lambda *_: None)
        create_ensemble(url, large, dataset_hash=DATASET_HASH)
        monkeypatch.undo()
        assert write_block(url, 1, make_block(large, 1), count=40) == "written"
        return first == "record" or true_add(location, record)

    monkeypatch.setattr(writer, "add_record", overtaken)
    with pytest.raises(StoreError, match="grew from 20 to 40"):
        write_block(url, 1, make_block(small, 1), count=20)
    assert verify(url).ok
    fill(url, large)
    assert verify(url).healthy == 3
    np.testing.assert_array_equal(open_ensemble(url).numpy(), rows(40, 31)["weights"])


def test_who_reads_goes_on_while_the_ensemble_grows(url):
    fill(url, make_spec(count=20))
    before = open_ensemble(url)
    create_ensemble(url, make_spec(count=40), dataset_hash=DATASET_HASH)
    np.testing.assert_array_equal(before.numpy(), rows(20, 31)["weights"])
    fill(url, make_spec(count=40))
    np.testing.assert_array_equal(before.numpy(), rows(20, 31)["weights"])
    with pytest.raises(StoreError, match="grew while it was read; open it again"):
        before.info()


def test_a_dropped_block_is_not_called_damaged(url, no_writer_lives):
    fill(url, make_spec())
    before = open_ensemble(url)
    writer.drop_block(locate(url), before.header, 2)
    with pytest.raises(StoreError, match=r"block 2 is not complete any more.* open the ensemble"):
        before.numpy()


@pytest.mark.parametrize("stop", ["data", "record"])
def test_repair_leaves_alone_what_a_writer_is_at(url, monkeypatch, stop):
    spec = make_spec()
    fill(url, spec, blocks=[0])
    location_type = type(locate(url))
    true_write, true_add, seen = location_type.write, writer.add_record, []

    def repaired():
        report = verify(url, repair=True)
        assert report.ok
        seen.extend(finding.kind for finding in report.findings)

    def write(self, key, data):
        true_write(self, key, data)
        if stop == "data" and key.startswith("loss"):
            repaired()

    def add(location, record):
        if stop == "record":
            repaired()
        return true_add(location, record)

    monkeypatch.setattr(location_type, "write", write)
    monkeypatch.setattr(writer, "add_record", add)
    write_block(url, 2, make_block(spec, 2))
    assert seen == ["unfinished"]
    monkeypatch.undo()
    assert verify(url).findings == ()
    assert open_ensemble(url).blocks.tolist() == [0, 2]


def test_a_block_that_is_finished_while_repair_looks_is_whole(url, monkeypatch, no_writer_lives):
    spec = make_spec()
    fill(url, spec, blocks=[0, 1])
    writer.drop_block(locate(url), open_ensemble(url).header, 1)
    locate(url).write("loss/c.1", b"?")
    true_repair = Repair.run

    def late(*arguments):
        fill(url, spec, blocks=[1])
        return true_repair(*arguments)

    monkeypatch.setattr(Repair, "run", late)
    assert verify(url, repair=True).findings == ()
    monkeypatch.undo()
    assert verify(url).healthy == 2


def test_a_driver_that_was_overtaken_before_it_looked_around_joins(tmp_path, monkeypatch):
    create_ensemble(tmp_path / "e", make_spec(), dataset_hash=DATASET_HASH)
    true_look, earlier = writer._has_root, [False]
    monkeypatch.setattr(
        writer, "_has_root", lambda place: earlier.pop() if earlier else true_look(place)
    )
    plan = create_ensemble(tmp_path / "e", make_spec(), dataset_hash=DATASET_HASH)
    assert not plan.created
    assert verify(tmp_path / "e").ok


def test_of_two_drivers_one_creates(url):
    barrier, plans = threading.Barrier(4), []

    def drive():
        barrier.wait()
        plans.append(create_ensemble(url, make_spec(), dataset_hash=DATASET_HASH))

    threads = [threading.Thread(target=drive) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [plan.created for plan in plans].count(True) == 1
    assert verify(url).ok


def python(script: str, *arguments: object) -> subprocess.Popen:
    source = f"import sys; sys.path.insert(0, {str(TESTS)!r})\n{script}"
    command = [sys.executable, "-c", source, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


WRITE_ALL = """
from ensemble.synthetic import make_block, make_spec, write_block
spec = make_spec(count=320)
for index in range(20):
    print(write_block(sys.argv[1], index, make_block(spec, index)))
"""


def test_two_processes_may_write_the_same_blocks(tmp_path):
    url, spec = tmp_path / "e.zarr", make_spec(count=320)
    create_ensemble(url, spec, dataset_hash=DATASET_HASH)
    writers = [python(WRITE_ALL, url) for _ in range(2)]
    outcomes = [writer.communicate(timeout=60)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    # The later one finds the record either at once or when it adds its own.
    for index in range(20):
        assert sorted(outcome[index] for outcome in outcomes) == ["present", "written"]
    assert verify(url).ok
    assert open_ensemble(url).complete


WRITE_FOREVER = """
from ensemble.synthetic import make_block, make_spec, write_block
from lsg_ray.ensemble.location import locate
spec = make_spec(count=320)
blocks = [make_block(spec, index) for index in range(20)]
print("ready", flush=True)
for index in range(20):
    write_block(sys.argv[1], index, blocks[index])
print("done", flush=True)
"""


def test_a_killed_writer_leaves_only_whole_blocks(tmp_path, no_writer_lives):
    spec = make_spec(count=320)
    for attempt, pause in enumerate((0.0, 0.004, 0.012)):
        url = tmp_path / f"{attempt}.zarr"
        create_ensemble(url, spec, dataset_hash=DATASET_HASH)
        writer = python(WRITE_FOREVER, url)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(pause)
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate(timeout=20)
        ensemble = open_ensemble(url)
        expected = rows(320, 31)["weights"].reshape(20, 16, 31)[ensemble.blocks].reshape(-1, 31)
        np.testing.assert_array_equal(ensemble.numpy(), expected)
        kinds = {finding.kind for finding in verify(url, repair=True).findings}
        assert kinds <= {"left-over data", "left-over file"}
        fill(url, spec)
        assert verify(url).ok
        np.testing.assert_array_equal(open_ensemble(url).numpy(), rows(320, 31)["weights"])


def test_a_block_without_its_record_is_not_there(url, monkeypatch):
    spec = make_spec()
    fill(url, spec, blocks=[0])
    monkeypatch.setattr(writer, "add_record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_block(url, 1, make_block(spec, 1))
    monkeypatch.undo()
    ensemble = open_ensemble(url)
    assert ensemble.blocks.tolist() == [0]
    with pytest.raises(InputError, match="block 1 was not complete"):
        ensemble.weights_block(1)
    fill(url, spec)
    assert verify(url).ok


def test_reading_while_a_run_writes(url):
    spec = make_spec(count=320)
    create_ensemble(url, spec, dataset_hash=DATASET_HASH)
    run = threading.Thread(target=fill, args=(url, spec))
    run.start()
    seen, whole = [], rows(320, 31)["weights"].reshape(20, 16, 31)
    while True:
        alive = run.is_alive()
        ensemble = open_ensemble(url)
        seen.append(ensemble.n_rows)
        np.testing.assert_array_equal(ensemble.numpy(), whole[ensemble.blocks].reshape(-1, 31))
        if not alive:
            break
        time.sleep(0.005)
    run.join()
    assert seen == sorted(seen)
    assert seen[-1] == 320
