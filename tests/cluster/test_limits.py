"""CPUs and memory of containers, as Linux tells them in cgroups of both versions."""

import pytest

from lsg_ray.cluster import limits


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Files of a system: {path below the root: text}."""

    def make(own: str, meminfo: str = "MemAvailable: 8388608 kB", **files: str):
        for name, text in {"own": own, "meminfo": meminfo, **files}.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(limits, "CGROUPS", tmp_path)
        monkeypatch.setattr(limits, "OWN", tmp_path / "own")
        monkeypatch.setattr(limits, "_MEMORY", tmp_path / "meminfo")
        monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)

    def files(tree):
        for name, text in tree.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    make.files = files
    return make


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("max 100000", 64), ("", 64)],
)
def test_cpus__of_a_container(system, quota, cpus):
    system("0::/")
    system.files({"cpu.max": quota})
    assert limits.available_cpus() == cpus


def test_cpus__the_smallest_limit_on_the_way_holds(system):
    system("0::/a/b/c")
    system.files({"a/cpu.max": "300000 100000", "a/b/c/cpu.max": "max 100000"})
    assert limits.cpu_quota() == 3.0


def test_cpus__of_version_1_and_paths_of_the_host(system):
    """In a container the path is the host's, which is not there; its own root counts."""
    system("4:cpu,cpuacct:/docker/f00\n3:memory:/docker/f00\n0::/")
    system.files({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"})
    assert (limits.cpu_quota(), limits.available_cpus()) == (2.5, 3)
    system.files({"cpu/cpu.cfs_quota_us": "-1\n"})
    assert limits.cpu_quota() is None


def test_memory__is_what_the_container_leaves(system):
    system("0::/x")
    assert limits.available_memory() == 8 * 2**30
    system.files({
        "x/memory.max": str(4 * 2**30), "x/memory.current": str(3 * 2**30),
        "x/memory.stat": f"anon 5\ninactive_file {2**30}\n", "memory.max": "max",
    })  # fmt: skip
    assert limits.available_memory() == 2 * 2**30


def test_system_without_cgroups(system, tmp_path):
    system("0::/")
    (tmp_path / "own").unlink()
    (tmp_path / "meminfo").unlink()
    assert (limits.cpu_quota(), limits.available_memory()) == (None, None)
    assert limits.available_cpus() == 64
