"""Random walks over the loss landscape (spin-glass-lens paper, Sec. 3.1, 4.2, App. A.4.1).

A walk starts at a solution w₀ and moves by w_{t+1} = w_t + δ, δ ~ N(0, σ² 1):

- ``free``: always; the distance from the start grows as σ √(N t);
- ``constrained``: of `trials` moves drawn from w_t, those whose training loss is below that of w₀
  are allowed; the walk makes one of them, at random, or stays.  The share of allowed moves shows
  how near the wall of the basin is;
- ``metropolis``: one move is drawn and made with probability min(1, exp(−(L' − L)/T)), L the mean
  training loss and T the temperature, both in nats per example.

The width of the flat region around a solution is the largest distance of a walk from it until the
loss has risen by `WalkConfig.rise` for the first time.  Walks that never leave the region are
censored (`lsg_ray.loss_landscape.censored`): a mean over the others would be too small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, Unpack

import numpy as np
import xarray
from annotated_types import Ge

from lsg_ray.arrays import in_range, public
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.censored import Survival, describe, survival_of, survival_variables
from lsg_ray.loss_landscape.findings import walk_findings
from lsg_ray.loss_landscape.terrain import (
    MAX_WEIGHT_BYTES,
    Terrain,
    measured,
    open_solutions,
    run_protocol,
)
from lsg_ray.renaming import renamed
from lsg_ray.rng import Stream, generator
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.typing import ChosenLossTasks, Count, EnsembleLike, Floats, Numbers, Positive, Singles

Kind = Literal["free", "constrained", "metropolis"]


@dataclass(frozen=True)
class WalkConfig:
    """Definitions of the flat region and of a plateau, and limits.

    Parameters
    ----------
    rise
        Rise of the training loss, in nats, that ends the flat region around a solution.
    plateau
        Largest relative change of the mean loss between the last two quarters of a walk that has
        reached a plateau.
    max_walks
        Largest number of walks of one call.
    buffered
        Most points of a walk that are measured together.
    """

    rise: float = 0.1
    plateau: float = 0.1
    max_walks: int = 1_000_000
    buffered: int = 16


WALKS = WalkConfig()


class _Path(NamedTuple):
    """One walk: measures (4, steps + 1), distance (steps + 1,), share of good moves (steps,)."""

    values: Floats
    distance: Floats
    share: Floats


@renamed(pieces="checkpoints")
@public
def random_walk(
    solutions: EnsembleLike,
    *,
    sigma: Numbers = (0.001, 0.003, 0.01),
    steps: Annotated[int, Ge(4)] = 100,
    kind: Kind = "free",
    trials: Count = 40,
    temperature: Positive | None = None,
    walkers: Count = 1,
    **run: Unpack[ChosenLossTasks],
) -> xarray.Dataset:
    """Walk from solutions of an ensemble and watch the loss.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or the path or URL of its store.
    sigma
        Step size, the standard deviation of the change of a weight in one step; one or several.
    steps
        Number of steps of each walk.
    kind
        Kind of the walk: ``free``, ``constrained`` (to losses below that of the start), or
        ``metropolis``.
    trials
        Number of moves drawn at each step of a constrained walk (the paper: 40).
    temperature
        Temperature of a Metropolis walk, in nats per example.
    configurations
        Number of solutions to start from, the first ones, or their indices; by default up to 10.
    walkers
        Number of walks from each solution with each σ.
    examples
        Number of training examples that the loss is computed on, drawn at random; 0 for all.
    seed
        Seed of all random numbers; each walk has a stream of its own.
    checkpoints
        Folder for results of finished walks, from which an interrupted call resumes.
    progress
        Called with ``(walks done, all walks)``.

    Returns
    -------
    xarray.Dataset
        Over (sigma, solution, walker, step): ``train_loss``, ``train_accuracy``, ``test_loss``,
        ``test_accuracy``, ``distance`` ‖w_t − w₀‖; over moves ``share``: of allowed moves
        (constrained), or 1 for a move made (metropolis).  Over (sigma, solution, walker):
        ``flat_steps`` and ``flat_width``, steps and largest distance until the training loss has
        risen by `WalkConfig.rise` (interpolated; NaN if it never does), ``reach``, the largest
        distance of the whole walk, ``plateau``, mean training loss of the last quarter, and
        ``settled``, whether the walk has left the flat region and reached a plateau (see
        `WalkConfig.plateau`).  Over sigma, for ``flat_width`` and ``flat_steps`` each,
        `lsg_ray.loss_landscape.censored.Survival`: ``flat_width_left``, the share of walks that
        have left; ``flat_width_mean`` with ``flat_width_mean_stderr``, NaN
        unless all have; ``flat_width_restricted_mean`` with ``flat_width_restricted_mean_stderr``,
        the mean with widths cut at ``flat_width_horizon``, a lower bound of the mean;
        ``flat_width_median``, NaN where not reached, with ``flat_width_median_low`` and
        ``flat_width_median_high``.

    Raises
    ------
    InputError
        σ or the temperature is not positive, a number is too small, or the networks are binary.

    Notes
    -----
    Each step of a walk evaluates one network (`trials` of a constrained one) on the examples, one
    on the test set.  Memory of a task: `trials` networks, at most 32 MiB of them at a time.
    """
    sigmas = _checked(sigma, kind, temperature)
    chosen = open_solutions(solutions, run["configurations"], default=10)
    if (count := len(sigmas) * len(chosen.numbers) * walkers) > WALKS.max_walks:
        raise InputError(
            f"{count:,} walks given (sigma, configurations, walkers); at most {WALKS.max_walks:,}"
        )
    arguments = [
        (
            kind,
            chosen.weights[r],
            float(s),
            steps,
            trials,
            temperature,
            (run["seed"], i, int(chosen.numbers[r]), w),
        )
        for i, s in enumerate(sigmas)
        for r in range(len(chosen.numbers))
        for w in range(walkers)
    ]
    paths, about = run_protocol(
        _walk, _Path, chosen, arguments, (len(sigmas), len(chosen.numbers), walkers), run
    )
    result = _dataset(np.moveaxis(paths.values, -2, 0), paths.distance, paths.share, kind)
    return result.assign_coords(
        sigma=("sigma", sigmas, {"long_name": "step size σ"}),
        solution=("solution", chosen.numbers),
        step=("step", np.arange(steps + 1)),
    ).assign_attrs(
        about,
        statistic="random walk",
        kind=kind,
        steps=steps,
        walkers=walkers,
        rise=WALKS.rise,
        trials=trials if kind == "constrained" else 1,
        temperature=temperature if kind == "metropolis" else "none",
    )


def _checked(sigma: Numbers, kind: Kind, temperature: float | None) -> Floats:
    sigmas = in_range(sigma, "sigma")
    if (kind == "metropolis") != (temperature is not None):
        raise InputError(
            f"temperature {temperature} given for a {kind} walk; metropolis walks need one, other "
            "walks have none"
        )
    return sigmas


def _walk(
    terrain: Terrain,
    kind: Kind,
    start: Singles,
    sigma: float,
    steps: int,
    trials: int,
    temperature: float | None,
    address: tuple[int, ...],
) -> _Path:
    """Make one walk: the body of a task."""
    seed, *path = address
    rng = generator(seed, Stream.LANDSCAPE, 1, *path)
    track = _Track(terrain, start)
    w, share = start.copy(), np.ones(steps)
    if kind == "free":
        for _ in range(steps):
            w = w + _moves(rng, 1, w, sigma)[0]
            track.add(w)
        return track.path(share)
    first = now = float(terrain.loss(start[None])[0])
    for step in range(steps):
        if kind == "constrained":
            share[step], allowed = _allowed(terrain, rng, w, sigma, trials, first)
            w = w if allowed is None else allowed
        else:
            trial = w + _moves(rng, 1, w, sigma)[0]
            loss = float(terrain.loss(trial[None])[0])
            assert temperature is not None  # checked
            share[step] = rng.random() < np.exp(-max(loss - now, 0.0) / temperature)
            if share[step]:
                w, now = trial, loss
        track.add(w)
    return track.path(share)


def _moves(rng: np.random.Generator, count: int, w: Singles, sigma: float) -> Singles:
    moves = rng.standard_normal((count, len(w)), np.float32)
    moves *= np.float32(sigma)
    return moves


def _allowed(
    terrain: Terrain, rng: np.random.Generator, w: Singles, sigma: float, trials: int, limit: float
) -> tuple[float, Singles | None]:
    """Draw moves; return the share whose loss is below the limit, and one of those at random.

    Reservoir sampling: each allowed move replaces the chosen one with the probability that makes
    all equally likely, so memory does not grow with the number of trials.
    """
    size = max(1, MAX_WEIGHT_BYTES // (4 * len(w)))
    good, chosen = 0, None
    for begin in range(0, trials, size):
        moved = w + _moves(rng, min(size, trials - begin), w, sigma)
        for row in np.flatnonzero(terrain.loss(moved) < limit).tolist():
            good += 1
            if rng.random() < 1 / good:
                chosen = moved[row].copy()
    return good / trials, chosen


class _Track:
    """Points of a walk, measured several at a time."""

    def __init__(self, terrain: Terrain, start: Singles) -> None:
        self._terrain, self._start = terrain, start
        self._waiting: list[Singles] = []
        self._values: list[Floats] = []
        self._distance: list[float] = []
        self._size = max(1, MAX_WEIGHT_BYTES // (4 * len(start)))
        self.add(start)

    def add(self, w: Singles) -> None:
        """Add a point."""
        self._waiting.append(w)
        self._distance.append(float(np.linalg.norm((w - self._start).astype(np.float64))))
        if len(self._waiting) >= min(self._size, WALKS.buffered):
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._values.append(self._terrain.measure(np.stack(self._waiting)))
            self._waiting.clear()

    def path(self, share: Floats) -> _Path:
        """Return the measures of all points."""
        self._flush()
        return _Path(np.concatenate(self._values, axis=1), np.array(self._distance), share)


def _dataset(values: Floats, distance: Floats, share: Floats, kind: Kind) -> xarray.Dataset:
    dimensions = ("sigma", "solution", "walker")
    loss = values[0]
    # The largest distance so far: it does not fall where a walk comes back.
    reach = np.maximum.accumulate(distance, axis=-1)
    steps, width = _flat_region(loss, reach)
    end, far = np.full(steps.shape, loss.shape[-1] - 1.0), reach[..., -1]
    quarter = max(1, (loss.shape[-1] - 1) // 4)
    late, before = loss[..., -quarter:].mean(-1), loss[..., -2 * quarter : -quarter].mean(-1)
    settled = np.isfinite(steps) & (np.abs(late - before) <= WALKS.plateau * np.abs(late))
    about = {
        "free": "always 1",
        "constrained": "moves with a loss below that of the start",
        "metropolis": "whether the move was made",
    }
    end_of_walk = {"long_name": "training loss at the end", "units": "nat"}
    return xarray.Dataset(
        {
            **measured(values, (*dimensions, "step")),
            "distance": ((*dimensions, "step"), distance, {"long_name": "distance from the start"}),
            "share": ((*dimensions, "move"), share, {"long_name": about[kind]}),
            "flat_steps": (dimensions, steps, {"long_name": "steps in the flat region"}),
            "flat_width": (dimensions, width, {"long_name": "width of the flat region"}),
            "reach": (dimensions, far, {"long_name": "largest distance from the start"}),
            **survival_variables("flat_steps", steps, end, "steps in the flat region"),
            **survival_variables("flat_width", width, far, "width of the flat region"),
            "plateau": (dimensions, late, end_of_walk),
            "settled": (dimensions, settled),
        }
    )


def _flat_region(loss: Floats, distance: Floats) -> tuple[Floats, Floats]:
    """Return steps and distance until the loss has risen, interpolated; NaN if never."""
    shape = loss.shape[:-1]
    steps, width = np.full(shape, np.nan), np.full(shape, np.nan)
    for index in np.ndindex(shape):
        rise = loss[index] - loss[index][0] - WALKS.rise
        over = np.flatnonzero(~(rise <= 0))  # NaN too: a loss that has overflown has risen
        if not len(over):
            continue
        after = int(over[0])
        part = -rise[after - 1] / (rise[after] - rise[after - 1])
        part = part if np.isfinite(part) else 1.0
        steps[index] = after - 1 + part
        width[index] = np.interp(steps[index], [after - 1, after], distance[index][after - 1 :][:2])
    return steps, width


def _shown(walks: xarray.Dataset) -> dict[str, Any]:
    last, flat = walks.isel(step=-1).mean(("solution", "walker")), ("flat_width", "flat_steps")
    return {
        "sigma": walks["sigma"].values,
        "solutions": walks.sizes["solution"],
        **{name: [describe(width) for width in survival_of(walks, name).values()] for name in flat},
        **{
            f"{name}_{field}": walks[f"{name}_{field}"].values
            for name in flat
            for field in Survival._fields
        },
        "train_loss_first": float(walks["train_loss"].isel(step=0).mean()),
        "train_loss_last": last["train_loss"].values,
        "test_accuracy_last": last["test_accuracy"].values,
        "settled": walks["settled"].mean(("solution", "walker")).values,
        "share": walks["share"].mean(("solution", "walker", "move")).values,
        "examples": walks.attrs["examples"],
    }


STAGE = Stage(
    "walk",
    random_walk,
    reads={"solutions": SOLUTIONS},
    summary=_shown,
    findings=walk_findings,
    figures=[
        Figure(
            "lsg_ray.report.figures.loss_landscape:walk_figure",
            "Random walks from solutions",
            "walk_caption",
        )
    ],
)
