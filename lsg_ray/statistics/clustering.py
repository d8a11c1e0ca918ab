"""Distances between solutions, and their hierarchy.

Hidden units are reordered first, since networks that differ by a permutation of them are one
solution (`lsg_ray.networks.alignment`).  Then configurations are clustered agglomeratively: the two
nearest clusters are joined, again and again, with the distance of average linkage

    d(u ∪ v, w) = (|u| d(u, w) + |v| d(v, w)) / (|u| + |v|)

by default.  The *cophenetic* distance of two configurations is the height at which they are joined.
In the order of the leaves of the dendrogram, a hierarchy shows as blocks in blocks on the diagonal
of both matrices; `lsg_ray.statistics.hierarchy.flat_clusters` cuts the tree.

Source: "Spin-glass lens" paper, Sec. 4.4 and App. A.4.2; D. Müllner, "fastcluster", J. Stat.
Softw. 53(9), 2013.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
import xarray
from annotated_types import Ge

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.networks.permutations import log_group_order
from lsg_ray.rng import Stream
from lsg_ray.spec import NetworkSpec
from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.statistics.aligned import (
    Alignment,
    Distances,
    Matrix,
    Plan,
    euclidean,
    fill,
    plan_alignment,
    tiles,
)
from lsg_ray.statistics.configurations import Configurations, as_configurations, stream
from lsg_ray.statistics.derived import stored_root
from lsg_ray.statistics.distances import distances
from lsg_ray.statistics.findings import cluster_findings
from lsg_ray.statistics.gaussian import (
    PAIR_TESTS,
    GaussianFit,
    PairModes,
    fit_gaussian,
    pair_modes,
    upper,
)
from lsg_ray.statistics.hierarchy import correlation
from lsg_ray.statistics.modes import MODE_TEST_NAME
from lsg_ray.statistics.views import Packed
from lsg_ray.typing import Array, ConfigurationsLike, Count, Floats, Ints, Natural, Progress, Seed

Linkage = Literal["single", "complete", "average", "weighted", "centroid", "median", "ward"]
LINKAGES: tuple[Linkage, ...] = get_args(Linkage)
#: Linkages whose formulas are of squared Euclidean distances.
EUCLIDEAN_LINKAGES: tuple[Linkage, ...] = ("centroid", "median", "ward")


@dataclass(frozen=True)
class ClusterConfig:
    """Limits of a clustering."""

    #: Fewest configurations, and most: a matrix of their distances takes 200 MB.
    min_configurations: int = 3
    max_configurations: int = 5000
    #: Most bins of the histogram, if their number is not given.
    max_bins: int = 100
    #: Bytes of rows of an array on disk that are read at a time.
    chunk_bytes: int = 2**24


CLUSTER = ClusterConfig()


@public
def cluster(
    ensemble: ConfigurationsLike,
    *,
    alignment: Alignment | None = None,
    reference: Natural = 0,
    linkage: Linkage = "average",
    configurations: Annotated[int, Ge(CLUSTER.min_configurations)] | None = None,
    bins: Count | None = None,
    network: NetworkSpec | Sequence[int] | None = None,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Cluster configurations by their distance after reordering of the hidden units.

    The tests take into account that pairs are not independent; see `lsg_ray.statistics.gaussian`.

    Parameters
    ----------
    ensemble
        3 to 5,000 configurations: ensemble, view, or array (M, N).
    alignment
        How hidden units are brought into a common order.  ``clustering``, the paper's for
        real-valued networks (their default): each network by itself, so that all its permutations
        come to one order.  ``matching``: each to one `reference` by linear assignment, to a local
        minimum for more than one hidden layer; matching every pair by itself would give other,
        smaller distances.  The reference is left out: it is nearer to all others than they are to
        each other.  ``canonical``, for ±1 weights (their default): see
        `lsg_ray.statistics.node_symmetry.canonicalize`.  ``none``: as they are; the default for
        arrays, parts of the weights, and views that are reordered already.
    reference
        Row of the ensemble that the others are matched to.
    linkage
        Linkage method: ``single``, ``complete``, ``average``, ``weighted``; for real weights also
        ``centroid``, ``median`` and ``ward``.
    configurations
        Number of configurations, drawn without replacement; all by default.
    bins
        Number of equal bins of the histogram from the smallest distance to the largest; by default
        after Freedman and Diaconis, at most 100.
    network
        Architecture of the networks in an array, or their widths (without biases).
    seed
        Seed of the choice of configurations and of the tests.
    progress
        Called with ``(done, total)``: rows read and tiles of distances.

    Returns
    -------
    xarray.Dataset
        ``distance`` and ``cophenetic`` (configuration, configuration_): Euclidean, or Hamming (in
        weights) for ±1; ``linkage`` (merge, 4): clusters a < b, height and count, with cluster
        M + k made by merger k, as SciPy has it; ``leaf_order`` (leaf): indices along
        ``configuration``; ``pairs`` (bin), with coordinates ``left`` and ``right``.  Attributes:

        - ``mean``, ``mean_stderr``, ``std`` of the distance, ``mean_before`` and ``std_before``
          without reordering, ``layer_mean`` and ``layer_mean_before`` by layer (real weights);
        - ``independent``, the distance expected of two configurations with weights drawn
          independently from all weights of each layer (of ±1, from all), and ``relative_mean``,
          ``relative_mean_before`` in units of it;
        - the Gaussian of ``mean`` and ``std``: ``gaussian_kolmogorov``, ``gaussian_p_value``,
          ``gaussian_accepted`` at ``level``, ``shared_variance``; see
          `lsg_ray.statistics.gaussian.fit_gaussian`;
        - ``modes``, ``modes_p_value``, ``peaks``; see `lsg_ray.statistics.gaussian.pair_modes`;
        - ``cophenetic_correlation`` between the two matrices, ``log_group_order`` (log Π n_l!,
          nats).

    Raises
    ------
    InputError
        Too few or too many configurations, an unknown linkage or alignment or one that does not
        fit the weights, a reference that is not there, weights that are not finite.
    StoreError
        The temporary file does not fit on the disk; see Notes.
    LsgError
        A reordered network has another output: an error of ours.  Checked on `CHECKED_INPUTS` test
        examples (for arrays, on random inputs), always.

    Notes
    -----
    Rows are read twice, with and without reordering, by tasks that run on Dask's current scheduler.
    They are 32-bit numbers (64-bit ones for arrays of these) in memory, beyond half a gigabyte in a
    temporary file.  O(n² (inputs + outputs)) for reordering n units, M² N for distances, M² for
    the tree.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(12, 50))
    >>> result = cluster(x + 3 * (np.arange(12) % 2)[:, None])
    >>> sorted(result["leaf_order"].values[:6].tolist())
    [1, 3, 5, 7, 9, 11]
    """
    base = as_configurations(_lazy(ensemble))
    _check(base, linkage)
    plan = plan_alignment(base, alignment, reference, network)
    left_out = reference if plan.alignment == "matching" else None
    chosen = _choose(base, left_out, configurations, seed)
    kind = np.float32 if _is_single(base, ensemble) else np.float64
    before, after = _measure(base, plan, chosen, kind, progress)
    fit = fit_gaussian(after.matrix, lattice=base.signs, seed=seed)
    modes = pair_modes(after.matrix, lattice=base.signs, seed=seed)
    tree = _tree(base, after.matrix, linkage, chosen)
    result = tree.merge(_histogram(upper(after.matrix), bins, base.signs))
    result.attrs = {
        "statistic": "clustering",
        **base.provenance(),
        "configurations": len(chosen),
        "n_weights": base.n_weights,
        "alignment": plan.alignment,
        **({} if left_out is None else {"reference": left_out}),
        "linkage": linkage,
        "metric": "hamming" if base.signs else "euclidean",
        "log_group_order": log_group_order(plan.widths),
        "n_pairs": len(chosen) * (len(chosen) - 1) // 2,
        "seed": seed,
        **_averages(before, after),
        **_tests(fit, modes),
        "cophenetic_correlation": correlation(tree["distance"].values, tree["cophenetic"].values),
    }
    return result


#: The name of `cluster` in `lsg_ray`, where ``cluster`` is a package.
clustering = cluster


class _OnDisk:
    """An array on disk without its class: Dask would read all of a memory-mapped one at once."""

    ndim = 2

    def __init__(self, array: Array) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, index: Any) -> Array:
        return self.array[index]


def _lazy(given: Any) -> Any:
    """Turn an array on disk into one that is read range by range."""
    if not isinstance(given, np.memmap) or given.ndim != 2 or not given.size:
        return given
    import dask.array

    rows = max(1, CLUSTER.chunk_bytes // given[:1].nbytes)
    return dask.array.from_array(_OnDisk(given), chunks=(rows, -1), name=False)


def _is_single(base: Configurations, given: Any) -> bool:
    return stored_root(base) is not None or getattr(given, "dtype", None) == np.float32


def _check(base: Configurations, linkage: str) -> None:
    if base.signs and linkage in EUCLIDEAN_LINKAGES:
        others = ", ".join(name for name in LINKAGES if name not in EUCLIDEAN_LINKAGES)
        raise InputError(
            f"linkage {linkage!r} is of Euclidean distances, and those of ±1 weights are Hamming's;"
            f" choose one of {others}"
        )
    base.require(CLUSTER.min_configurations, "clusters")


def _choose(base: Configurations, left_out: int | None, count: int | None, seed: int) -> Ints:
    rows = np.arange(base.n_rows)
    rows = rows[rows != left_out]
    count = len(rows) if count is None else min(count, len(rows))
    least, most = CLUSTER.min_configurations, CLUSTER.max_configurations
    if not least <= count <= most:
        raise InputError(
            f"{base.name}: {count:,} configurations to be clustered, and the matrix of all their "
            f"distances is held; choose {least} to {most:,} at random (configurations)"
        )
    rng = stream(seed, Stream.PAIRS)
    return np.sort(rng.choice(rows, count, replace=False))


def _measure(
    base: Configurations, plan: Plan, chosen: Ints, kind: Any, progress: Progress | None
) -> tuple[Distances, Distances]:
    """Return distances as the networks are, and with their units reordered."""
    row = -(-base.n_weights // 8) if base.signs else base.n_weights
    matrix = Matrix(len(chosen), row, np.uint8 if base.signs else kind)
    passes = 1 if plan.alignment == "none" else 2
    work = 0 if base.signs else sum(map(len, tiles(matrix, plan.layers)))
    done, total = 0, passes * (len(chosen) + work)

    def on_done(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    def measured() -> Distances:
        if not base.signs:
            return euclidean(matrix, plan.layers, on_done)
        bits = Packed(matrix.values, base.n_weights, base.name)
        values = distances(bits, matrix=True, seed=0)["matrix"].values.astype(np.float64)
        ones = sum(int(np.bitwise_count(some).sum()) for some in matrix.values)
        share = ones / (len(chosen) * base.n_weights)
        return Distances(values, [], 2 * base.n_weights * share * (1 - share))

    fill(matrix, base, chosen, None, on_done)
    before = measured()
    if passes == 1:
        return before, before
    fill(matrix, plan.source, chosen, plan.reordering, on_done)
    return before, measured()


def _tree(base: Configurations, distance: Floats, linkage: Linkage, chosen: Ints) -> xarray.Dataset:
    import fastcluster
    from scipy.cluster.hierarchy import cophenet, leaves_list
    from scipy.spatial.distance import squareform

    # The distances of pairs are a copy, which fastcluster may overwrite.
    tree = fastcluster.linkage(upper(distance), linkage, preserve_input=False)
    joined, order = squareform(cophenet(tree)), leaves_list(tree).astype(np.int64)
    stored = "configuration" in base.columns
    names = base.values("configuration", chosen) if stored else chosen
    unit = {"units": "weights" if base.signs else "1"}
    pair = ("configuration", "configuration_")
    about = {"long_name": "distance", **unit}
    return xarray.Dataset(
        {
            "distance": (pair, distance, about),
            "cophenetic": (pair, joined, {"long_name": "cophenetic distance", **unit}),
            "linkage": (("merge", "entry"), tree, {"long_name": "a, b, height, count"}),
            "leaf_order": ("leaf", order, {"long_name": "place along configuration"}),
        },
        {"configuration": names, "configuration_": names.copy()},
    )


def _histogram(values: Floats, bins: int | None, lattice: bool) -> xarray.Dataset:
    low, high = float(values.min()), float(values.max())
    # Equal distances differ by rounding.
    equal = high - low <= 1e-9 * abs(high)
    if bins is None:
        bins = 1 if equal else min(CLUSTER.max_bins, len(np.histogram_bin_edges(values, "fd")) - 1)
    if lattice:
        step = -(-int(high - low + 1) // bins)
        edges = np.arange(low - 0.5, high + step, step)
    else:
        margin = max(abs(high), 1.0) * 1e-9 if equal else 0.0
        edges = np.linspace(low - margin, high + margin, bins + 1)
    counts = np.histogram(values, edges)[0]
    return xarray.Dataset(
        {"pairs": ("bin", counts, {"long_name": "pairs of configurations", "units": "1"})},
        {"left": ("bin", edges[:-1]), "right": ("bin", edges[1:])},
    )


def _averages(before: Distances, after: Distances) -> dict[str, Any]:
    old, new = upper(before.matrix), upper(after.matrix)
    unit = before.independent or np.nan
    averages: dict[str, Any] = {
        "mean_before": float(old.mean()),
        "std_before": float(old.std()),
        "independent": before.independent,
        "relative_mean": float(new.mean()) / unit,
        "relative_mean_before": float(old.mean()) / unit,
    }
    if after.layers:
        averages |= {"layer_mean": after.layers, "layer_mean_before": before.layers}
    return averages


def _tests(fit: GaussianFit, modes: PairModes) -> dict[str, Any]:
    return {
        "mean": fit.mean,
        "mean_stderr": fit.mean_stderr,
        "std": fit.std,
        "min_p_value": 1 / (PAIR_TESTS.samples + 1),
        "gaussian_kolmogorov": fit.kolmogorov,
        "gaussian_p_value": fit.p_value,
        "gaussian_accepted": bool(fit.p_value > PAIR_TESTS.level),
        "gaussian_test": (
            f"Kolmogorov, {PAIR_TESTS.samples} samples of normal configurations and pairs, of "
            f"{fit.tested} configurations"
        ),
        "shared_variance": fit.shared,
        "level": PAIR_TESTS.level,
        "modes": modes.modes,
        "modes_p_value": modes.p_value,
        "modes_bandwidth": modes.bandwidth,
        "modes_test": (
            f"{MODE_TEST_NAME}, median of {modes.rounds} of at most {PAIR_TESTS.rounds} rounds of "
            f"{modes.pairs} pairs that share no configuration"
        ),
        "peaks": modes.peaks,
    }


#: Attributes of a clustering that are printed.
SUMMARY = (
    "configurations", "n_weights", "alignment", "reference", "linkage", "metric",
    "log_group_order", "n_pairs", "mean_before", "std_before", "mean", "mean_stderr", "std",
    "independent", "relative_mean_before", "relative_mean", "gaussian_kolmogorov",
    "gaussian_p_value", "gaussian_accepted", "modes", "modes_p_value", "peaks",
    "cophenetic_correlation",
)  # fmt: skip
STAGE = Stage(
    "cluster",
    cluster,
    reads={"ensemble": ENSEMBLE},
    summary=SUMMARY,
    findings=cluster_findings,
    hidden={"network"},
    unit="steps",
    figures=[
        Figure(
            "lsg_ray.report.figures.clustering:clustering_figure",
            "Distances and clusters",
            "clustering_caption",
        )
    ],
)
