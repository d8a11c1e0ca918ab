"""Two-dimensional maps of configurations: t-SNE and principal components.

For ±1 weights the squared Euclidean distance is four times the Hamming distance, so t-SNE is fed
with exact Hamming neighbours.  With ``starts``, random configurations drawn from the initial fields
of the same trials, or the weights that real ones were trained from, are mapped together with the
learned ones ("Liquid-like" paper, Fig. 2b).

References: L. van der Maaten, G. Hinton, JMLR 9, 2579 (2008); P. Poličar, M. Stražar, B. Zupan,
"openTSNE", J. Stat. Softw. 109(3), 2024 (the implementation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.ensemble.chosen import dataset_of
from lsg_ray.ensemble.schema import pack
from lsg_ray.errors import InputError
from lsg_ray.registry import ALGORITHMS, FAMILIES
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.statistics.configurations import (
    ArrayConfigurations,
    Configurations,
    StoredConfigurations,
    as_configurations,
    stream,
)
from lsg_ray.statistics.moments import moments
from lsg_ray.statistics.neighbours import nearest_neighbours
from lsg_ray.statistics.views import Packed
from lsg_ray.typing import Array, ConfigurationsLike, Count, Floats, Ints, Positive, Progress, Seed


@dataclass(frozen=True)
class MapConfig:
    """Limits of a map, and steps of its layout."""

    #: Fewest configurations, and most points.
    min_points: int = 4
    max_points: int = 200_000
    #: Largest covariance that is diagonalised, in weights; beyond, a randomised method.
    max_covariance: int = 4096
    #: Most real-valued points of t-SNE: all their distances are in memory.
    max_real_points: int = 20_000
    #: Points above which the layout uses every CPU by default.
    threaded_points: int = 10_000
    #: Most bytes of memory for real-valued points.
    max_bytes: int = 8 * 2**30
    #: Steps of the layout with exaggerated attraction, and without (openTSNE's defaults).
    steps: tuple[int, int] = (250, 500)


MAP = MapConfig()

Method = Literal["tsne", "pca"]


@public
def embed(
    ensemble: ConfigurationsLike,
    *,
    method: Method = "tsne",
    configurations: Count | None = None,
    starts: bool = False,
    perplexity: Positive = 30.0,
    color: str | None = None,
    seed: Seed = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Map configurations to the plane.

    Parameters
    ----------
    ensemble
        Ensemble, view, or array (M, N).
    method
        ``tsne``, started from the principal components, or ``pca``.
    configurations
        Number of configurations, drawn without replacement; all by default, at most 200,000.
    starts
        Whether to map as many starts too: configurations drawn from the initial fields of
        the trials, or the weights that ReLU networks started from, with related-descent those of
        their parent, which is trained again unless ensemble.snapshots has 0.  For whole
        configurations of a store.
    perplexity
        Effective number of neighbours in t-SNE; at most a third of the points.
    color
        Column that gives the colours of a figure; by default the accuracy.
    seed
        Seed of the choice and of the layout.
    threads
        Number of threads of the layout; by default one up to 10,000 points, else one per CPU.  With
        one, the result is repeatable to the last bit; with more, sums differ by rounding.
    progress
        Called with ``(steps done, steps in total)``.

    Returns
    -------
    xarray.Dataset
        ``x``, ``y``, ``learned`` (bool) and, from a store, ``configuration`` and every column such
        as ``accuracy`` (NaN for starts), all over ``point``; attributes ``method`` and, for t-SNE,
        ``perplexity``, ``kl_divergence``, ``iterations``, or for PCA ``explained_variance_ratio``;
        with starts ``distinct_starts``, as related networks can have one, which is one point.

    Raises
    ------
    InputError
        Fewer than 4 or more than 200,000 configurations, points of real weights that need too much
        memory (`MapConfig.max_bytes`), or an unknown method.

    Notes
    -----
    t-SNE of 10⁵ × 675 on two cores: 35 s for the neighbours, then some minutes for the layout.
    """
    source = as_configurations(ensemble)
    if color is not None and color not in source.columns:
        raise InputError(f"color {color} given; columns are {', '.join(source.columns)}")
    count = source.n_rows if configurations is None else min(source.n_rows, configurations)
    if not MAP.min_points <= count <= MAP.max_points:
        raise InputError(
            f"{source.name}: {count:,} configurations; a map takes {MAP.min_points} to "
            f"{MAP.max_points:,} of them (configurations)"
        )
    _check_memory(source, count * (1 + starts))
    rng = stream(seed, Stream.MAP)
    chosen = np.sort(rng.choice(source.n_rows, count, replace=False))
    weights = source.take(chosen)
    columns = {name: source.values(name, chosen) for name in source.columns}
    if starts:
        # A common start is one point: t-SNE would put copies of it beside each other.
        distinct, start = _distinct(_starts(source, columns))
        weights = np.concatenate([distinct, weights])
        place = np.append(start, len(distinct) + np.arange(count))
    else:
        place = np.arange(count)
    learned = np.arange(len(place)) >= len(place) - count
    points: Configurations
    if source.signs:
        points = Packed(pack(weights), source.n_weights, source.name)
    else:
        points = ArrayConfigurations(weights)
    components, share = _components(points)
    about: dict[str, Any] = {"method": method, "explained_variance_ratio": share.tolist()}
    xy = components
    if method == "tsne":
        state = int(rng.integers(2**31))
        xy, layout = _tsne(points, components, perplexity, state, threads, progress)
        about |= layout
    xy = xy[place].astype(np.float64)
    variables: dict[str, Any] = {
        "x": ("point", xy[:, 0]),
        "y": ("point", xy[:, 1]),
        "learned": ("point", learned),
    }
    for name, values in columns.items():
        padded = np.full(len(place), -1 if name == "configuration" else np.nan)
        padded[learned] = values
        variables[name] = ("point", padded.astype(np.int64) if name == "configuration" else padded)
    attributes = {"statistic": "map", **source.provenance(), **about, "seed": seed}
    if color is not None:
        attributes["color"] = color
    if starts:
        attributes["distinct_starts"] = len(distinct)
    return xarray.Dataset(variables, attrs=attributes)


def _check_memory(source: Configurations, points: int) -> None:
    # Real numbers: the points, a copy in single precision, and one for the computation.
    need = 0 if source.signs else 20 * points * source.n_weights
    if need > MAP.max_bytes:
        raise InputError(
            f"{points:,} points of {source.n_weights:,} real weights take {need / 2**30:.0f} GiB "
            f"of memory, more than {MAP.max_bytes / 2**30:.0f}; choose fewer (--configurations), "
            "or a part (--part)"
        )


def _starts(source: Configurations, columns: dict[str, Array]) -> Array:
    """Draw a configuration from the initial fields of each learned one's trial.

    Of real weights, these are where the trial started; for algorithms where that is not a draw of
    its own (`Algorithm.starts`) as it was stored, if it was.
    """
    if not isinstance(source, StoredConfigurations) or source.ensemble.is_part:
        raise InputError("starts asked for; they belong to whole configurations of a store")
    ensemble, spec = source.ensemble, source.ensemble.spec
    if ensemble.header.derivation is not None:
        raise InputError(
            "starts asked for; these configurations were derived or imported, not sampled"
        )
    family, own = FAMILIES[spec.network.family], ALGORITHMS[spec.algorithm].starts
    numbers, trials = columns["configuration"].tolist(), columns["trial"].tolist()
    if own is None:
        pairs = zip(numbers, trials, strict=True)
        seed = spec.ensemble.seed
        return family.starts(spec, [seed_sequence(seed, Stream.TRIAL, i, t) for i, t in pairs])
    if ensemble.at is None and 0 in spec.times[1]:
        started = ensemble.snapshot(0).take(numbers)["weights"]
    else:
        started = own(spec, numbers, trials, lambda: family.prepare(spec, dataset_of(ensemble)))
    return started.astype(np.float64)


def _distinct(rows: Array) -> tuple[Array, Ints]:
    """Return rows without repetition, as they come first, and which of them each is."""
    _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return rows[first[order]], np.argsort(order)[which.ravel()]


def _components(points: Configurations) -> tuple[Floats, Floats]:
    """Return the first two principal components (M, 2) and their shares of the variance."""
    if points.n_weights > MAP.max_covariance:
        from sklearn.decomposition import PCA

        count = min(2, points.n_weights, points.n_rows)
        model = PCA(count, svd_solver="randomized", random_state=0)
        scores = model.fit_transform(points.rows(0, points.n_rows).astype(np.float32))
        return _two(scores), _two(model.explained_variance_ratio_[None])[0]
    from scipy.linalg import eigh

    estimate = moments(points)
    covariance = estimate["connected"].values
    values, vectors = eigh(covariance)
    axes = vectors[:, ::-1][:, :2]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1, 1)
    m = estimate["m"].values
    steps = range(0, points.n_rows, 8192)
    xy = np.concatenate([(points.rows(i, min(i + 8192, points.n_rows)) - m) @ axes for i in steps])
    total = max(float(values.sum()), np.finfo(float).tiny)
    return _two(xy), _two(values[::-1][:2][None] / total)[0]


def _two(columns: Array) -> Floats:
    """Add columns of zeros until there are two: one weight has one component."""
    return np.pad(columns, ((0, 0), (0, 2 - columns.shape[1])))


def _tsne(
    points: Configurations,
    components: Floats,
    perplexity: float,
    random_state: int,
    threads: int | None,
    progress: Progress | None,
) -> tuple[Floats, dict[str, Any]]:
    from dask.system import CPU_COUNT
    from openTSNE import TSNE
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    count = points.n_rows
    perplexity = min(perplexity, (count - 1) / 3)
    k = min(count - 1, int(3 * perplexity) + 1)
    if not points.signs and count > MAP.max_real_points:
        raise InputError(
            f"{count:,} real-valued points; t-SNE takes {MAP.max_real_points:,} of them at most"
        )
    neighbours = nearest_neighbours(points, points, k)
    distances = np.sqrt(4.0 * neighbours.distances) if points.signs else neighbours.distances
    jobs = min(threads or (CPU_COUNT if count > MAP.threaded_points else 1), CPU_COUNT)
    index = PrecomputedNeighbors(neighbours.rows.astype(np.int32), distances)
    # openTSNE allows k neighbours a perplexity of k/3.
    affinities = PerplexityBasedNN(
        perplexity=perplexity, knn_index=index, n_jobs=jobs, random_state=random_state
    )
    spread = components[:, 0].std()
    noise = np.random.default_rng(random_state).normal(size=components.shape)
    start = 1e-4 * (components / spread if spread > 0 else 0) + 1e-6 * noise
    total = sum(MAP.steps)
    done = 0

    def step(_iteration: int, _error: float, _embedding: Any) -> None:
        nonlocal done
        done += every
        if progress is not None:
            progress(min(done, total), total)

    every = 10
    layout = TSNE(
        early_exaggeration_iter=MAP.steps[0],
        n_iter=MAP.steps[1],
        n_jobs=jobs,
        random_state=random_state,
        callbacks=step,
        callbacks_every_iters=every,
    ).fit(affinities=affinities, initialization=start)
    about = {
        "perplexity": perplexity,
        "kl_divergence": float(layout.kl_divergence),
        "iterations": total,
        "threads": jobs,
    }
    return np.asarray(layout), about


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    names = ("kl_divergence", "perplexity", "explained_variance_ratio")
    return {
        "points": int(result.sizes["point"]),
        **{name: result.attrs[name] for name in names if name in result.attrs},
    }


STAGE = Stage(
    "embed",
    embed,
    reads={"ensemble": ENSEMBLE},
    summary=_shown,
    unit="steps",
    figures=[
        Figure(
            "lsg_ray.report.figures.map:map_figure", "Map of starts and solutions", "map_caption"
        )
    ],
)
