"""Progress: on standard error alone, plain lines where there is no terminal, silence when quiet."""

import os
import pty
import subprocess
import sys

import pytest

from lsg_ray.cluster import progress as module
from lsg_ray.cluster.progress import byte_progress, progress, progress_bar


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when told to."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def lines(capsys):
    """Lines on standard error since the last call; standard output must stay clean."""

    def read() -> list[str]:
        out, err = capsys.readouterr()
        assert out == ""
        return err.splitlines()

    return read


def test_quiet__says_nothing(lines):
    with progress("work", 10, "quiet") as bar:
        for done in range(11):
            bar.update(done, "note")
    with byte_progress("quiet") as on_bytes:
        on_bytes("file", 5, 5)
    with progress_bar("blocks", "quiet") as report:
        report(2, 2)
    assert lines() == []


def test_lines__come_every_ten_seconds_and_at_the_end_once(clock, lines):
    with progress("work", 1000) as bar:
        for _ in range(25):
            clock.now += 1
            bar.update((clock.now - 1000) * 10, "2.00/s")
        assert lines() == [
            "work: 100/1,000, 2.00/s, 0:10 elapsed, 1:30 left",
            "work: 200/1,000, 2.00/s, 0:20 elapsed, 1:20 left",
        ]
        clock.now += 3600
        bar.update(1000)
        bar.update(1000)
    assert lines() == ["work: 1,000/1,000, 1:00:25 elapsed"]


def test_lines__of_a_resumed_run_estimate_by_what_this_run_gained(clock, lines):
    with progress("work", 100, done=50) as bar:
        clock.now += 1
        bar.update(51)
        clock.now += 9
        bar.update(60)
    assert lines() == ["work: 60/100, 0:10 elapsed, 0:40 left"]


def test_lines__compilation_is_no_part_of_the_rate(clock, lines):
    """A first unit that takes twenty seconds says nothing of those that come after it."""
    with progress("work", 200) as bar:
        clock.now += 20
        for _ in range(21):
            bar.update(bar_done := round((clock.now - 1020) * 2) + 1)
            clock.now += 1
    assert bar_done == 41
    assert lines() == [
        "work: 1/200, 0:20 elapsed",
        "work: 21/200, 0:30 elapsed, 1:29 left",
        "work: 41/200, 0:40 elapsed, 1:19 left",
    ]


def test_late__compilation_is_no_part_of_the_rate(clock, lines):
    with progress_bar("tasks") as report:
        for task, seconds in enumerate([30, 1, 1, 6, 1, 1, 1, 1, 1, 1], 1):
            clock.now += seconds
            report(task, 100)
    assert lines() == ["tasks: 6/100, 0:40 elapsed, 4:14 left"]


def test_lines__without_a_gain_have_no_estimate(clock, lines):
    with progress("work", 100, done=50) as bar:
        clock.now += 11
        bar.update(50)
    assert lines() == ["work: 50/100, 0:11 elapsed"]


def test_lines__nothing_for_an_instant(lines):
    with progress("work", 100) as bar:
        bar.update(1)
    assert lines() == []


def test_bytes__of_unknown_size_are_counted_without_a_whole(clock, lines):
    with byte_progress() as on_bytes:
        on_bytes("a.gz", 0, None)
        clock.now += 10
        on_bytes("a.gz", 123456, None)
        on_bytes("b.gz", 0, 2000)
        on_bytes("b.gz", 2000, 2000)
    assert lines() == ["a.gz: 123,456, 0:10 elapsed", "b.gz: 2,000/2,000, 0:00 elapsed"]


def test_late__learns_its_size_from_the_first_report(lines, monkeypatch):
    with progress_bar("blocks") as report:
        report(3, 3)
    assert lines() == []
    monkeypatch.setattr(module, "CONFIG", module.ProgressConfig(bar_seconds=0.0))
    with progress_bar("blocks") as report:
        report(1, 3)
        report(3, 3)
    assert lines() == ["blocks: 3/3, 0:00 elapsed"]
    with progress_bar("blocks"):
        pass
    assert lines() == []


TERMINAL = """
from lsg_ray.cluster.progress import byte_progress, progress
with progress("configurations", 1000, "auto", 250) as bar:
    bar.update(600, "7.50/s, acceptance 90.0%")
with byte_progress("auto") as on_bytes:
    on_bytes("images.gz", 1500, None)
print("the result")
"""


def test_terminal__gets_a_bar_and_standard_output_stays_clean():
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
    child = subprocess.Popen(
        [sys.executable, "-c", TERMINAL], stdout=subprocess.PIPE, stderr=follower, env=environment
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        shown += piece
        if not piece:
            break
    os.close(leader)
    assert child.communicate()[0] == b"the result\n"
    assert child.returncode == 0
    for words in ("configurations", " 600/1000", "7.50/s, acceptance 90.0%", "images.gz", "1.5"):
        assert words in shown.decode()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (61, "1:01"), (36_000, "10:00:00")]
)
def test_clock__reads(seconds, text):
    assert module._clock(seconds) == text


class Kernel:
    """The shell of a notebook, which keeps what a cell shows."""

    def __init__(self, monkeypatch):
        from types import SimpleNamespace

        self.kernel, self.display_pub, self.calls = object(), self, []
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: self))

    def publish(self, data, _metadata, *, transient, update):
        self.calls.append((data, transient["display_id"], update))


def test_notebook__one_bar_is_drawn_anew(clock, lines, monkeypatch):
    kernel = Kernel(monkeypatch)
    with progress("<work>", 1000, "notebook") as bar:
        for _ in range(80):
            clock.now += 0.125
            bar.update((clock.now - 1000) * 10, "a & b")
    assert lines() == []
    assert len({name for _, name, _ in kernel.calls}) == 1
    assert [update for _, _, update in kernel.calls] == [False] + [True] * (len(kernel.calls) - 1)
    assert 30 <= len(kernel.calls) <= 42
    last = kernel.calls[-1][0]
    assert last["text/plain"] == "<work>: 100/1,000, a & b, 0:10 elapsed, 1:30 left"
    assert "&lt;work&gt;" in last["text/html"]
    assert 'value="0.1000"' in last["text/html"]


def test_notebook__is_the_default_of_python_and_silent_elsewhere(lines, monkeypatch):
    with progress("work", 10, "notebook") as bar:
        bar.update(10)
    assert lines() == []
    kernel = Kernel(monkeypatch)
    with progress_bar("work", "quiet") as report:
        report(1, 2)
    with progress("bytes", None, "notebook") as bar:
        bar.update(7)
    assert len({name for _, name, _ in kernel.calls}) == 1
    assert "<progress style" in kernel.calls[-1][0]["text/html"]  # of unknown length


def test_late__of_unknown_length_is_counted_until_the_end(clock, lines):
    """A fit that does not know its steps reports a total of zero: it is not done at once."""
    with progress_bar("steps") as report:
        for step in range(1, 4):
            clock.now += 10
            report(step, 0)
    assert lines() == ["steps: 2, 0:20 elapsed", "steps: 3, 0:30 elapsed"]
