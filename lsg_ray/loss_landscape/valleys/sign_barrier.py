r"""Barriers between solutions against the signs that they share, and what their average is worth.

Of each pair of solutions A, B the sign consistency SSR, the loss on the straight path between them
with its barrier B (`lsg_ray.loss_landscape.interpolation`), and the fusion (A + B)/2 with its
accuracy are measured.  Pairs are of up to three kinds:

- ``independent``: trained from starts of their own;
- ``related``: of one group of `related-descent`, children of one parent or networks whose signs are
  kept alike; of two ensembles of one seed, networks of the same start;
- ``aligned``: the independent pairs again, after the hidden units of B are matched to those of A
  (`lsg_ray.networks.alignment`), which raises SSR and leaves the loss of both as it is.

Spearman's ρ between SSR and barrier says whether they go together (arXiv:2405.12489).  Pairs share
networks, so all errors are bootstrapped over networks, whole groups at a time: networks are drawn
with replacement, and a pair counts as often as the product of the counts of its two groups, or as
the one group that holds both.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np
import xarray
from scipy.stats import rankdata

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.interpolation import check_alphas, line, path_dataset
from lsg_ray.loss_landscape.terrain import (
    Solutions,
    Terrain,
    check_alike,
    check_inputs,
    open_solutions,
    run_protocol,
)
from lsg_ray.loss_landscape.valleys.directions import shared_signs
from lsg_ray.networks.alignment import Alignment, aligned
from lsg_ray.networks.solvers.related_descent import group_of
from lsg_ray.rng import Stream, generator
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.typing import (
    Count,
    EnsembleLike,
    Flags,
    Floats,
    Integers,
    Ints,
    LossTasks,
    Repeats,
    Singles,
    Steps,
)

#: Default positions on the path.
ALPHAS = np.round(np.linspace(0, 1, 11), 12)
KINDS = ("independent", "related", "aligned")
#: What is averaged over pairs; rank correlations with the first are of all others.
QUANTITIES = ("sign_consistency", "train_barrier", "test_barrier", "fusion_gap")
#: Purposes of random numbers in `Stream.LANDSCAPE`.
_PAIRS, _BOOTSTRAP = 32, 33
#: Least |ρ|/error, and least number of pairs, of a verdict.  Of planted pairs without correlation,
#: of 6 to 24 networks with effects of up to 90 % of the variance, at most 5 % are beyond three
#: errors (beyond two 13 %).
DEVIATION, FEWEST = 3.0, 8
CRITERION = (
    f"negative or positive: |ρ| above {DEVIATION:g} standard errors, of {FEWEST} pairs or more"
)


class _Path(NamedTuple):
    """One pair: measures (4, alphas), distance, and sign consistency."""

    values: Floats
    distance: Any
    consistency: Any


class _Chosen(NamedTuple):
    """Pairs: configurations of both, groups (numbers of units) of both, and whether related."""

    first: Ints
    second: Ints
    unit: Ints
    unit_: Ints
    related: Flags


@public
def sign_barrier(
    solutions: EnsembleLike,
    other: EnsembleLike | None = None,
    *,
    pairs: Count = 200,
    align: bool = True,
    alphas: Steps = ALPHAS,
    configurations: Integers | None = None,
    samples: Repeats = 1000,
    **run: Unpack[LossTasks],
) -> xarray.Dataset:
    """Measure barriers between pairs of solutions against the share of equal signs.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or the path or URL of its store.
    other
        Ensemble that the second solution of each pair is from, of the same architecture and data;
        by default the first ensemble.
    pairs
        Number of pairs of each kind, independent and related, drawn at random; all, if there are
        fewer.
    align
        Whether to measure the independent pairs again with hidden units matched.
    alphas
        Positions α on the path; 0, 0.5 and 1 among them.
    configurations
        Number of solutions of each ensemble, the first ones, or their indices; by default up to 50.
    samples
        Number of bootstrap samples.
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
        Over (pair, alpha) the measures of the path; over pairs ``train_barrier``, ``test_barrier``
        (nats), ``distance``, ``sign_consistency``, ``fusion_gap``, by how much the fusion is less
        accurate on the test set than its two networks in the mean, ``fused_accuracy``, ``first``,
        ``second``, and ``kind_of``.  Over (kind, quantity) ``mean``, and over (kind, quantity)
        ``spearman``, of the quantity with the sign consistency, each with ``_stderr`` over
        networks, NaN of one pair; ``n_pairs`` (kind).  The kind ``all`` holds all pairs.
        Attributes: ``verdict_KIND``, whether ρ(SSR, training barrier) is negative, positive or
        undetermined, with ``criterion``.

    Raises
    ------
    InputError
        Solutions of different shape or data, `alphas` without 0, 0.5 or 1, too few solutions, or
        one that is in both ensembles.

    Notes
    -----
    Each pair evaluates as many networks as there are α.  Errors of means and correlations are
    conditional on the examples and on the pairs that were drawn.
    """
    positions = check_alphas(alphas)
    if 0.5 not in positions:
        raise InputError("alphas must hold 0.5: the fusion of two networks is half-way")
    a = open_solutions(solutions, configurations, default=50, at_least=2 if other is None else 1)
    b = a if other is None else open_solutions(other, configurations, default=50)
    if other is not None:
        check_alike(a, b, data=True)
        _refuse_itself(a, b)
    chosen = _choose(a, b, pairs, run["seed"])
    kinds = np.where(chosen.related, KINDS[1], KINDS[0])
    rows = np.arange(len(kinds))
    if align:
        again = np.flatnonzero(~chosen.related)
        rows, kinds = np.r_[rows, again], np.r_[kinds, np.full(len(again), KINDS[2])]
    rows_a, rows_b = ({int(n): k for k, n in enumerate(one.numbers)} for one in (a, b))
    arguments = [
        (a.weights[rows_a[int(chosen.first[row])]], b.weights[rows_b[int(chosen.second[row])]],
         positions, "matching" if kind == KINDS[2] else "none")
        for row, kind in zip(rows, kinds, strict=True)
    ]  # fmt: skip
    paths, about = run_protocol(_path, _Path, a, arguments, (len(arguments),), run)
    chosen = _Chosen._make(column[rows] for column in chosen)
    result = _dataset(paths, positions, chosen, kinds)
    table = _table(result, chosen, samples, generator(run["seed"], Stream.LANDSCAPE, _BOOTSTRAP))
    return result.merge(table).assign_attrs(
        about, statistic="sign consistency and barriers", other=b.spec.name, samples=samples,
        criterion=CRITERION, **_verdicts(table),
    )  # fmt: skip


def _refuse_itself(a: Solutions, b: Solutions) -> None:
    """Refuse sets with a network in common, whose pair with itself has no barrier."""
    numbers, rows, rows_ = np.intersect1d(a.numbers, b.numbers, return_indices=True)
    equal = (a.weights[rows] == b.weights[rows_]).all(axis=1)
    if equal.any():
        raise InputError(
            f"{b.ensemble.url}: configuration {numbers[equal][0]} is that of {a.ensemble.url}; "
            "name another ensemble, or none for pairs within one (--other)"
        )


def _choose(a: Solutions, b: Solutions, pairs: int, seed: int) -> _Chosen:
    """Draw independent and related pairs, up to a number of each."""
    group = group_of(a.spec)
    if a is b:
        rows, rows_ = np.triu_indices(len(a.numbers), 1)
    else:
        rows, rows_ = np.indices((len(a.numbers), len(b.numbers))).reshape(2, -1)
    first, second = a.numbers[rows], b.numbers[rows_]
    unit, unit_ = first // group, second // group
    starts = [(s.ensemble.seed, s.algorithm, group_of(s)) for s in (a.spec, b.spec)]
    if starts[0] != starts[1]:
        unit_ = second // group_of(b.spec) + unit.max() + 1  # no start of the one is of the other
    related = unit == unit_
    rng = generator(seed, Stream.LANDSCAPE, _PAIRS)
    drawn = [np.flatnonzero(~related), np.flatnonzero(related)]
    drawn = [np.sort(rng.choice(some, min(pairs, len(some)), replace=False)) for some in drawn]
    every = np.concatenate(drawn)
    return _Chosen._make(column[every] for column in (first, second, unit, unit_, related))


def _path(terrain: Terrain, a: Singles, b: Singles, alphas: Floats, alignment: Alignment) -> _Path:
    """Align a pair and measure the path: the body of a task."""
    b = aligned(terrain.network, b[None], alignment, a, check_inputs(terrain))[0]
    path = line(terrain, a, b, alphas)
    return _Path(path.values, path.distance, np.float64(shared_signs(a, b)))


def _dataset(paths: _Path, alphas: Floats, chosen: _Chosen, kinds: Any) -> xarray.Dataset:
    result = path_dataset(paths, alphas, ("pair",))  # type: ignore[arg-type] # with the fields of a path
    accuracy = result["test_accuracy"].values
    ends = (accuracy[:, alphas == 0] + accuracy[:, alphas == 1])[:, 0] / 2
    fused, one = accuracy[:, alphas == 0.5][:, 0], {"units": "1"}
    return result.assign(
        sign_consistency=("pair", paths.consistency, {"long_name": "sign consistency SSR", **one}),
        fused_accuracy=("pair", fused, {"long_name": "test accuracy of the fusion", **one}),
        fusion_gap=("pair", ends - fused, {"long_name": "loss of accuracy by fusion", **one}),
        first=("pair", chosen.first), second=("pair", chosen.second), kind_of=("pair", kinds),
    )  # fmt: skip


def _table(
    result: xarray.Dataset, chosen: _Chosen, samples: int, rng: np.random.Generator
) -> xarray.Dataset:
    """Return means and rank correlations of each kind of pairs, with errors over networks."""
    values = np.stack([result[name].values for name in QUANTITIES], axis=1)
    kind_of = result["kind_of"].values
    masks = {kind: kind_of == kind for kind in KINDS if (kind_of == kind).any()}
    masks |= {"all": np.ones(len(values), bool)} if len(masks) > 1 else {}
    weights = _bootstrap(chosen, samples, rng)
    found = [_correlated(values[mask], weights[:, mask]) for mask in masks.values()]
    mean, mean_error, rho, rho_error = (np.stack(column) for column in zip(*found, strict=True))
    dims = ("kind", "quantity")
    return xarray.Dataset(
        {
            "mean": (dims, mean), "mean_stderr": (dims, mean_error),
            "spearman": (dims, rho, {"long_name": "Spearman's ρ with the sign consistency"}),
            "spearman_stderr": (dims, rho_error),
            "n_pairs": ("kind", [int(mask.sum()) for mask in masks.values()]),
        },
        {"kind": list(masks), "quantity": list(QUANTITIES)},
    )  # fmt: skip


def _bootstrap(chosen: _Chosen, samples: int, rng: np.random.Generator) -> Ints:
    """Return how often each pair counts in each sample, (samples, pairs)."""
    shared = np.intersect1d(chosen.unit, chosen.unit_).size > 0
    sets = (
        [np.unique(np.r_[chosen.unit, chosen.unit_])]
        if shared
        else [np.unique(chosen.unit), np.unique(chosen.unit_)]
    )
    count = np.zeros((samples, max(int(units.max()) for units in sets) + 1), np.int64)
    for units in sets:
        count[:, units] = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), samples)
    both = count[:, chosen.unit]
    return np.where(chosen.unit == chosen.unit_, both, both * count[:, chosen.unit_])


def _correlated(values: Floats, weights: Ints) -> tuple[Floats, Floats, Floats, Floats]:
    """Return means and Spearman's ρ with the first column, each with its error."""
    means, rhos = [], []
    for row in weights:
        drawn = np.repeat(values, row, axis=0)
        if len(drawn):
            means.append(drawn.mean(axis=0))
            rhos.append(spearman(drawn))
    return values.mean(axis=0), _spread(means), spearman(values), _spread(rhos)


def _spread(drawn: list[Floats]) -> Floats:
    """Return the standard deviation of each column, without samples that have no value."""
    values = np.array(drawn)
    good = np.isfinite(values)
    count = good.sum(axis=0)
    mean = np.where(good, values, 0).sum(axis=0) / np.maximum(count, 1)
    squares = (np.where(good, values - mean, 0) ** 2).sum(axis=0)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)


def spearman(values: Floats) -> Floats:
    """Return Spearman's ρ of each column of values (rows, Q) with the first; NaN if constant.

    >>> spearman(np.array([[1.0, 9.0], [2.0, 4.0], [3.0, 1.0]])).round(9).tolist()
    [1.0, -1.0]
    """
    ranks = rankdata(values, axis=0) - (len(values) + 1) / 2
    norm = np.sqrt((ranks**2).sum(axis=0))
    scale = norm * norm[0]
    return np.divide(ranks.T @ ranks[:, 0], scale, out=np.full(len(scale), np.nan), where=scale > 0)


def _verdicts(table: xarray.Dataset) -> dict[str, str]:
    words = {}
    for kind in table["kind"].values:
        one = table.sel(kind=kind, quantity=QUANTITIES[1])
        rho, error = float(one["spearman"]), float(one["spearman_stderr"])
        sure = int(one["n_pairs"]) >= FEWEST and abs(rho) > DEVIATION * error
        word = "negative" if rho < 0 else "positive"
        words[f"verdict_{kind}"] = word if sure else "undetermined"
    return words


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    def texts(name: str, kind: str) -> dict[str, str]:
        some = result.sel(kind=kind)
        return {
            str(quantity): f"{float(value):.4g} ± {float(error):.2g}"
            for quantity, value, error in zip(
                result["quantity"].values, some[name], some[f"{name}_stderr"], strict=True
            )
        }

    return {
        str(kind): {
            "pairs": int(result["n_pairs"].sel(kind=kind)),
            **texts("mean", kind),
            "spearman": texts("spearman", kind)[QUANTITIES[1]],
            "verdict": result.attrs[f"verdict_{kind}"],
        }
        for kind in result["kind"].values
    }


STAGE = Stage(
    "sign-barrier", sign_barrier, reads={"solutions": SOLUTIONS, "other": SOLUTIONS},
    summary=_shown,
    figures=[Figure("lsg_ray.report.figures.valleys:barrier_figure",
                    "Barriers and shared signs", "barrier_caption")],
)  # fmt: skip
