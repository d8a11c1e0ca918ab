"""Straight paths between solutions, and between permuted copies of one (Sec. 3.1, 4.3).

On the line w(α) = (1 − α) w_A + α w_B the loss is L(α), and the barrier between A and B is

    B = max_{0 ≤ α ≤ 1} [L(α) − (1 − α) L(0) − α L(1)]

(J. Frankle et al., ICML 2020, with the maximum over α): how far the path rises above the straight
line between the losses of its ends.

The permutation-interpolation protocol makes w_B of w_A by swapping k disjoint pairs of hidden
nodes, 2k nodes in all, drawn at random over the hidden layers: the same network elsewhere in weight
space, f(πθ) = f(θ), which is checked on real inputs each time.  After `match_weights` aligns one
solution to another, the barrier that remains is not due to the order of the nodes (Ainsworth et
al., "Git Re-Basin", ICLR 2023).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, Unpack

import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_integers, as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.findings import interpolate_findings, swaps_findings
from lsg_ray.loss_landscape.terrain import (
    Solutions,
    Terrain,
    check_alike,
    check_inputs,
    measured,
    open_solutions,
    run_protocol,
)
from lsg_ray.networks.alignment import ALIGNMENTS, Alignment, aligned, reordered
from lsg_ray.networks.permutations import log_group_order
from lsg_ray.renaming import renamed
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import NetworkSpec
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.typing import (
    As,
    ChosenLossTasks,
    Count,
    EnsembleLike,
    Floats,
    Integers,
    Ints,
    LossTasks,
    Singles,
    Steps,
)

#: Default positions on a path, which extends beyond both ends.
PATH_ALPHAS = np.round(np.linspace(-0.25, 1.25, 31), 12)


class _Line(NamedTuple):
    """One path: measures (4, alphas) and the distance between its ends."""

    values: Floats
    distance: Any


def barrier(alphas: ArrayLike, loss: ArrayLike) -> Floats:
    """Return the height B of the loss (…, alphas) above the line between α = 0 and 1; see above.

    >>> float(barrier([0, 0.5, 1], [1.0, 4.0, 2.0]))
    2.5
    """
    a, values = check_alphas(alphas), as_numbers(loss, "loss")
    inside = (a >= 0) & (a <= 1)
    first, last = values[..., a == 0], values[..., a == 1]
    line = (1 - a[inside]) * first + a[inside] * last
    return (values[..., inside] - line).max(axis=-1)


@renamed(pieces="checkpoints")
@public
def interpolate(
    solutions: EnsembleLike,
    other: EnsembleLike | None = None,
    *,
    pairs: Annotated[int | Sequence[tuple[int, int]], As(Count)] = 10,
    alphas: Steps = PATH_ALPHAS,
    alignment: Alignment | Literal["all"] = "none",
    **run: Unpack[LossTasks],
) -> xarray.Dataset:
    """Measure networks on straight paths between solutions.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or the path or URL of its store.
    other
        Ensemble that the ends of the paths are from, of the same architecture, paired one to one;
        by default the first ensemble, where paths join different solutions.
    pairs
        Number of pairs of solutions, drawn at random, or the pairs themselves.
    alphas
        Positions α on the path, 0 and 1 among them; the path may extend beyond both ends.
    alignment
        Reordering of the hidden units: ``none``; ``matching`` of the second solution to the first;
        ``clustering`` of both; or ``all``, one after another.
    examples
        Number of training examples that the loss is computed on, drawn at random; 0 for all.
    seed
        Seed of all random numbers.
    checkpoints
        Folder for results of finished tasks, from which an interrupted call resumes.
    progress
        Called with ``(tasks done, all tasks)``.

    Returns
    -------
    xarray.Dataset
        Over (pair, alpha) ``train_loss``, ``train_accuracy``, ``test_loss``, ``test_accuracy``;
        over pairs ``train_barrier``, ``test_barrier`` (nats), ``distance`` ‖w_A − w_B‖ of the path,
        ``first`` and ``second``, the configurations; of all alignments, over ``alignment`` too.

    Raises
    ------
    InputError
        Solutions of different shape, `alphas` without 0 or 1, or too few solutions.
    """
    if alignment == "all":
        each = partial(interpolate, solutions, other, pairs=pairs, alphas=alphas, **run)
        joined = xarray.concat(
            [each(alignment=kind) for kind in ALIGNMENTS[::-1]],
            "alignment",
            join="exact",
            combine_attrs="drop_conflicts",
        )
        return joined.assign_coords(alignment=list(ALIGNMENTS[::-1]))
    positions = check_alphas(alphas)
    a = open_solutions(solutions, None, at_least=1 if other is not None else 2)
    b = a if other is None else open_solutions(other, None)
    check_alike(a, b)
    chosen = _pairs(a, b, pairs, run["seed"])
    rows_a = {int(n): row for row, n in enumerate(a.numbers)}
    rows_b = {int(n): row for row, n in enumerate(b.numbers)}
    arguments = [
        (a.weights[rows_a[i]], b.weights[rows_b[j]], positions, alignment) for i, j in chosen
    ]
    lines, about = run_protocol(_line, _Line, a, arguments, (len(chosen),), run)
    first, second = np.array(chosen).T
    result = path_dataset(lines, positions, ("pair",)).assign(
        first=("pair", first), second=("pair", second)
    )
    return result.assign_attrs(
        about, statistic="interpolation", alignment=alignment, other=b.spec.name
    )


@renamed(pieces="checkpoints")
@public
def swap_barriers(
    solutions: EnsembleLike,
    *,
    swaps: Integers | None = None,
    repeats: Count = 1,
    alphas: Steps = PATH_ALPHAS,
    **run: Unpack[ChosenLossTasks],
) -> xarray.Dataset:
    """Swap k pairs of hidden nodes, then interpolate between the copies.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or the path or URL of its store.
    swaps
        Numbers k of swapped pairs, up to half of the hidden nodes; by default powers of two.
    configurations
        Number of solutions, the first ones, or their indices; by default up to 5.
    repeats
        Number of random choices of pairs for each solution and k.
    alphas
        Positions α on the path, 0 and 1 among them; the path may extend beyond both ends.
    examples
        Number of training examples that the loss is computed on, drawn at random; 0 for all.
    seed
        Seed of all random numbers.
    checkpoints
        Folder for results of finished tasks, from which an interrupted call resumes.
    progress
        Called with ``(tasks done, all tasks)``.

    Returns
    -------
    xarray.Dataset
        As `interpolate`, over (solution, swaps, repeat, alpha).

    Raises
    ------
    InputError
        More swaps than disjoint pairs of nodes, or fewer than 1.
    """
    positions = check_alphas(alphas)
    chosen = open_solutions(solutions, run["configurations"], default=5)
    most = most_swaps(chosen.network)
    ks = _powers(most) if swaps is None else as_integers(np.atleast_1d(swaps), "swaps").tolist()
    if not ks or min(ks) < 1 or max(ks) > most:
        raise InputError(
            f"swaps {list(ks)} given; hidden layers {list(chosen.network.widths[1:-1])} have "
            f"{most} disjoint pairs of nodes: 1 to {most}"
        )
    arguments = [
        (chosen.weights[r], k, positions, (run["seed"], int(chosen.numbers[r]), k, repeat))
        for r in range(len(chosen.numbers))
        for k in ks
        for repeat in range(repeats)
    ]
    lines, about = run_protocol(
        _swapped_line, _Line, chosen, arguments, (len(chosen.numbers), len(ks), repeats), run
    )
    result = path_dataset(lines, positions, ("solution", "swaps", "repeat"))
    return result.assign_coords(solution=chosen.numbers, swaps=np.array(ks)).assign_attrs(
        about,
        statistic="permutation and interpolation",
        repeats=repeats,
        log_group_order=log_group_order(chosen.network.widths),
    )


def check_alphas(alphas: ArrayLike) -> Floats:
    """Return positions on a path, which must ascend and include 0 and 1."""
    positions = as_numbers(alphas, "alphas")
    if positions.ndim != 1 or not np.isfinite(positions).all() or (np.diff(positions) <= 0).any():
        raise InputError("alphas must be finite and ascend")
    if not (0 in positions and 1 in positions):
        raise InputError("alphas must hold 0 and 1, each once: the barrier is between them")
    return positions


def path_dataset(paths: _Line, alphas: Floats, dimensions: tuple[str, ...]) -> xarray.Dataset:
    """Return the measures of paths, with the barriers of both losses."""
    values, nat = np.moveaxis(paths.values, -2, 0), {"units": "nat"}
    return xarray.Dataset(
        {
            **measured(values, (*dimensions, "alpha")),
            "train_barrier": (dimensions, barrier(alphas, values[0]), nat),
            "test_barrier": (dimensions, barrier(alphas, values[2]), nat),
            "distance": (dimensions, paths.distance),
        },
        {"alpha": ("alpha", alphas, {"long_name": "place on the path α"})},
    )


def line(terrain: Terrain, a: Singles, b: Singles, alphas: Floats) -> _Line:
    """Measure the networks on a path: (4, alphas), and its length."""
    measures = [
        # One at a time in float64: at α = 0 and 1 they are the solutions themselves.
        terrain.measure(((1 - alpha) * a.astype(np.float64) + alpha * b)[None].astype(np.float32))
        for alpha in alphas
    ]
    distance = np.linalg.norm((a - b).astype(np.float64))
    return _Line(np.concatenate(measures, axis=1), np.float64(distance))


def _line(terrain: Terrain, a: Singles, b: Singles, alphas: Floats, alignment: Alignment) -> _Line:
    """Align two solutions and measure the path between them: the body of a task."""
    checked = check_inputs(terrain)
    if alignment == "clustering":
        a = aligned(terrain.network, a[None], alignment, None, checked)[0]
    b = aligned(terrain.network, b[None], alignment, a, checked)[0]
    return line(terrain, a, b, alphas)


def _swapped_line(
    terrain: Terrain, a: Singles, k: int, alphas: Floats, address: tuple[int, ...]
) -> _Line:
    seed, *path = address
    orders = random_swaps(terrain.network, k, generator(seed, Stream.LANDSCAPE, 2, *path))
    inputs = check_inputs(terrain)
    b = reordered(terrain.network, a[None], [order[None] for order in orders], inputs)[0]
    return line(terrain, a, b, alphas)


def most_swaps(network: NetworkSpec) -> int:
    """Return how many disjoint pairs the hidden nodes of a network have.

    >>> most_swaps(NetworkSpec(widths=(20, 15, 15, 10)))
    14
    """
    return sum(n // 2 for n in network.widths[1:-1])


def random_swaps(network: NetworkSpec, k: int, rng: np.random.Generator) -> list[Ints]:
    """Draw k disjoint pairs of hidden nodes of the same layer, and swap them.

    Returns
    -------
    list of (n_l,) int64: the order of the units of each hidden layer, as `permute_nodes` takes it.
    """
    hidden = network.widths[1:-1]
    paired = [rng.permutation(n) for n in hidden]
    pool = [(layer, pair) for layer, n in enumerate(hidden) for pair in range(n // 2)]
    orders = [np.arange(n) for n in hidden]
    for number in rng.choice(len(pool), k, replace=False):
        layer, pair = pool[number]
        i, j = paired[layer][2 * pair], paired[layer][2 * pair + 1]
        orders[layer][i], orders[layer][j] = j, i
    return orders


def _powers(most: int) -> list[int]:
    powers = list(itertools.takewhile(lambda k: k < most, (2**n for n in range(31))))
    return [*powers, most]


def _pairs(
    a: Solutions, b: Solutions, pairs: int | Sequence[tuple[int, int]], seed: int
) -> list[tuple[int, int]]:
    """Choose pairs of configurations: of one ensemble at random, of two in their order."""
    first, second = a.numbers.tolist(), b.numbers.tolist()
    if not isinstance(pairs, (int, np.integer)):
        rows = as_integers(pairs, "pairs", 2)
        if rows.shape[1] != 2:
            raise InputError(f"pairs of shape {rows.shape} given; (pairs, 2) is needed")
        chosen = [(i, j) for i, j in rows.tolist()]
        if not chosen:
            raise InputError("no pairs given")
        for i, j in chosen:
            if i not in first or j not in second:
                raise InputError(f"pair ({i}, {j}) given; there are no such configurations")
        return chosen
    if a is not b:
        return list(zip(first, second, strict=False))[:pairs]
    possible = list(itertools.combinations(first, 2))
    if len(possible) <= pairs:
        return possible
    drawn = generator(seed, Stream.LANDSCAPE, 3).choice(len(possible), pairs, replace=False)
    return [possible[row] for row in sorted(drawn.tolist())]


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    over = result
    if "alignment" not in result.dims:
        over = result.expand_dims(alignment=[result.attrs["alignment"]])
    return {
        "pairs": result.sizes["pair"],
        "alignment": over["alignment"].values,
        "train_barrier": over["train_barrier"].mean("pair").values,
        "train_barrier_std": over["train_barrier"].std("pair").values,
        "test_barrier": over["test_barrier"].mean("pair").values,
        "distance": over["distance"].mean("pair").values,
        "examples": result.attrs["examples"],
    }


def _shown_swaps(result: xarray.Dataset) -> dict[str, Any]:
    across = [d for d in result["test_barrier"].dims if d != "swaps"]
    return {
        "swaps": result["swaps"].values,
        "train_barrier": result["train_barrier"].mean(across).values,
        "test_barrier": result["test_barrier"].mean(across).values,
        "test_barrier_std": result["test_barrier"].std(across).values,
        "solutions": result.sizes["solution"],
        **{name: result.attrs[name] for name in ("log_group_order", "examples")},
    }


STAGE = Stage(
    "interpolate",
    interpolate,
    reads={"solutions": SOLUTIONS, "other": SOLUTIONS},
    summary=_shown,
    findings=interpolate_findings,
    figures=[
        Figure(
            "lsg_ray.report.figures.loss_landscape:interpolation_figure",
            "Paths between solutions",
            "interpolation_caption",
            together=7,
        )
    ],
)
SWAPS = Stage(
    "swaps",
    swap_barriers,
    reads={"solutions": SOLUTIONS},
    summary=_shown_swaps,
    findings=swaps_findings,
    figures=[
        Figure(
            "lsg_ray.report.figures.loss_landscape:swaps_figure",
            "Barriers between permuted copies",
            "swaps_caption",
            together=7,
        )
    ],
)
