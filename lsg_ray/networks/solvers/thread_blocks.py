"""The CUDA engine: one network in each thread block of a GPU, all epochs in one launch.

The same step as `lsg_ray.kernels.meanfield`, by `lsg_ray.kernels.cuda.meanfield`: fields, moments
and activations never leave the multiprocessor.  The result of a network depends on its own seed
only, as of the numba engine, but not in bits: order of sums and random numbers are others.  After
training, configurations are drawn and evaluated on the GPU too, and the best of each trial comes
back.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.networks.layout import ChunkedExamples, Layout
from lsg_ray.networks.trial import Loss, Purpose, Trained, trial_seed
from lsg_ray.spec import NetworkSpec, TrainingSpec
from lsg_ray.typing import Array, Flags, Ints, Signs, Singles


@dataclass(frozen=True)
class BlocksConfig:
    """How networks are laid out on a GPU."""

    #: Trials of a launch: about two for each place that the largest GPUs have.
    trials: int = 512
    #: Threads of a block; no result depends on it.  Four warps keep the products of 20-15-15-10
    #: busy: 128 examples in tiles of four make 32 for each four units.
    threads: int = 128
    #: Examples of a tile: a multiple of a warp, as many as fit, between these.  Sums are made tile
    #: by tile, so the last bits of a result depend on it.
    tiles: tuple[int, ...] = (128, 96, 64, 32)
    #: Shared memory that a larger tile may take, in bytes: two blocks of a multiprocessor of
    #: compute capability 9.0 fit.
    tile_bytes: int = 96 * 1024
    #: Largest shared memory of a block of any GPU so far (compute capability 9.0), in bytes.
    shared_bytes: int = 227 * 1024
    #: Examples of a tile of an evaluation: parts of a chunk.
    evaluation_tiles: tuple[int, ...] = (128, 64, 32, 16)
    #: Words of random bits of an order of examples, and numbers of each thread for its sums.
    order_words: int = 16
    thread_words: int = 4


CONFIG = BlocksConfig()


def _sizes(widths: Sequence[int]) -> tuple[int, list[int]]:
    """Return the number of weights of layers padded to multiples of four, and their widths."""
    padded = [-(-width // 4) * 4 for width in widths]
    return sum(a * b for a, b in itertools.pairwise(padded)), padded


def training_bytes(widths: Sequence[int], tile: int) -> int:
    """Return the shared memory of a block that trains a network, in bytes.

    4 [7 N + (tile + 1) R + 2 tile + 16 + 4 threads], with N weights and R rows: one for each unit
    but of the last layer and two for each but of the first; widths are rounded up to multiples of
    four.

    >>> training_bytes((20, 15, 15, 10), 128)
    96880
    """
    weights, padded = _sizes(widths)
    rows = sum(padded[:-1]) + 2 * sum(padded[1:])
    own = CONFIG.order_words + CONFIG.thread_words * CONFIG.threads
    return 4 * (7 * weights + rows * (tile + 1) + 2 * tile + own)


def evaluation_bytes(widths: Sequence[int], tile: int) -> int:
    """Return the shared memory of a block that evaluates a configuration, in bytes."""
    weights, padded = _sizes(widths)
    return 4 * (weights + sum(padded) * (tile + 1))


def tile_of(network: NetworkSpec, batch: int, limit: int = CONFIG.shared_bytes) -> int:
    """Return the examples of a tile for mini-batches of a size.

    Parameters
    ----------
    network, batch
        Architecture, and examples of a mini-batch.
    limit
        Shared memory that a block may have, in bytes.

    Raises
    ------
    InputError
        The network does not fit; the message says how large it is.
    """
    smallest = CONFIG.tiles[-1]
    whole = -(-batch // smallest) * smallest
    for tile in CONFIG.tiles:
        most = limit if tile == smallest else min(limit, CONFIG.tile_bytes)
        if tile <= max(whole, smallest) and training_bytes(network.widths, tile) <= most:
            return tile
    need = training_bytes(network.widths, smallest) / 1024
    raise InputError(
        f"network.widths: {list(network.widths)} given; training.engine cuda needs {need:,.0f} KiB "
        f"of shared memory for them, and a block has {limit / 1024:,.0f}; set training.engine to "
        "torch, or narrow them"
    )


def unfit(network: NetworkSpec) -> str | None:
    """Return why no GPU so far can train a network in one block; None where one can."""
    try:
        tile_of(network, 1)
    except InputError as error:
        return str(error)
    return None


def check_gpu() -> None:
    """Raise `InputError` unless kernels for CUDA can be launched in this process."""
    from lsg_ray.kernels.cuda.launch import missing

    needed = missing()
    if needed is not None:
        raise InputError(
            f"training.engine: cuda given; it needs {needed}; set it to numba, or to auto"
        )


def train_blocks(
    network: NetworkSpec,
    training: TrainingSpec,
    x: Array,
    y: Array,
    fields: Singles,
    seeds: Sequence[np.random.SeedSequence],
    loss: Loss,
    held: Sequence[bool],
    times: Sequence[int],
) -> Trained:
    """Train the fields (networks, N) of networks; ``held`` marks the layers that are fixed.

    Noise and order of the examples are Philox's, under two words of each network's own seed.

    Raises
    ------
    InputError
        There is no GPU, or the network does not fit into its shared memory.
    """
    check_gpu()
    from numba import cuda

    from lsg_ray.kernels.cuda import launch, meanfield
    from lsg_ray.kernels.cuda.philox import domain_bits
    from lsg_ray.networks.binary_network import loss_number

    layout = Layout(network.widths)
    tile = tile_of(network, training.batch(len(x)), launch.shared_limit())
    theta = cuda.to_device(layout.pad(fields))
    history = cuda.to_device(np.zeros((len(fields), training.epochs, 2)))
    # Without times one is never reached: arrays without numbers have no address.
    steps = np.array(times or [-1], np.int64)
    snapshots = cuda.to_device(np.zeros((len(fields), len(steps), layout.n_padded), np.float32))
    moments = (training.beta1, 1 - training.beta1, training.beta2, 1 - training.beta2)
    launch.launch(
        meanfield.train, len(fields), CONFIG.threads, training_bytes(network.widths, tile),
        cuda.to_device(np.ascontiguousarray(x, np.float32)),
        cuda.to_device(np.ascontiguousarray(y, np.int32)),
        theta, cuda.to_device(_keys(seeds, Purpose.NOISE)), *_shape(layout),
        cuda.to_device(np.array(held, bool)), tile, *domain_bits(len(x)),
        network.leaky_slope, loss_number(loss), training.batch(len(x)), training.epochs,
        training.optimizer == "adam", training.learning_rate, training.decay_steps or 0,
        training.decay_factor,
        tuple(map(np.float32, (*moments, training.epsilon, training.momentum))),
        training.beta1, training.beta2, training.gamma, history, cuda.to_device(steps), snapshots,
    )  # fmt: skip
    curves = history.copy_to_host()
    along = snapshots.copy_to_host()[:, : len(times)]
    where = layout.positions
    return Trained(
        theta.copy_to_host()[:, where], curves[..., 0], curves[..., 1], along[..., where]
    )


def best_draws(
    network: NetworkSpec,
    loss: Loss,
    selection: ChunkedExamples,
    fields: Singles,
    seeds: Sequence[np.random.SeedSequence],
    draws: int,
    fixed: Flags,
    along: Singles,
) -> tuple[Signs, Signs]:
    """Draw configurations of networks, and return those with the most correct answers.

    Parameters
    ----------
    network, loss, selection
        Architecture, loss, and the examples that the draws are compared on.
    fields
        (networks, N), finite.
    seeds, draws
        Of the trials; number of configurations drawn in each.
    fixed
        Weights (N,) that take the sign of their field.
    along
        Fields along training (networks, S, N): drawn with the numbers of the best draw.

    Returns
    -------
    best, snapshots
        (networks, N) and (networks, S, N) int8, ±1; the first of equal draws.

    Notes
    -----
    2 N flop per draw and example.
    """
    from numba import cuda

    from lsg_ray.kernels.cuda import evaluation, launch
    from lsg_ray.networks.binary_network import loss_number

    layout = Layout(network.widths)
    tile = next(
        tile
        for tile in CONFIG.evaluation_tiles
        if evaluation_bytes(network.widths, tile) <= CONFIG.tile_bytes // 2
        or tile == CONFIG.evaluation_tiles[-1]
    )
    keys = cuda.to_device(_keys(seeds, Purpose.DRAW))
    held = cuda.to_device(layout.pad(fixed, bool))
    correct = cuda.to_device(np.zeros((len(fields), draws), np.int32))
    launch.launch(
        evaluation.count_correct, (draws, len(fields)), CONFIG.threads,
        evaluation_bytes(network.widths, tile), cuda.to_device(layout.pad(fields)), keys, held,
        cuda.to_device(selection.x), cuda.to_device(selection.y), *_shape(layout), tile,
        np.float32(network.leaky_slope), loss_number(loss), correct,
    )  # fmt: skip
    best = correct.copy_to_host().argmax(axis=1).astype(np.int64)

    def signs(of: Singles) -> Signs:
        out = cuda.to_device(np.zeros((len(of), layout.n_padded), np.int8))
        launch.launch(
            evaluation.write_signs, len(of), CONFIG.threads, 0,
            cuda.to_device(layout.pad(of)), keys, held, cuda.to_device(best), out,
        )  # fmt: skip
        written: Signs = out.copy_to_host()[:, layout.positions]
        return written

    times = [signs(along[:, time]) for time in range(along.shape[1])]
    return signs(fields), np.stack(times, 1) if times else along.astype(np.int8)


def _keys(seeds: Sequence[np.random.SeedSequence], purpose: Purpose) -> Array:
    """Return the keys (networks, 2) of random numbers for one purpose."""
    words = [trial_seed(seed, purpose).generate_state(2, np.uint32) for seed in seeds]
    return np.array(words, np.uint32)


def _shape(layout: Layout) -> tuple[Any, Any, Any]:
    """Return widths, and the starts of layers among weights and units, on the device."""
    from numba import cuda

    padded = -(-layout.widths // 4) * 4
    starts: Ints = np.concatenate([[0], np.cumsum(padded[1:] * padded[:-1])])
    rows: Ints = np.concatenate([[0], np.cumsum(padded)])
    widths = layout.widths.astype(np.int64)
    return cuda.to_device(widths), cuda.to_device(starts), cuda.to_device(rows)
