"""Errors around configurations: how L_NE rises under noise on weights, and under noise on inputs.

- Local energy: weights on the sphere become W_l + σ η_l, η ~ N(0, 1), so that the noise has σ times
  the norm √n of the weights; ±1 weights are flipped, each with probability D.
- Input robustness: patterns become ξ_i + σ a_i η_i with η ~ N(0, 1) for each pattern and pixel, and
  a_i the standard deviation of pixel i over the training set, or one.

The measure is the rise of the share of wrong patterns, averaged over draws, with its standard
error.  A wide flat minimum rises late.

Source: C. Baldassi, F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Unpack

import numpy as np
import xarray

from lsg_ray.arrays import in_range, public
from lsg_ray.minima.chosen import Chosen, Ground, choose
from lsg_ray.networks.families.committee import Patterns
from lsg_ray.registry import FAMILIES
from lsg_ray.rng import Stream, generator
from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.typing import Array, EnsembleLike, Floats, Integers, Numbers, Repeats, SeededTasks

#: Noise σ on weights, probabilities of flips, and noise σ on inputs.
SIGMAS = (0.05, 0.1, 0.2, 0.3, 0.5)
FLIPS = (0.005, 0.01, 0.02, 0.05, 0.1)
NOISES = (0.1, 0.2, 0.4, 0.6, 1.0)
#: Addresses in `Stream.LANDSCAPE`.
_WEIGHTS, _INPUTS = 9, 10

Colour = Literal["pixel", "white"]


class Rise(NamedTuple):
    """Share of wrong patterns (levels, draws) of one configuration."""

    errors: Floats


@public
def local_energy(
    ensemble: EnsembleLike,
    *,
    configurations: Integers | None = None,
    sigmas: Numbers = SIGMAS,
    flips: Numbers = FLIPS,
    draws: Repeats = 50,
    **run: Unpack[SeededTasks],
) -> xarray.Dataset:
    """Measure how errors on the training patterns rise under noise on the weights.

    Parameters
    ----------
    ensemble
        Ensemble of perceptrons, committees or parity machines, a view of one, or its URL.
    configurations
        Number of configurations, from the first, or list of the configurations to measure;
        without it, the first 20 at most.
    sigmas
        Standard deviations of the noise on weights on the sphere, relative to their norm.
    flips
        Probabilities that a ±1 weight is flipped, below 1/2.
    draws
        Number of draws of the noise at each level.
    seed
        Seed of the noise.
    checkpoints
        Path of a folder for finished tasks, from which an interrupted call resumes.
    progress
        Called with (configurations done, total).

    Returns
    -------
    xarray.Dataset
        Over (solution, level): ``rise`` of the share of wrong patterns with ``rise_stderr`` over
        draws; over level ``rise_mean``, ``rise_mean_stderr`` over solutions; ``errors`` of the
        configurations themselves; coordinate ``level``: σ, or the probability of a flip.

    Raises
    ------
    InputError
        Other networks, numbers out of range.

    Notes
    -----
    Cost: 2 N P draws flop a level and configuration.  Noise of different configurations is
    independent.
    """
    chosen = choose(ensemble, configurations, for_what="the local energy")
    signs = chosen.ensemble.signs
    levels = in_range(flips, "flips", 0, 0.5) if signs else in_range(sigmas, "sigmas")
    arguments = [(levels, draws, signs, run["seed"], int(number)) for number in chosen.numbers]
    rises = chosen.run(_around, Rise, arguments, run)
    about = "probability of a flip" if signs else "noise σ on weights"
    result = _dataset(rises.errors, chosen, levels, about)
    return result.assign_attrs(
        chosen.provenance(
            statistic="local energy",
            draws=draws,
            seed=run["seed"],
            noise="flips" if signs else "normal",
        )
    )


@public
def input_robustness(
    ensemble: EnsembleLike,
    *,
    configurations: Integers | None = None,
    sigmas: Numbers = NOISES,
    colour: Colour = "pixel",
    draws: Repeats = 20,
    **run: Unpack[SeededTasks],
) -> xarray.Dataset:
    """Measure how errors on the training patterns rise under noise on their inputs.

    Parameters
    ----------
    ensemble
        Ensemble of perceptrons, committees or parity machines, a view of one, or its URL.
    configurations
        Number of configurations, from the first, or list of the configurations to measure;
        without it, the first 20 at most.
    sigmas
        Standard deviations σ of the noise on inputs.
    colour
        Kind of noise: ``pixel`` scales σ by the standard deviation of each pixel over the training
        set; ``white`` is σ for all.
    draws
        Number of draws of the noise at each σ.
    seed
        Seed of the noise, which is the same for all configurations and ensembles.
    checkpoints
        Path of a folder for finished tasks, from which an interrupted call resumes.
    progress
        Called with (configurations done, total).

    Returns
    -------
    xarray.Dataset
        As `local_energy`, over σ.

    Raises
    ------
    InputError
        Other networks, numbers out of range.
    """
    chosen = choose(ensemble, configurations, for_what="robustness to noise on inputs")
    levels = in_range(sigmas, "sigmas")
    arguments = [(levels, draws, colour, run["seed"])] * len(chosen.numbers)
    rises = chosen.run(_noisy, Rise, arguments, run)
    result = _dataset(rises.errors, chosen, levels, "noise σ on inputs")
    return result.assign_attrs(
        chosen.provenance(
            statistic="input robustness", draws=draws, seed=run["seed"], colour=colour
        )
    )


def _share(ground: Ground, weights: Array, patterns: Patterns) -> Floats:
    """Return the share of wrong patterns of configurations (rows, K, n)."""
    family: Any = FAMILIES[ground.network.family]
    flat = weights.reshape(len(weights), -1)
    shares: Floats = family.errors(ground.network, flat, patterns) / patterns.n_patterns
    return shares


def _around(
    ground: Ground, w: Floats, levels: Floats, draws: int, signs: bool, seed: int, number: int
) -> Rise:
    rng = generator(seed, Stream.LANDSCAPE, _WEIGHTS, number)
    rows = []
    for level in levels:
        if signs:
            flipped = rng.random((draws, *w.shape)) < level
            moved = np.where(flipped, -w, w).astype(np.int8)
        else:
            moved = w + level * rng.standard_normal((draws, *w.shape))
        rows.append(_share(ground, moved, ground.arena.train))
    return Rise(np.array(rows))


def _noisy(
    ground: Ground, w: Floats, levels: Floats, draws: int, colour: Colour, seed: int
) -> Rise:
    x, s = ground.arena.train
    scale = x.std(axis=0) if colour == "pixel" else np.ones(x.shape[1:], np.float32)
    errors = np.empty((len(levels), draws))
    for draw in range(draws):
        # One draw serves all σ: the curve of a configuration is smoother than its errors.
        rng = generator(seed, Stream.LANDSCAPE, _INPUTS, draw)
        noise = scale * rng.standard_normal(x.shape, np.float32)
        for index, sigma in enumerate(levels):
            noisy = Patterns(x + np.float32(sigma) * noise, s)
            errors[index, draw] = _share(ground, w[None], noisy)[0]
    return Rise(errors)


def _dataset(errors: Floats, chosen: Chosen, levels: Floats, about: str) -> xarray.Dataset:
    """Return the rise over what the configurations have, of (solutions, levels, draws)."""
    own = chosen.errors / chosen.ground.arena.train.n_patterns
    rise = (errors - own[:, None, None]).mean(axis=2)
    count = len(rise)
    over = rise.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else np.full(len(levels), np.nan)
    one = {"units": "1"}
    return xarray.Dataset(
        {
            "rise": (
                ("solution", "level"),
                rise,
                {"long_name": "rise of the share of wrong patterns", **one},
            ),
            "rise_stderr": (
                ("solution", "level"),
                errors.std(axis=2, ddof=1) / np.sqrt(errors.shape[2]),
                one,
            ),
            "rise_mean": ("level", rise.mean(axis=0), one),
            "rise_mean_stderr": ("level", over, one),
            "errors": ("solution", chosen.errors),
        },
        {"level": ("level", levels, {"long_name": about}), "solution": chosen.numbers},
    )


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    return {
        "solutions": result.sizes["solution"],
        **{
            f"rise at {float(level):g}": f"{float(mean):.5f} ± {float(error):.2g}"
            for level, mean, error in zip(
                result["level"], result["rise_mean"], result["rise_mean_stderr"], strict=True
            )
        },
    }


LOCAL_ENERGY = Stage(
    "local-energy",
    local_energy,
    reads={"ensemble": ENSEMBLE},
    summary=_shown,
    unit="configurations",
    figures=[
        Figure(
            "lsg_ray.report.figures.flat_minima:rise_figure",
            "Errors under noise on weights",
            "rise_caption",
            together=6,
        )
    ],
)
INPUT_ROBUSTNESS = Stage(
    "input-robustness",
    input_robustness,
    reads={"ensemble": ENSEMBLE},
    summary=_shown,
    unit="configurations",
    figures=[
        Figure(
            "lsg_ray.report.figures.flat_minima:rise_figure",
            "Errors under noise on inputs",
            "rise_caption",
            together=6,
        )
    ],
)
