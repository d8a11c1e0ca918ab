"""Monte Carlo dynamics from references: does the model trap them, or let them drift?

Metropolis chains start at a reference σ*.  The overlap q(t) = Σ σ*_i σ_i(t)/N falls from 1 to its
equilibrium, Σ σ*_i m_i/N, where the entropy landscape is smooth, and stays above where the
reference lies in a basin.  Beside it, the energy, and the accuracy of the network whose weights the
spins are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Unpack

import numpy as np
import xarray
from annotated_types import Ge

from lsg_ray.arrays import public
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.view import NO_OUTPUTS
from lsg_ray.errors import DataError, InputError
from lsg_ray.ising.chains import Chains, Method
from lsg_ray.ising.findings import dynamics_findings
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.montecarlo import autocorrelation_time, overlap_averages, sample_model
from lsg_ray.ising.references import References, as_references
from lsg_ray.ising.tempering import temper_model
from lsg_ray.networks.binary_network import Loss, evaluate
from lsg_ray.networks.layout import chunk_examples
from lsg_ray.registry import FAMILIES
from lsg_ray.results.graph import compute
from lsg_ray.results.opening import attributes_of
from lsg_ray.results.records import joined, reduce_tasks
from lsg_ray.spec import NetworkSpec, Spec, load_spec
from lsg_ray.stage import MODEL, REFERENCES, Figure, Stage
from lsg_ray.statistics.configurations import is_array_file
from lsg_ray.typing import (
    Count,
    Floats,
    Ints,
    ModelLike,
    Positive,
    ReferencesLike,
    Signs,
    Singles,
    SpecLike,
    Threads,
)


@dataclass(frozen=True)
class DynamicsConfig:
    """How references are cut into tasks, and when one is trapped."""

    #: References of a task.
    task_references: int = 8
    #: Share of the sweeps, the last ones, over which the memory of the start is averaged.
    late_share: float = 0.25
    #: Standard errors above which a memory is more than noise.
    min_sigmas: float = 5.0
    #: Memory above which a reference counts as trapped.
    trapped_memory: float = 0.2


CONFIG = DynamicsConfig()


class Task(NamedTuple):
    """What the networks were trained for: examples x (n, d), labels y (n,) and the loss."""

    network: NetworkSpec
    x: Singles
    y: Ints
    loss: Loss = "cross_entropy"


@public
def relax(
    model: ModelLike,
    references: ReferencesLike,
    *,
    sweeps: Annotated[int, Ge(4)] = 100,
    chains: Count = 16,
    count: Count | None = None,
    beta: Positive = 1.0,
    method: Method = "metropolis",
    spec: SpecLike | None = None,
    task: Task | None = None,
    **run: Unpack[Threads],
) -> xarray.Dataset:
    """Run chains from references and record overlap, energy and accuracy.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    references
        Configurations to start from: (R, N) ±1, a store (those of low, medium and high energy are
        chosen), a result, or .npz with sigma.
    sweeps
        Number of sweeps, each of N attempts at spins picked at random.
    chains
        Number of chains of each reference.
    count
        Number of references of each group, at most; by default 20 of a store, else all.
    beta
        Inverse temperature.
    method
        Update of a spin: heat bath, or Metropolis.
    spec
        Specification of the networks, on whose test data the first chain of each reference is
        evaluated; by default that of the store.  With a model of a part of the network, the other
        weights stay those of the reference.
    task
        Network, test data and loss as arrays, in place of a specification.
    seed
        Seed of all random numbers.
    threads
        Number of threads for the equilibrium averages, by default one per CPU.
    progress
        Called with ``(tasks done, tasks in all)``.

    Returns
    -------
    xarray.Dataset
        Over (reference, sweep), from 0: ``overlap`` and ``energy`` per weight in nats, means of the
        chains, with ``_spread``, their standard deviation; with a task ``accuracy``.  Over
        ``reference``: ``equilibrium``, the overlap with the equilibrium magnetizations, with
        ``equilibrium_stderr``; ``memory``,
        (q − q_eq)/(1 − q_eq) over the last quarter of the sweeps, NaN where 1 − q_eq is noise;
        ``trapped``, memory above 0.2 and above its noise; ``relaxation``, the first sweep at which
        the memory is below 1/e, NaN if none.  Attributes: ``trapped`` (fraction), ``memory``,
        ``equilibrium_energy``, ``energy_autocorrelation`` (in sweeps, over the second half of the
        runs), ``equilibrium_converged`` and ``equilibrium_method``; without accuracies
        ``no_accuracy``, the reason.

    Raises
    ------
    InputError
        References or a task that do not fit, or numbers out of range.

    Notes
    -----
    2 N² flop a sweep and chain; 2 · 10⁻⁴ s for the accuracy of a network.

    Examples
    --------
    >>> result = relax((np.zeros((50, 50)), np.zeros(50)), np.ones((2, 50)), sweeps=20)
    >>> result["trapped"].values.tolist(), result.attrs["memory"] < 0.1
    ([False, False], True)
    """
    reason = ""
    if task is None:
        task, reason = _task_of(references, spec)
    ising = as_model(model)
    chosen = as_references(references, ising, count)
    options = _Options(sweeps, chains, beta, method, run["seed"])
    networks = None if task is None else _networks(chosen, ising, task)
    size = CONFIG.task_references
    batches = [slice(a, a + size) for a in range(0, len(chosen.sigma), size)]
    arguments = [
        (chosen.sigma[batch], None if networks is None else networks[batch], number)
        for number, batch in enumerate(batches)
    ]
    graph = reduce_tasks(_leaf, (ising, task, options), arguments, joined)
    relaxed = compute(graph, run["progress"])
    result = _dataset(ising, chosen, relaxed, options, run["threads"])
    return result.assign_attrs(no_accuracy=reason) if reason else result


def _task_of(references: Any, spec: SpecLike | None) -> tuple[Task | None, str]:
    """Return what the networks of references were trained for, or None and the reason."""
    if spec is not None:
        given = spec if isinstance(spec, Spec) else load_spec(os.fspath(spec))
    elif isinstance(references, Ensemble):
        given = references.spec
    elif (
        not isinstance(references, (str, os.PathLike))
        or is_array_file(references)
        or attributes_of(references).get("statistic")
    ):
        return None, "references without data: pass --spec"
    else:
        given = open_ensemble(references).spec
    if not FAMILIES[given.network.family].has_outputs:
        return None, f"{given.name} {NO_OUTPUTS}"
    try:
        examples = load_dataset(given.dataset, download=spec is not None).test
    except DataError as error:
        if spec is not None:
            raise
        return None, str(error)
    return Task(given.network, examples.x, examples.y, given.loss), ""


class _Options(NamedTuple):
    sweeps: int
    chains: int
    beta: float
    method: Method
    seed: int


class _Relaxed(NamedTuple):
    """Over (reference, sweep); accuracy has no sweeps where there is no task; time (reference,)."""

    overlap: Floats
    overlap_spread: Floats
    energy: Floats
    energy_spread: Floats
    accuracy: Floats
    time: Floats


def _networks(chosen: References, model: IsingModel, task: Task) -> Signs:
    networks = chosen.sigma if chosen.networks is None else chosen.networks
    if networks.shape[1] != task.network.n_weights:
        widths = "-".join(map(str, task.network.widths))
        raise InputError(
            f"references have {networks.shape[1]} weights and a network {widths} has "
            f"{task.network.n_weights}; accuracies need references of whole networks"
        )
    if model.n_spins != networks.shape[1] and model.weight is None:
        raise InputError("the model does not say which weights of the network its spins are")
    return networks


def _leaf(
    model: IsingModel,
    task: Task | None,
    options: _Options,
    sigma: Signs,
    networks: Signs | None,
    number: int,
) -> _Relaxed:
    count, n = sigma.shape
    chains = Chains(
        model,
        count * options.chains,
        seed=options.seed,
        beta=options.beta,
        method=options.method,
        order="picks",
        start=np.repeat(sigma, options.chains, axis=0),
        threads=1,
        batch=2000 + number,
    )
    shape = (count, options.sweeps + 1)
    overlap, spread, energy, energy_spread = (np.empty(shape) for _ in range(4))
    examples = None if task is None else chunk_examples(task.x, task.y)
    history = np.empty((count, options.chains, options.sweeps + 1), np.float32)
    accuracy = np.empty((count, 0 if task is None else options.sweeps + 1))
    for sweep in range(options.sweeps + 1):
        if sweep:
            chains.sweep()
        spins = chains.spins.reshape(count, options.chains, n)
        q = np.einsum("rcn,rn->rc", spins, sigma, dtype=np.float64) / n
        e = chains.energies().reshape(count, options.chains) / n
        overlap[:, sweep], spread[:, sweep] = q.mean(axis=1), q.std(axis=1)
        history[:, :, sweep] = e
        energy[:, sweep], energy_spread[:, sweep] = e.mean(axis=1), e.std(axis=1)
        if task is not None and networks is not None and examples is not None:
            whole = networks.copy()
            whole[:, slice(None) if whole.shape[1] == n else model.weight] = spins[:, 0]
            accuracy[:, sweep], _ = evaluate(task.network, whole, examples, task.loss)
    second_half = history[:, :, options.sweeps // 2 :]
    time = np.array([autocorrelation_time(series) for series in second_half])
    return _Relaxed(overlap, spread, energy, energy_spread, accuracy, time)


def _equilibrium(
    model: IsingModel, sigma: Signs, options: _Options, threads: int | None
) -> tuple[xarray.Dataset, str, Floats]:
    """Return equilibrium averages with overlaps with σ* (R, N), the method, and the energies
    (chains, draws).
    """
    sampled = sample_model(
        model,
        chains=512,
        burn_in=200,
        draws=200,
        thin=4,
        beta=options.beta,
        seed=options.seed,
        threads=threads,
        references=sigma,
    )
    if sampled.attrs["converged"]:
        return sampled, "chains", sampled["energy"].values
    tempered = temper_model(model, beta=options.beta, seed=options.seed, threads=threads)
    tempered = tempered.assign(overlap_averages(sigma, tempered["m_ladder"].values))
    return tempered, "tempering", tempered["energy"].values[-1]


def _dataset(
    model: IsingModel, chosen: References, relaxed: _Relaxed, options: _Options, threads: int | None
) -> xarray.Dataset:
    n = model.n_spins
    equilibrium, how, series = _equilibrium(model, chosen.sigma, options, threads)
    final = equilibrium["overlap"].values
    # Where the equilibrium is the reference itself there is no memory to lose.
    memory = (relaxed.overlap - final[:, None]) / np.maximum(1 - final, 1e-9)[:, None]
    last = slice(-max(1, int(CONFIG.late_share * (options.sweeps + 1))), None)
    late = memory[:, last].mean(axis=1)
    # Late sweeps may all be correlated; chains are not, but a single one has no spread.
    spread = relaxed.overlap_spread[:, last].mean(axis=1) / np.sqrt(max(options.chains - 1, 1))
    single = relaxed.overlap[:, last].std(axis=1) if options.chains == 1 else 0.0
    error = np.sqrt(spread**2 + single**2 + equilibrium["overlap_stderr"].values ** 2)
    error = np.maximum(error, 1 / (n * options.chains))  # one flip is the smallest change
    noisy = 1 - final < CONFIG.min_sigmas * error + 1e-9
    late[noisy] = np.nan
    excess = relaxed.overlap[:, last].mean(axis=1) - final
    trapped = (np.nan_to_num(late) > CONFIG.trapped_memory) & (excess > CONFIG.min_sigmas * error)
    gone = memory < np.exp(-1)
    relaxation = np.where(gone.any(axis=1), gone.argmax(axis=1).astype(float), np.nan)
    axes, unitless, nat = ("reference", "sweep"), {"units": "1"}, {"units": "nat"}
    variables: dict[str, Any] = {
        "overlap": (axes, relaxed.overlap, {"long_name": "overlap with the start", **unitless}),
        "overlap_spread": (axes, relaxed.overlap_spread, unitless),
        "energy": (axes, relaxed.energy, {"long_name": "energy per weight", **nat}),
        "energy_spread": (axes, relaxed.energy_spread, nat),
        "equilibrium": ("reference", final, unitless),
        "equilibrium_stderr": ("reference", equilibrium["overlap_stderr"].values, unitless),
        "memory": ("reference", late, unitless),
        "trapped": ("reference", trapped),
        "relaxation": ("reference", relaxation, {"units": "sweep"}),
    }
    if relaxed.accuracy.shape[1]:
        variables["accuracy"] = (axes, relaxed.accuracy, unitless)
    return xarray.Dataset(
        variables,
        chosen.coordinates() | {"sweep": np.arange(options.sweeps + 1)},
        {
            "statistic": "dynamics",
            "n_weights": n,
            "references": chosen.source,
            "beta": options.beta,
            "method": options.method,
            "chains": options.chains,
            "seed": options.seed,
            "trapped": float(trapped.mean()),
            "memory": float(np.nanmean(late)) if (~noisy).any() else float("nan"),
            "equilibrium_energy": float(series.mean()) / n,
            "energy_autocorrelation": float(relaxed.time.mean()),
            "equilibrium_converged": equilibrium.attrs["converged"],
            "equilibrium_method": how,
        },
    )


def _summary(result: xarray.Dataset) -> dict[str, Any]:
    last = result.isel(sweep=-1)
    summary = {
        "references": result.sizes["reference"],
        "sweeps": result.sizes["sweep"] - 1,
        "overlap_last": float(last["overlap"].mean()),
        "equilibrium": float(result["equilibrium"].mean()),
        **{
            name: result.attrs[name]
            for name in (
                "trapped",
                "memory",
                "equilibrium_energy",
                "energy_autocorrelation",
                "equilibrium_converged",
                "equilibrium_method",
            )
        },
    }
    if "accuracy" in result:
        summary |= {
            "accuracy_first": float(result["accuracy"].isel(sweep=0).mean()),
            "accuracy_last": float(last["accuracy"].mean()),
        }
    return summary | {"no_accuracy": result.attrs.get("no_accuracy")}


def _lacks_accuracy(result: xarray.Dataset, references: Any, **_: Any) -> bool:
    """Return whether a result has no accuracies, and the data set that they need is here by now."""
    return "no_accuracy" in result.attrs and _task_of(references, None)[0] is not None


STAGE = Stage(
    "mc",
    relax,
    reads={"model": MODEL, "references": REFERENCES},
    summary=_summary,
    findings=dynamics_findings,
    hidden={"task"},
    stale=_lacks_accuracy,
    figures=[
        Figure(
            "lsg_ray.report.figures.entropy_landscape:dynamics_figure",
            "Monte Carlo dynamics",
            "dynamics_caption",
        )
    ],
)
