"""Counters of the workers: what is counted, and that nothing can fail for it."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from lsg_ray.cluster import metrics


class Counter:
    """Refuses what Ray's counter refuses."""

    def __init__(self):
        self.total = 0

    def inc(self, value):
        if value <= 0:
            raise ValueError(value)
        self.total += value


@pytest.fixture
def counters(monkeypatch):
    made = [Counter() for _ in metrics.METRICS]
    monkeypatch.setattr(metrics, "_counters", lambda: made)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))
    return made


def test_record_block__adds_up(counters):
    metrics.record_block(10, 40, 1000)
    metrics.record_block(5, 5, 0)
    totals = dict(zip(metrics.METRICS, [counter.total for counter in counters], strict=True))
    assert totals == {
        "lsg_configurations_accepted_total": 15,
        "lsg_trials_total": 45,
        "lsg_blocks_done_total": 2,
        "lsg_bytes_written_total": 1000,
    }


def test_record_block__another_was_quicker(counters):
    metrics.record_block(0, 0, 0)
    assert [counter.total for counter in counters] == [0, 0, 0, 0]


def test_record_block__never_fails(counters, monkeypatch):
    def broken():
        raise RuntimeError("no agent")

    monkeypatch.setattr(metrics, "_counters", broken)
    metrics.record_block(10, 40, 1000)


def test_record_block__no_session(counters, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    metrics.record_block(10, 40, 1000)
    assert [counter.total for counter in counters] == [0, 0, 0, 0]


def test_record_block__does_not_import_ray():
    code = (
        "import sys; from lsg_ray.cluster.metrics import record_block; "
        "record_block(1, 1, 1); assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_counters__as_ray_has_them():
    made = metrics._counters()
    assert made is metrics._counters()
    assert [counter.info["name"] for counter in made] == list(metrics.METRICS)
    assert all(not counter._discard_metric for counter in made)
