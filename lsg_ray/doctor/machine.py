"""Processor, threads, memory, open files and GPU of this machine."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from lsg_ray.doctor.check import Check, size, whole_number
from lsg_ray.doctor.installation import version_of

#: Features of processors that the kernels gain from, as LLVM calls them, widest first.
FEATURES = {
    "x86_64": ("avx512f", "avx512vpopcntdq", "avx2", "fma", "popcnt"),
    "aarch64": ("sve", "neon"),
    "arm64": ("sve", "neon"),
}
#: Variables that limit the threads of libraries.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
#: Variables of numba that change what is compiled.
NUMBA_VARIABLES = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT", "NUMBA_DISABLE_JIT")
#: Memory of a worker and of Ray's servers, and what is left to them at least: bytes.
WORKER_BYTES, RAY_BYTES = 300 * 2**20, 2**30
#: Open files below which many workers fail.
LEAST_OPEN_FILES = 1024


def processor() -> Sequence[Check]:
    """Return the model of the processor, and what kernels are compiled for."""
    from lsg_ray.kernels.compile import has_feature
    from lsg_ray.kernels.compile import processor as compiled_for
    from lsg_ray.kernels.vectors import BYTES

    kind = platform.machine()
    there = [name for name in FEATURES.get(kind.lower(), ()) if has_feature(name)]
    seen = (
        f"{model()}; kernels are compiled for {compiled_for()}, vectors of {8 * BYTES} bits, with "
        f"{', '.join(there) or 'no vectors'}"
    )
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        remedy = "unset NUMBA_DISABLE_JIT"
        return [Check("processor", "problem", f"{seen}; kernels are not compiled", remedy)]
    changed = [name for name in NUMBA_VARIABLES if os.environ.get(name)]
    if changed:
        seen = f"{seen}; changed by {', '.join(changed)}"
        return [Check("processor", "warning", seen, "unset them, for the speed of this machine")]
    if kind == "x86_64" and "avx2" not in there:
        remedy = "nothing is wrong; another machine may be several times as fast"
        return [Check("processor", "warning", f"{seen}; no AVX2", remedy)]
    return [Check("processor", "ok", seen)]


def model() -> str:
    """Return the name of the processor, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def threads() -> Sequence[Check]:
    """Return how many CPUs this process may use, and what limits the threads of libraries."""
    from lsg_ray.cluster.limits import allowed_cpus, available_cpus, cpu_quota

    quota, allowed, used = cpu_quota(), allowed_cpus(), available_cpus()
    seen = f"{used} of {os.cpu_count()} CPUs"
    if allowed < (os.cpu_count() or 1):
        seen += f", {allowed} by affinity"
    if quota is not None:
        seen += f", {quota:g} by the limit of the container (cgroup)"
    given = {name: value for name in THREAD_VARIABLES if (value := whole_number(name)) is not None}
    seen += "".join(f"; {name}={value}" for name, value in given.items())
    wrong = [name for name, value in given.items() if not value.isdigit() or int(value) == 0]
    if wrong:
        return [Check("threads", "warning", seen, f"unset {', '.join(wrong)}, or give a number")]
    many = [name for name, value in given.items() if int(value) > used]
    if many:
        remedy = f"unset {', '.join(many)}: more threads than CPUs are slower"
        return [Check("threads", "warning", seen, remedy)]
    return [Check("threads", "ok", seen)]


def memory() -> Sequence[Check]:
    """Return the memory that is left, and that of shared memory, which Ray's objects lie in."""
    from lsg_ray.cluster.limits import available_cpus, available_memory

    there, cpus = available_memory(), available_cpus()
    checks = []
    needed = RAY_BYTES + cpus * WORKER_BYTES
    if there is None:
        checks.append(Check("memory", "ok", "the system does not tell how much is free"))
    elif there < needed:
        remedy = f"--workers {max(0, (there - RAY_BYTES) // WORKER_BYTES)}, or end other programs"
        seen = f"{size(there)} free; {cpus} workers and Ray take about {size(needed)}"
        checks.append(Check("memory", "warning", seen, remedy))
    else:
        checks.append(Check("memory", "ok", f"{size(there)} free"))
    shared = Path("/dev/shm")  # noqa: S108 - it is asked how large it is
    if platform.system() == "Linux":
        checks.append(_shared_memory(shared))
    return checks


def _shared_memory(folder: Path) -> Check:
    from lsg_ray.cluster.session import CONFIG

    name, remedy = "shared memory", "docker run --shm-size=1g, or of KubeRay an emptyDir of Memory"
    try:
        found = os.statvfs(folder)
    except OSError as error:
        seen = f"{folder}: {error.strerror}; Ray will use a folder on disk, slowly"
        return Check(name, "warning", seen, remedy)
    free = found.f_bavail * found.f_frsize
    if free < CONFIG.object_store_bytes or not os.access(folder, os.W_OK):
        seen = (
            f"{size(free)} free in {folder}; a private Ray takes {size(CONFIG.object_store_bytes)}"
        )
        return Check(name, "warning", seen, remedy)
    return Check(name, "ok", f"{size(free)} free in {folder}")


def open_files() -> Sequence[Check]:
    """Return how many files a process may hold open, where the system has such a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    seen = "unlimited" if unlimited else f"{soft:,} at a time"
    if unlimited or soft >= LEAST_OPEN_FILES:
        return [Check("open files", "ok", seen)]
    target = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    return [Check("open files", "warning", seen, f"ulimit -n {target}, for many workers")]


def gpu() -> Sequence[Check]:
    """Return whether there is a GPU of NVIDIA, and who can use it; torch is loaded only if so."""
    devices = sorted(Path("/dev").glob("nvidia[0-9]*"))
    libraries = f"numba-cuda {version_of('numba-cuda') or 'not installed'}, {_torch_build()}"
    if not devices:
        return [Check("GPU", "absent", f"none of NVIDIA; {libraries}; all runs on CPUs")]
    import torch

    missing = []
    if importlib.util.find_spec("numba_cuda") is None:
        missing.append("pip install 'lsg-ray[gpu]' for training.engine: cuda")
    else:
        from lsg_ray.kernels.cuda.launch import missing as lacking

        if why := lacking():
            missing.append(f"for training.engine: cuda is missing {why}")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
        free, total = torch.cuda.mem_get_info()
        seen = f"{', '.join(names)}; {size(free)} of {size(total)} free; {libraries}"
    else:
        seen = f"{len(devices)} devices, which torch does not see; {libraries}"
        missing.append("a build of torch with CUDA and a driver that fits, for the engine torch")
    return [Check("GPU", "warning" if missing else "ok", seen, "; ".join(missing))]


def _torch_build() -> str:
    """Return the version of torch, and whether it is built for GPUs, without importing it."""
    there = version_of("torch")
    if there is None:
        return "torch not installed"
    spec = importlib.util.find_spec("torch")
    file = Path(spec.origin).parent / "version.py" if spec and spec.origin else None
    try:
        text = file.read_text(encoding="utf-8") if file else ""
    except OSError:
        text = ""
    values = [line.partition("=")[2].strip() for line in text.splitlines() if line[:5] == "cuda:"]
    for_cpu = not values or values[0] == "None"
    return f"torch {there} for {'CPUs alone' if for_cpu else 'CUDA ' + values[0].strip(chr(39))}"
