"""Which engine a run trains with: decided where the run begins.

``training.engine: auto`` becomes the name of an engine before anything is stored, as networks of
two engines are not the same bytes; a store that is there keeps its own.
"""

from __future__ import annotations

import contextlib
import importlib.util

from lsg_ray.cluster.session import on_cluster, ray_session
from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.location import locate
from lsg_ray.errors import InputError, SpecError, StoreError
from lsg_ray.networks.solvers.thread_blocks import check_gpu
from lsg_ray.spec import Spec
from lsg_ray.typing import PathOrUrl


def with_engine(
    spec: Spec, url: PathOrUrl | None, address: str | None, workers: int | None
) -> Spec:
    """Return a specification whose engine is named, and is there.

    ``auto`` is the engine of the store at ``url`` where there is one; else, with a GPU, ``cuda``
    where numba-cuda is installed and it trains such networks, which must fit into a thread block,
    or ``torch``; else ``numba``.

    Raises
    ------
    InputError
        ``cuda`` is given, and there is no GPU, or no numba-cuda.
    """
    engine = spec.training.engine
    if engine not in ("auto", "cuda"):
        return spec
    if engine == "cuda":
        _require_gpu(address, workers)
        return spec
    chosen = None if url is None else _engine_of_store(url)
    there = [*_on_gpus(address, workers), "numba"] if chosen is None else [chosen]
    named = _with_first(spec, there)
    return with_engine(named, url, address, workers)


def _with_first(spec: Spec, engines: list[str]) -> Spec:
    """Return the specification with the first of some engines that trains such networks."""
    for engine in engines[:-1]:
        with contextlib.suppress(SpecError):
            return spec.replace(training={"engine": engine})
    return spec.replace(training={"engine": engines[-1]})


def _engine_of_store(url: PathOrUrl) -> str | None:
    try:
        return read_header(locate(url)).spec.training.engine
    except (StoreError, InputError):
        return None  # none there yet, or `create_ensemble` says what is wrong with it


def _on_gpus(address: str | None, workers: int | None) -> list[str]:
    """Return the engines that have a GPU here or, where Ray runs elsewhere, there."""
    if _is_elsewhere(address, workers):
        if _gpus(address) < 1:
            return []
        return ["cuda", "torch"] if importlib.util.find_spec("numba_cuda") else ["torch"]
    import torch

    from lsg_ray.kernels.cuda.launch import missing

    there = {"cuda": missing() is None, "torch": torch.cuda.is_available()}
    return [name for name, found in there.items() if found]


def _is_elsewhere(address: str | None, workers: int | None) -> bool:
    return workers != 0 and on_cluster(address)


def _gpus(address: str | None) -> float:
    import ray

    with ray_session(address):
        return float(ray.cluster_resources().get("GPU", 0))


def _require_gpu(address: str | None, workers: int | None) -> None:
    if not _is_elsewhere(address, workers):
        check_gpu()
    elif _gpus(address) < 1:
        raise InputError(
            "training.engine: cuda given; the Ray cluster has no GPU; add a node with one, or set "
            "training.engine to numba"
        )
