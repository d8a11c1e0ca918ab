"""Networks of binary weights, trained in mean field (liquid-like paper, App. A and D).

Each weight is +1 with probability sigmoid(θ); the fields θ are trained, then configurations are
drawn and used with their signs and no noise.  A flat configuration lists the layers from input to
output, each row-major ``[out, in]``; there are no biases.  The mathematics of a step stands in
`lsg_ray.kernels.meanfield`.

Two engines train, behind the one function `train`:

- ``numba``: one network at a time per thread, float32; the result of a network depends on its
  own seed only.
- ``torch``: networks stacked in batched products, on CPU or CUDA (`lsg_ray.networks.stacked`);
  noise is shared out by stack, so a result depends on the stack too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.errors import InputError
from lsg_ray.networks.layout import ChunkedExamples, Layout, chunk_examples, read_only
from lsg_ray.networks.trial import Loss, Purpose, Trained, trial_generator, trial_seed
from lsg_ray.spec import NetworkSpec, TrainingSpec
from lsg_ray.typing import Array, Flags, Floats, Signs, Singles


class Frozen(NamedTuple):
    """Parts held at random ±1 while the rest is trained: θ = ±field (liquid core, LL Sec. IV)."""

    parts: tuple[str, ...] = ()
    field: float = 10.0


NOTHING_FROZEN = Frozen()


def initial_fields(
    network: NetworkSpec,
    training: TrainingSpec,
    seeds: Sequence[np.random.SeedSequence],
    frozen: Frozen = NOTHING_FROZEN,
) -> Singles:
    """Draw θ₀ ~ N(0, initial_std²), frozen parts at ±field: (networks, N) float32, one per seed."""
    fields = np.empty((len(seeds), network.n_weights), np.float32)
    for row, seed in zip(fields, seeds, strict=True):
        rng = trial_generator(seed, Purpose.INITIAL)
        row[:] = rng.normal(0.0, training.initial_std, network.n_weights)
        for part in frozen.parts:
            where = network.parts[part]
            signs = rng.integers(0, 2, where.stop - where.start) * 2 - 1
            row[where] = frozen.field * signs
    return fields


def train(
    network: NetworkSpec,
    training: TrainingSpec,
    x: Singles,
    y: NDArray[np.integer],
    seeds: Sequence[np.random.SeedSequence],
    *,
    loss: Loss = "cross_entropy",
    frozen: Frozen = NOTHING_FROZEN,
    threads: int = 1,
    device: str | None = None,
) -> Trained:
    """Train independent networks, one per seed, from their own random fields.

    Parameters
    ----------
    network, training
        Architecture and protocol; ``training.engine`` chooses the engine.
    x, y
        Training set: x (P, inputs) float32, y (P,): classes from 0, or ±1 for the hinge loss.
    seeds
        One per network, for example ``seed_sequence(seed, Stage.TRIAL, configuration, trial)``.
    loss
        ``cross_entropy`` over the outputs, or ``hinge``, max(0, 1 − y z), for one output.
    frozen
        Parts that keep their random signs.
    threads
        Threads of the numba engine; the torch engine takes torch's own setting.
    device
        Of the torch engine: ``cpu``, ``cuda``, ...; by default CUDA where there is one.

    Returns
    -------
    Trained
        Fields and training curves.  A diverged network has fields that are not finite.

    Raises
    ------
    InputError
        Shapes or labels do not fit the network.

    Notes
    -----
    About 7 N flop per example and epoch: 20-15-15-10 on 60,000 digits is 0.41 GFLOP an epoch.
    Memory per thread: a mini-batch of activations, below 1 MB at these widths.
    """
    check_examples(network, x, y, loss)
    fields = initial_fields(network, training, seeds, frozen)
    held = tuple(
        any(_contains(network.parts[part], layer) for part in frozen.parts)
        for layer in network.layer_slices
    )
    if training.engine == "torch":
        from lsg_ray.networks.stacked import train_stack

        noise_seed = trial_seed(seeds[0], Purpose.NOISE)
        return train_stack(network, training, x, y, fields, noise_seed, loss, held, device)
    x, y = read_only(x, np.float32), read_only(y, np.int32)

    def one(i: int) -> tuple[Array, Array]:
        return _train_one(network, training, x, y, fields[i], seeds[i], loss, held)

    results = _map(one, range(len(seeds)), threads)
    history = np.array([h for _, h in results]).reshape(len(seeds), training.epochs, 2)
    return Trained(np.array([f for f, _ in results]), history[..., 0], history[..., 1])


def _contains(part: slice, layer: slice) -> bool:
    return part.start <= layer.start and layer.stop <= part.stop


def _map(
    function: Callable[[int], tuple[Array, Array]], items: Sequence[int], threads: int
) -> list[tuple[Array, Array]]:
    if threads == 1 or len(items) == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def _train_one(network, training, x, y, fields, seed, loss, held):  # type: ignore[no-untyped-def]
    from lsg_ray.kernels import meanfield
    from lsg_ray.kernels.elementary import STATE_SHAPE

    layout = Layout(network.widths)
    theta = layout.pad(fields)
    bits = trial_seed(seed, Purpose.NOISE).generate_state(int(np.prod(STATE_SHAPE)), np.uint32)
    history = np.zeros((training.epochs, 2))
    meanfield.train(
        x,
        y,
        theta,
        bits.reshape(STATE_SHAPE),
        trial_seed(seed, Purpose.ORDER).generate_state(1, np.uint64),
        layout.widths,
        np.array(held),
        network.leaky_slope,
        _loss_number(loss),
        training.batch(len(x)),
        training.epochs,
        training.optimizer == "adam",
        training.learning_rate,
        training.decay_steps or 0,
        training.decay_factor,
        training.momentum,
        training.beta1,
        training.beta2,
        training.epsilon,
        training.gamma,
        history,
    )
    return theta[layout.positions], history


def _loss_number(loss: Loss) -> int:
    from lsg_ray.kernels import meanfield

    return meanfield.CROSS_ENTROPY if loss == "cross_entropy" else meanfield.HINGE


def draw(
    fields: NDArray[np.floating],
    draws: int,
    seed: np.random.SeedSequence,
    fixed: Flags | None = None,
    purpose: Purpose = Purpose.DRAW,
) -> Signs:
    """Draw configurations from P(σ_i = +1) = sigmoid(θ_i).

    Parameters
    ----------
    fields
        θ (N,).
    draws
        How many.
    seed
        The trial's seed, as given to `train`.
    fixed
        Weights (N,) that take the sign of their field instead (frozen parts).
    purpose
        Which stream of the trial: that of its configurations, or of random starts.

    Returns
    -------
    numpy.ndarray
        (draws, N) int8, ±1.
    """
    rng = trial_generator(seed, purpose)
    with np.errstate(over="ignore"):
        plus = 1.0 / (1.0 + np.exp(-fields.astype(np.float32)))
    if fixed is not None:
        plus = np.where(fixed, fields > 0, plus)
    up = rng.random((draws, fields.size), dtype=np.float32) < plus
    return np.where(up, np.int8(1), np.int8(-1))


def evaluate(
    network: NetworkSpec, weights: Array, examples: ChunkedExamples, loss: Loss = "cross_entropy"
) -> tuple[Floats, Floats]:
    """Accuracy and mean loss of configurations, without noise.

    Parameters
    ----------
    network
        Architecture.
    weights
        (configurations, N), ±1 or real.
    examples
        From `chunk_examples`; their dtype is the arithmetic's.
    loss
        As in `train`.

    Returns
    -------
    accuracy, loss
        (configurations,) float64 each; loss in nats (or margin units for the hinge).

    Notes
    -----
    2 N flop per configuration and example: 0.3 ms for 20-15-15-10 on 10,000 digits.
    """
    from lsg_ray.kernels import meanfield

    weights = np.atleast_2d(weights)
    if weights.shape[1] != network.n_weights:
        raise InputError(
            f"configurations of {weights.shape[1]} weights given; "
            f"widths {list(network.widths)} have {network.n_weights}"
        )
    layout = Layout(network.widths)
    padded = layout.pad(weights, examples.x.dtype.type)
    correct, mean_loss = meanfield.evaluate(
        padded, examples.x, examples.y, layout.widths, network.leaky_slope, _loss_number(loss)
    )
    return correct / examples.y.size, mean_loss


def gradient(
    network: NetworkSpec,
    fields: NDArray[np.floating],
    x: NDArray[np.floating],
    y: NDArray[np.integer],
    noise: Sequence[NDArray[np.floating]],
    *,
    loss: Loss = "cross_entropy",
    gamma: float = 0.0,
    engine: Literal["numba", "torch"] = "numba",
) -> tuple[float, NDArray[np.floating]]:
    """Loss of one mini-batch and its gradient with respect to the fields, for given noise.

    What a training step does, exposed for checks: arithmetic is that of ``fields``' dtype.

    Parameters
    ----------
    fields
        θ (N,), float32 or float64.
    x, y
        Mini-batch, x (n, inputs), y (n,).
    noise
        ε of each layer, (units, n).
    loss, gamma, engine
        As in `train`.

    Returns
    -------
    loss, gradient
        Mean loss (without the γ term) and ∂L/∂θ + γθ, (N,).
    """
    check_examples(network, x, y, loss)
    if engine == "torch":
        from lsg_ray.networks.stacked import stack_gradient

        return stack_gradient(network, fields, x, y, noise, loss, gamma)
    from lsg_ray.kernels import meanfield

    dtype = fields.dtype.type
    layout = Layout(network.widths)
    starts, rows = meanfield.offsets(layout.widths)
    n, n_padded = len(x), -(-len(x) // 16) * 16
    a = np.zeros((rows[-1], n_padded), dtype)
    a[: network.widths[0], :n] = x.T
    spread = np.zeros((rows[-1] - rows[1], n_padded), dtype)
    for layer, epsilon in enumerate(noise):
        first = rows[layer + 1] - rows[1]
        spread[first : first + len(epsilon), :n] = epsilon
    theta = layout.pad(fields, dtype)
    mu, var, grad = np.empty_like(theta), np.empty_like(theta), np.empty_like(theta)
    meanfield.moments_of_fields(theta, mu, var)
    mean_grad, var_grad = np.zeros_like(theta), np.zeros_like(theta)
    work = np.zeros((6, -(-max(network.widths) // 4) * 4 + 2, n_padded), dtype)
    value, _ = meanfield.accumulate_gradient(
        a,
        a * a,
        spread,
        np.ascontiguousarray(y, np.int32),
        n,
        layout.widths,
        starts,
        rows,
        mu,
        var,
        dtype(network.leaky_slope),
        _loss_number(loss),
        work,
        mean_grad,
        var_grad,
    )
    meanfield.gradient_of_fields(theta, mu, var, mean_grad, var_grad, gamma, n, grad)
    return value / n, grad[layout.positions]


def warm_up() -> None:
    """Compile, or load from the cache on disk, all that `train` and `evaluate` need."""
    network = NetworkSpec(widths=(2, 2))
    x, y = np.ones((1, 2), np.float32), np.zeros(1, np.int32)
    train(network, TrainingSpec(epochs=1), x, y, [np.random.SeedSequence(0)])
    evaluate(network, np.ones((1, 4)), chunk_examples(x, y))


def check_examples(network: NetworkSpec, x: Array, y: Array, loss: Loss) -> None:
    """Raise `InputError` unless x (P, inputs) and y (P,) fit the network and the loss."""
    if x.ndim != 2 or x.shape[1] != network.widths[0] or len(x) != len(y) or len(x) == 0:
        raise InputError(
            f"examples x {x.shape}, y {y.shape} given; "
            f"widths {list(network.widths)} need x (P, {network.widths[0]}) and y (P,), P > 0"
        )
    if loss == "hinge":
        good = network.widths[-1] == 1 and bool(np.isin(y, (-1, 1)).all())
        need = "one output and labels ±1"
    else:
        good = y.min() >= 0 and y.max() < network.widths[-1]
        need = f"labels from 0 to {network.widths[-1] - 1}"
    if not good:
        raise InputError(f"labels from {y.min()} to {y.max()} given; {loss} here needs {need}")
