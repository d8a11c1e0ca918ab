"""Monte Carlo dynamics from references: does the model's landscape hold them, or let them drift?

Metropolis chains start at a reference σ*.  The overlap q(t) = Σ σ*_i σ_i(t)/N falls from 1 to its
equilibrium, Σ σ*_i m_i/N, where the landscape is smooth, and stays above where the reference lies
in a basin.  Beside it, the energy, and the accuracy of the network whose weights the spins are.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, NamedTuple

import numpy as np
import xarray
from annotated_types import Ge

from lsg_ray.arrays import public
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.view import NO_OUTPUTS
from lsg_ray.errors import DataError, InputError
from lsg_ray.ising.chains import Chains, Method
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
    Progress,
    ReferencesLike,
    Seed,
    Signs,
    Singles,
    SpecLike,
)

#: References of a task.
TASK_REFERENCES = 8
#: Share of the sweeps, the last, over which the memory of the start is averaged.
LATE_SHARE = 0.25
#: Standard errors from which a memory is more than noise.
SIGMAS = 5.0
#: Memory from which a reference counts as trapped.
TRAPPED_MEMORY = 0.2


class Task(NamedTuple):
    """What the networks were trained for: examples x (n, d) and y (n,), and how they are judged."""

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
    seed: Seed = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Let chains run from references and watch overlap, energy and accuracy.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    references
        Configurations to start from: (R, N) ±1, a store (low, medium and high energy are taken), a
        result, or .npz with sigma.
    sweeps
        Sweeps of N attempts, at spins picked at random.
    chains
        Of each reference.
    count
        References of each group, at most; of a store by default 20.
    beta
        Inverse temperature.
    method
        How spins are updated.
    spec
        Of the networks' data, on which the first chain of each reference is evaluated; of a store
        by default its own.  With a model of a part, the other weights stay those of the reference.
    task
        The same as arrays.
    seed
        Of all that is drawn at random.
    threads
        For the equilibrium.
    progress
        Told ``(done, in all)``.

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
        ``no_accuracy``, why.

    Raises
    ------
    InputError
        References or a task that do not fit, or numbers out of range.

    Notes
    -----
    2 N² flop a sweep and chain; 2 · 10⁻⁴ s for the accuracy of a network.

    Examples
    --------
    >>> found = relax((np.zeros((50, 50)), np.zeros(50)), np.ones((2, 50)), sweeps=20)
    >>> found["trapped"].values.tolist(), found.attrs["memory"] < 0.1
    ([False, False], True)
    """
    why = ""
    if task is None:
        task, why = _task_of(references, spec)
    ising = as_model(model)
    chosen = as_references(references, ising, count)
    options = _Options(sweeps, chains, beta, method, seed)
    networks = None if task is None else _networks(chosen, ising, task)
    cuts = [slice(a, a + TASK_REFERENCES) for a in range(0, len(chosen.sigma), TASK_REFERENCES)]
    arguments = [
        (chosen.sigma[some], None if networks is None else networks[some], number)
        for number, some in enumerate(cuts)
    ]
    found = compute(reduce_tasks(_leaf, (ising, task, options), arguments, joined), progress)
    result = _dataset(ising, chosen, found, options, threads)
    return result.assign_attrs(no_accuracy=why) if why else result


def _task_of(references: Any, spec: SpecLike | None) -> tuple[Task | None, str]:
    """Return what the networks of references were trained for, or None and the reason."""
    if spec is not None:
        given = spec if isinstance(spec, Spec) else load_spec(os.fspath(spec))
    elif isinstance(references, Ensemble):
        given = references.spec
    elif (
        not isinstance(references, (str, os.PathLike))
        or is_array_file(references)
        or (attributes_of(references).get("statistic"))
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
        raise InputError("the model does not know which weights of the network it is of")
    return networks


def _leaf(
    model: IsingModel, task: Task | None, options: _Options, sigma: Signs,
    networks: Signs | None, number: int,
) -> _Relaxed:  # fmt: skip
    count, n = sigma.shape
    chains = Chains(
        model, count * options.chains, seed=options.seed, beta=options.beta,
        method=options.method, order="picks", start=np.repeat(sigma, options.chains, axis=0),
        threads=1, batch=2000 + number,
    )  # fmt: skip
    shape = (count, options.sweeps + 1)
    overlap, spread, energy, energy_spread = (np.empty(shape) for _ in range(4))
    examined = None if task is None else chunk_examples(task.x, task.y)
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
        if task is not None and networks is not None and examined is not None:
            whole = networks.copy()
            whole[:, slice(None) if whole.shape[1] == n else model.weight] = spins[:, 0]
            accuracy[:, sweep], _ = evaluate(task.network, whole, examined, task.loss)
    half = history[:, :, options.sweeps // 2 :]
    time = np.array([autocorrelation_time(some) for some in half])
    return _Relaxed(overlap, spread, energy, energy_spread, accuracy, time)


def _equilibrium(
    model: IsingModel, sigma: Signs, options: _Options, threads: int | None
) -> tuple[xarray.Dataset, str, Floats]:
    """Return equilibrium averages, with overlaps with σ* (R, N), by which method, and series of the
    energy (chains, draws).
    """
    found = sample_model(
        model, chains=512, burn_in=200, draws=200, thin=4, beta=options.beta, seed=options.seed,
        threads=threads, references=sigma,
    )  # fmt: skip
    if found.attrs["converged"]:
        return found, "chains", found["energy"].values
    found = temper_model(model, beta=options.beta, seed=options.seed, threads=threads)
    found = found.assign(overlap_averages(sigma, found["m_ladder"].values))
    return found, "tempering", found["energy"].values[-1]


def _dataset(
    model: IsingModel, chosen: References, found: _Relaxed, options: _Options, threads: int | None
) -> xarray.Dataset:
    n = model.n_spins
    rest, how, series = _equilibrium(model, chosen.sigma, options, threads)
    final = rest["overlap"].values
    # Where the equilibrium is the reference itself there is nothing to forget.
    memory = (found.overlap - final[:, None]) / np.maximum(1 - final, 1e-9)[:, None]
    last = slice(-max(1, int(LATE_SHARE * (options.sweeps + 1))), None)
    late = memory[:, last].mean(axis=1)
    # Late sweeps may all be correlated; chains are not, but a single one has no spread.
    spread = found.overlap_spread[:, last].mean(axis=1) / np.sqrt(max(options.chains - 1, 1))
    lone = found.overlap[:, last].std(axis=1) if options.chains == 1 else 0.0
    error = np.sqrt(spread**2 + lone**2 + rest["overlap_stderr"].values ** 2)
    error = np.maximum(error, 1 / (n * options.chains))  # a flip is the least that can be seen
    noisy = 1 - final < SIGMAS * error + 1e-9
    late[noisy] = np.nan
    excess = found.overlap[:, last].mean(axis=1) - final
    trapped = (np.nan_to_num(late) > TRAPPED_MEMORY) & (excess > SIGMAS * error)
    gone = memory < np.exp(-1)
    relaxation = np.where(gone.any(axis=1), gone.argmax(axis=1).astype(float), np.nan)
    axes, one, nat = ("reference", "sweep"), {"units": "1"}, {"units": "nat"}
    variables: dict[str, Any] = {
        "overlap": (axes, found.overlap, {"long_name": "overlap with the start", **one}),
        "overlap_spread": (axes, found.overlap_spread, one),
        "energy": (axes, found.energy, {"long_name": "energy per weight", **nat}),
        "energy_spread": (axes, found.energy_spread, nat),
        "equilibrium": ("reference", final, one),
        "equilibrium_stderr": ("reference", rest["overlap_stderr"].values, one),
        "memory": ("reference", late, one),
        "trapped": ("reference", trapped),
        "relaxation": ("reference", relaxation, {"units": "sweep"}),
    }
    if found.accuracy.shape[1]:
        variables["accuracy"] = (axes, found.accuracy, one)
    return xarray.Dataset(
        variables,
        chosen.coordinates() | {"sweep": np.arange(options.sweeps + 1)},
        {
            "statistic": "dynamics", "n_weights": n, "references": chosen.source,
            "beta": options.beta, "method": options.method, "chains": options.chains,
            "seed": options.seed, "trapped": float(trapped.mean()),
            "memory": float(np.nanmean(late)) if (~noisy).any() else float("nan"),
            "equilibrium_energy": float(series.mean()) / n,
            "energy_autocorrelation": float(found.time.mean()),
            "equilibrium_converged": rest.attrs["converged"], "equilibrium_method": how,
        },
    )  # fmt: skip


def _shown(found: xarray.Dataset) -> dict[str, Any]:
    last = found.isel(sweep=-1)
    shown = {
        "references": found.sizes["reference"], "sweeps": found.sizes["sweep"] - 1,
        "overlap_last": float(last["overlap"].mean()),
        "equilibrium": float(found["equilibrium"].mean()),
        **{name: found.attrs[name] for name in (
            "trapped", "memory", "equilibrium_energy", "energy_autocorrelation",
            "equilibrium_converged", "equilibrium_method",
        )},
    }  # fmt: skip
    if "accuracy" in found:
        shown |= {
            "accuracy_first": float(found["accuracy"].isel(sweep=0).mean()),
            "accuracy_last": float(last["accuracy"].mean()),
        }
    return shown | {"no_accuracy": found.attrs.get("no_accuracy")}


def _lacks_accuracy(found: xarray.Dataset, references: Any, **_: Any) -> bool:
    """Return whether the data set of a result without accuracies is here by now."""
    return "no_accuracy" in found.attrs and _task_of(references, None)[0] is not None


STAGE = Stage(
    "mc", relax, reads={"model": MODEL, "references": REFERENCES}, summary=_shown, hidden={"task"},
    figures=[Figure("lsg_ray.report.figures.entropy_landscape:dynamics_figure",
                    "Monte Carlo dynamics", "dynamics_caption")],
    stale=_lacks_accuracy,
)  # fmt: skip
