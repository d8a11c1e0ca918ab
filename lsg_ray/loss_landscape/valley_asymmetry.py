r"""Asymmetric valleys: the loss rises less in the directions whose signs are those of the weights.

Around a trained network θ the loss and the error are measured at θ + λ ε, λ from −1 to 1
(arXiv:2405.12489, NeurIPS 2024).  The direction ε = s · scaled(noise) is noise of a law with unit
variance (`LAWS`), at the scale

- ``raw``: as it is drawn;
- ``filter``: the weights into each unit at the norm that θ has there;
- ``norm``: each layer, and its biases, at the norm that θ has there,

times the width s.  A share r of its coordinates, drawn at random, gets the sign of θ, which leaves
their size: the sign consistency with θ is then r + (1 − r)/2 in the mean.  The coordinates of a
larger r contain those of a smaller one, so that ratios differ by nothing else.

With Ē₊, Ē₋ the mean error (or loss) over λ > 0 and λ < 0, the asymmetry index is

    A = (Ē₋ − Ē₊)/(Ē₋ + Ē₊),

0 of a symmetric valley and positive where the side of the own signs is the flatter one.  (The index
is of this package.)  Beside it stand, along λ, the mean of tr(diag p − ppᵀ) = 1 − Σ p² over examples
with p the softmax of the scores, which the curvature of the loss is proportional to, and the share
of hidden units and examples that are active or not as they are in θ.

Special directions: ``start``, the weights before training where they are stored; ``weights``, θ;
``signs``, sign θ; ``centred-signs``, sign(θ − μ), μ the mean of the layer; and, as controls,
``permuted-signs`` and ``permuted-centred-signs``, the same in random order within each layer.

Noise is drawn by seed, ensemble and configuration, apart from the starts of training: noise that
is a start is no noise, since trained weights keep most of its signs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import xarray
from annotated_types import Ge, Le

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.flatness import filter_normalised
from lsg_ray.loss_landscape.terrain import (
    LOSS_EXAMPLES,
    MEASURES,
    Solutions,
    Terrain,
    as_positive,
    batches,
    measured,
    open_solutions,
    run_protocol,
)
from lsg_ray.networks.first_layer import Inputs
from lsg_ray.networks.relu_network import forward, layers_of
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import NetworkSpec
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.statistics.estimates import stderr
from lsg_ray.typing import (
    EnsembleLike,
    Floats,
    Integers,
    Natural,
    Numbers,
    Progress,
    Seed,
    Several,
    Singles,
    Variables,
)

Law = Literal["gaussian", "uniform", "signs", "laplace", "logistic", "triangular", "student"]
Scale = Literal["norm", "filter", "raw"]
Draw = Callable[[np.random.Generator, int], Floats]

#: Laws of noise, symmetric and of unit variance.
LAWS: dict[str, Draw] = {
    "gaussian": lambda rng, n: rng.standard_normal(n),
    "uniform": lambda rng, n: rng.uniform(-np.sqrt(3), np.sqrt(3), n),
    "signs": lambda rng, n: rng.choice([-1.0, 1.0], n),
    "laplace": lambda rng, n: rng.laplace(0, np.sqrt(0.5), n),
    "logistic": lambda rng, n: rng.logistic(0, np.sqrt(3) / np.pi, n),
    "triangular": lambda rng, n: rng.triangular(-np.sqrt(6), 0, np.sqrt(6), n),
    "student": lambda rng, n: rng.standard_t(5, n) * np.sqrt(3 / 5),
}
#: Default shares of coordinates whose signs are overwritten.
RATIOS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SPECIAL = (
    "start", "weights", "signs", "centred-signs", "permuted-signs", "permuted-centred-signs",
)  # fmt: skip
#: Quantities that have an asymmetry index, with the measure that each is of.
INDICES = ("test_error", "test_loss", "train_error", "train_loss")
#: Purposes of random numbers in `Stream.LANDSCAPE`.
_NOISE, _CHOICE = 20, 21
#: Significance of the verdict on all steps between ratios together.
SIGNIFICANCE = 0.05


class _Profiles(NamedTuple):
    """Profiles of one solution along λ.

    values: (6, widths, ratios, directions, λ) the measures, softmax variance, ReLU agreement;
    consistency: (widths, ratios, directions); special, special_consistency: (6, widths, specials,
    λ) and (widths, specials) likewise.
    """

    values: Floats
    consistency: Floats
    special: Floats
    special_consistency: Floats


@public
def valley_asymmetry(
    solutions: EnsembleLike,
    *,
    noise: Law = "gaussian",
    scale: Scale = "norm",
    widths: Numbers = (1.0,),
    ratios: Numbers = RATIOS,
    directions: Several = 16,
    points: Annotated[int, Ge(3), Le(1001)] = 21,
    special: bool = True,
    configurations: Integers | None = None,
    examples: Natural | None = LOSS_EXAMPLES,
    seed: Seed = 0,
    checkpoints: Path | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Measure the asymmetry of the loss along directions of more and more consistent signs.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or the path or URL of its store.
    noise
        Law of the noise, symmetric and of unit variance.
    scale
        Scale of the noise: ``norm``, that of the weights of each layer; ``filter``, of the weights
        into each unit; ``raw``, unit variance.
    widths
        Factor s that the scaled noise is multiplied by; one or several.
    ratios
        Share r of the coordinates of the noise that get the sign of the weight, from 0 to 1.
    directions
        Number of random directions for each solution.
    points
        Number of points λ from −1 to 1; odd, so that the solution is one of them.
    special
        Whether to measure the special directions too: start, weights, signs, and permuted signs.
    configurations
        Number of solutions, the first ones, or their indices; by default up to 8.
    examples
        Number of training examples that the loss is computed on, drawn at random; 0 for all.
    seed
        Seed of all random numbers.
    checkpoints
        Folder for results of finished solutions, from which an interrupted call resumes.
    progress
        Called with ``(solutions done, all solutions)``.

    Returns
    -------
    xarray.Dataset
        Over (width, ratio, solution, step), means over directions of the measures, of
        ``softmax_variance`` and ``relu_agreement``, with the coordinate ``lambda``; over
        (quantity, width, ratio, solution, direction) ``asymmetry``; over (quantity, width, ratio)
        ``asymmetry_mean``, with ``asymmetry_mean_stderr`` over solutions and
        ``asymmetry_direction_stderr`` over directions of these solutions alone;
        ``sign_consistency`` (width, ratio, solution, direction).  With `special`, the same with
        names that begin with ``special_``, over ``special`` in place of ratio and direction.
        Attributes: ``monotone``, by quantity and width, whether A rises with r: yes, no or
        undetermined (see Notes), with ``criterion``.

    Raises
    ------
    InputError
        An even number of points, ratios outside [0, 1] or that do not ascend.

    Notes
    -----
    Steps of A between neighbouring ratios are compared within each solution; t is their mean over
    its standard error over solutions.  With t* the one-sided quantile of Student's t at which any of
    the steps exceeds it by chance in 5 % of cases (Bonferroni): monotone is ``no`` where a step
    has t < −t*; ``yes`` where none has and the whole rise has t > t*; else undetermined.

    Cost: widths × ratios × directions × points networks for each solution, on the examples and twice
    on the test set.
    """
    if points % 2 == 0:
        raise InputError(f"points {points} given; an odd number is needed")
    s, r = as_positive(widths, "widths"), _checked_ratios(ratios)
    chosen = open_solutions(solutions, configurations, default=8)
    # Rounded, so that the solution itself, at 0, is on the grid.
    steps = np.round(np.linspace(-1, 1, points), 12)
    starts = _starts(chosen) if special else None
    # Numbers of configurations are the same in every ensemble.
    ensemble = int(chosen.ensemble.spec_hash[:16], 16)
    arguments = [
        (w, None if starts is None else starts[row], (noise, scale, directions, special), s, r,
         steps, (seed, int(number), ensemble))
        for row, (w, number) in enumerate(zip(chosen.weights, chosen.numbers, strict=True))
    ]  # fmt: skip
    profiles, about = run_protocol(
        _profiles, _Profiles, chosen, arguments, (len(arguments),),
        examples=examples, seed=seed, checkpoints=checkpoints, progress=progress,
    )  # fmt: skip
    result = _dataset(profiles, steps, special, starts is not None)
    result = result.assign_coords(
        width=("width", s, {"long_name": "width s"}),
        ratio=("ratio", r, {"long_name": "share r of overwritten signs"}),
        solution=chosen.numbers,
    )
    return result.assign_attrs(
        about, statistic="valley asymmetry", noise=noise, scale=scale, directions=directions,
        **verdicts(result),
    )  # fmt: skip


def _checked_ratios(given: Numbers) -> Floats:
    ratios = np.atleast_1d(as_numbers(given, "ratios"))
    rising = ratios.ndim == 1 and len(ratios) > 0 and (np.diff(ratios) > 0).all()
    if not rising or not ((ratios >= 0) & (ratios <= 1)).all():
        raise InputError(f"ratios {brief(given)} given; shares from 0 to 1 that ascend are needed")
    return ratios


def _starts(chosen: Solutions) -> Singles | None:
    """Return the weights before training; None where they are not stored, or are what is asked."""
    if chosen.ensemble.at is not None or 0 not in chosen.spec.times[1]:
        return None
    weights: Singles = chosen.ensemble.snapshot(0).take(chosen.numbers)["weights"]
    return weights


def sign_overwrite(noise: Floats, weights: Singles, chosen: Floats, ratio: float) -> Floats:
    """Give coordinates of the noise the sign of the weight, and leave their size.

    Parameters
    ----------
    noise, weights
        (…, N) and (N,).
    chosen
        (…, N) uniform numbers in [0, 1): those below the ratio are overwritten.
    ratio
        Share r of the coordinates.

    >>> sign_overwrite(np.array([-2.0, 3.0]), np.array([1.0, -1.0]), np.array([0.1, 0.9]), 0.5)
    array([2., 3.])
    """
    return np.where(chosen < ratio, np.abs(noise) * np.sign(weights), noise)


def scaled(network: NetworkSpec, weights: Singles, noise: Floats, scale: Scale) -> Singles:
    """Bring directions (B, N) to the scale of the weights (N,); see above."""
    if scale == "raw":
        return noise.astype(np.float32)
    if scale == "filter":
        return filter_normalised(network, weights, noise)
    directions = np.empty(noise.shape, np.float32)
    for some in blocks(network):
        size = np.linalg.norm(noise[:, some], axis=1, keepdims=True)
        norm = np.linalg.norm(weights[some].astype(np.float64))
        directions[:, some] = noise[:, some] * (norm / np.where(size > 0, size, 1))
    return directions


def blocks(network: NetworkSpec) -> list[Any]:
    """Return the indices of the weights of each layer, and of its biases."""
    indices = []
    for layer, shape in zip(network.layer_slices, network.shapes, strict=True):
        table = np.arange(layer.start, layer.stop).reshape(shape)
        parts = (table[:, :-1], table[:, -1:]) if network.biases else (table,)
        indices += [part.ravel() for part in parts]
    return indices
