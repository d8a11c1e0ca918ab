r"""Errors of networks over the width of their hidden layers: is there double descent?

Networks are trained as those of an ensemble were, on the same data, with all hidden layers of width
d.  *Double descent* is a peak of the test error, or the test loss, over d: it falls, rises to a
peak near the width from which the training set is fitted, and falls again.

Peaks are not looked for where they are measured.  For each network s in turn, the curves of all
others, averaged, choose the triple i < j < k whose rise and fall, min(E_j − E_i, E_j − E_k), is
largest; the curve of s alone then gives rise E_j − E_i and fall E_j − E_k.  All curves are means
over three neighbouring widths, which makes a narrow peak lower, and noise by √3.  Means of rise and
fall over s have no bias from the choice: of curves without a peak, both are zero or one is
negative.  The *prominence* is the smaller of the two.  Standard errors are those of means over the
networks, times t(n − 1)/1.96 with Student's 97.5 % quantile t, so that two of them are an interval
of 95 % for few networks, too.

Source: liquid-like paper, App. F, Fig. 17; M. Belkin et al., PNAS 116, 15849 (2019).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np
import xarray

from lsg_ray import __version__
from lsg_ray.arrays import as_integers, public
from lsg_ray.datasets import Examples
from lsg_ray.ensemble.chosen import as_ensemble, dataset_of
from lsg_ray.errors import InputError
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.registry import FAMILIES
from lsg_ray.results.checkpoints import run_tasks
from lsg_ray.spec import Spec
from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.typing import EnsembleLike, Floats, Integers, Ints, SeededTasks, Several

#: Widths d = 1 … 50: LL App. F.
WIDTHS = tuple(range(1, 51))
#: Training error below which the training set counts as fitted.
FITTED = 0.01
#: Most networks of a width; their numbers follow one another.
MAX_NETWORKS = 1 << 16
#: Measures in their order, with attributes.
MEASURES: dict[str, dict[str, str]] = {
    "train_error": {"long_name": "training error", "units": "1"},
    "train_loss": {"long_name": "training loss", "units": "nat"},
    "test_error": {"long_name": "test error", "units": "1"},
    "test_loss": {"long_name": "test loss", "units": "nat"},
}


class Ground(NamedTuple):
    """Specification, data for trials, and the examples that errors are measured on."""

    spec: Spec
    arena: Any
    train: Examples
    test: Examples


class Errors(NamedTuple):
    """`MEASURES` of networks: (4, networks) float64."""

    values: Floats


class Peak(NamedTuple):
    """Prominence of a peak with its standard error, and the width where it is; see above."""

    prominence: float
    stderr: float
    width: int


@public
def width_scan(
    ensemble: EnsembleLike,
    *,
    widths: Integers = WIDTHS,
    networks: Several = 5,
    **run: Unpack[SeededTasks],
) -> xarray.Dataset:
    """Train networks of many widths, and compare errors on the training and on the test set.

    Parameters
    ----------
    ensemble
        Ensemble of networks with hidden layers, a view of one, or the path or URL of its store: its
        specification says how networks are trained, and on what.
    widths
        Widths d of the hidden layers; all of a network have the same.
    networks
        Number of networks of each width, each from its own random start.
    seed
        Root of all random numbers.
    checkpoints
        Path of a folder for finished tasks, from which an interrupted call resumes.
    progress
        Called with (tasks done, total).

    Returns
    -------
    xarray.Dataset
        Over (width, network): ``train_error``, ``test_error``, shares of wrong answers, and
        ``train_loss``, ``test_loss``, in nats or margins of the hinge loss; ``weights`` (width),
        the number N of weights.  Of a trained binary network, one configuration is drawn.
        Attributes: ``peak_error`` and ``peak_loss``, prominence of the peak of test error and test
        loss (see above; NaN with fewer than 3 widths), with ``…_stderr`` and ``…_width``, where it
        is; ``fitted_from``, smallest width at which the mean training error is below 1 %, and 0 if
        there is none; ``n_train``.

    Raises
    ------
    InputError
        The networks have no hidden layers, were not sampled here, or a width is given twice.

    Notes
    -----
    Sampling, as `lsg_ray.sample`, of ``networks`` configurations of each width, without a
    threshold or the best of several draws: so the test set chooses nothing.
    """
    given = as_ensemble(ensemble, "an ensemble or the path of its store is needed")
    given.require_outputs()
    chosen = _checked(widths)
    # Of the widest networks, the fewest fit together, and the most memory is needed.
    spec = _spec_at(given.spec, int(chosen[-1]), run["seed"], networks)
    dataset = dataset_of(given)
    ground = Ground(
        _spec_at(given.spec, 1, run["seed"], networks),
        prepare(spec, dataset),
        dataset.train,
        dataset.test,
    )
    starts = range(0, networks, spec.stack)
    arguments = [
        (int(d), first, min(spec.stack, networks - first)) for d in chosen for first in starts
    ]
    results = run_tasks(_train, ground, arguments, Errors, run["checkpoints"], run["progress"])
    rows = np.concatenate([result.values for result in results], axis=1)
    values = rows.reshape(len(MEASURES), len(chosen), networks)
    variables = {
        name: (("width", "network"), table, about)
        for (name, about), table in zip(MEASURES.items(), values, strict=True)
    }
    result = xarray.Dataset(variables, {"width": chosen, "network": np.arange(networks)})
    for name in ("train_loss", "test_loss"):
        result[name].attrs["units"] = "nat" if spec.loss == "cross_entropy" else "margin"
    sizes = [_spec_at(given.spec, int(d), 0, networks).network.n_weights for d in chosen]
    result["weights"] = ("width", sizes, {"long_name": "number of weights N"})
    fitted = chosen[result["train_error"].mean("network").values < FITTED]
    return result.assign_attrs(
        statistic="width scan",
        source=given.spec.name,
        spec=given.spec.canonical_json(),
        spec_hash=given.spec_hash,
        package_version=__version__,
        seed=run["seed"],
        family=given.spec.network.family,
        n_train=len(dataset.train.y),
        fitted_from=int(fitted[0]) if len(fitted) else 0,
        **_peaks("error", result["test_error"], chosen),
        **_peaks("loss", result["test_loss"], chosen),
    )


def _checked(widths: Integers) -> Ints:
    """Return widths in ascending order."""
    chosen = np.sort(as_integers(widths, "widths"))
    if chosen[0] < 1:
        raise InputError(f"widths: {chosen[0]} given; at least 1 is needed")
    if len(np.unique(chosen)) < len(chosen):
        raise InputError("widths: one is given twice; leave one out")
    return chosen


def _spec_at(spec: Spec, width: int, seed: int, networks: int) -> Spec:
    """Return the specification with all hidden layers of a width, whose first trial counts."""
    first, *hidden, last = spec.network.widths
    if not hidden:
        raise InputError(
            f"network.widths: {list(spec.network.widths)} given; networks with hidden layers are "
            "needed"
        )
    if networks > MAX_NETWORKS:
        raise InputError(f"networks: {networks:,} given; at most {MAX_NETWORKS:,}")
    return spec.replace(
        study=None,
        beside={},
        network={"widths": [first, *[width] * len(hidden), last]},
        ensemble={
            "seed": seed,
            "threshold": 0.0,
            "draws": 1,
            "snapshots": None,
            "store_fields": False,
        },
    )


def _train(ground: Ground, width: int, first: int, rows: int) -> Errors:
    """Train networks ``first``, … of a width: the body of a task."""
    spec = ground.spec
    spec = _spec_at(spec, width, spec.ensemble.seed, rows)
    # Numbers of networks depend on their own width alone, and stacks are whole.
    number = width * spec.stack * MAX_NETWORKS + first
    weights = sample_configurations(spec, ground.arena, number, rows).weights
    family = FAMILIES[spec.network.family]
    measured = []
    for part in (ground.train, ground.test):
        accuracy, loss = family.evaluate(spec, weights, part.x, part.y)
        measured += [1 - accuracy, loss]
    return Errors(np.array(measured))


def peak_of(curves: Floats, widths: Ints) -> Peak:
    """Return the peak of curves (networks, widths); see above.

    >>> rows = np.array([[3.0, 1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 0.0]] * 4)
    >>> peak_of(rows, np.arange(1, 9))
    Peak(prominence=3.0, stderr=0.0, width=6)
    """
    from scipy import stats

    networks, count = curves.shape
    if networks < 2 or count < 3 or not np.isfinite(curves).all():
        return Peak(np.nan, np.nan, 0)
    smooth = curves.copy()
    smooth[:, 1:-1] = (curves[:, :-2] + curves[:, 1:-1] + curves[:, 2:]) / 3
    changes, places = np.empty((networks, 2)), np.empty(networks, np.int64)
    for s in range(networks):
        i, j, k = _largest_peak(np.delete(smooth, s, axis=0).mean(axis=0))
        changes[s] = smooth[s, j] - smooth[s, i], smooth[s, j] - smooth[s, k]
        places[s] = j
    means = changes.mean(axis=0)
    errors = changes.std(axis=0, ddof=1) / np.sqrt(networks)
    errors *= stats.t.ppf(0.975, networks - 1) / stats.norm.ppf(0.975)
    smaller = int(np.argmin(means))
    place = int(widths[int(np.median(places))])
    return Peak(float(means[smaller]), float(errors[smaller]), place)


def _largest_peak(curve: Floats) -> tuple[int, int, int]:
    """Return i < j < k of the largest min(E_j − E_i, E_j − E_k)."""
    before = np.minimum.accumulate(curve)[:-2]
    after = np.minimum.accumulate(curve[::-1])[::-1][2:]
    height = curve[1:-1] - np.maximum(before, after)
    j = int(np.argmax(height)) + 1
    return int(np.argmin(curve[:j])), j, j + 1 + int(np.argmin(curve[j + 1 :]))


def _peaks(name: str, values: xarray.DataArray, widths: Ints) -> dict[str, float]:
    peak = peak_of(values.values.T, widths)
    return {
        f"peak_{name}": peak.prominence,
        f"peak_{name}_stderr": peak.stderr,
        f"peak_{name}_width": peak.width,
    }


STAGE = Stage(
    "width-scan",
    width_scan,
    reads={"ensemble": ENSEMBLE},
    summary=(
        "fitted_from",
        "peak_error", "peak_error_stderr", "peak_error_width",
        "peak_loss", "peak_loss_stderr", "peak_loss_width",
    ),
    figures=[
        Figure(
            "lsg_ray.report.figures.width_scan:width_figure",
            "Errors over the width",
            "width_caption",
        )
    ],
)  # fmt: skip
