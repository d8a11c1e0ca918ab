"""The CUDA engine against the CPU's kernels, with the noise and the orders of examples written out.

Networks are tiny, and so are blocks: the simulator takes milliseconds for an example.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lsg_ray.networks.solvers import mean_field, thread_blocks
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import NetworkSpec, TrainingSpec
from tests.kernels.cuda import reference
from tests.networks import gradients


def _seeds(count, seed=0):
    return [seed_sequence(seed, Stream.TRIAL, i, 0) for i in range(count)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of two threads, and tiles of 16 examples, so that mini-batches have several."""
    config = replace(thread_blocks.CONFIG, threads=2, tiles=(16,))
    monkeypatch.setattr(thread_blocks, "CONFIG", config)


def _examples(widths, n, loss="cross_entropy", seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 1], n) if loss == "hinge" else rng.integers(0, widths[-1], n)
    return rng.normal(size=(n, widths[0])).astype(np.float32), y


@pytest.mark.parametrize(
    ("widths", "loss"),
    [((6, 5, 9, 3), "cross_entropy"), ((3, 4), "cross_entropy"), ((5, 3, 1), "hinge")],
)
def test_gradient_equals_that_of_the_cpu_in_double_precision(widths, loss):
    """One step of plain descent, so large that the fields are the gradient; two tiles."""
    network, n, rate, gamma = NetworkSpec(widths=widths), 21, 1e6, 1e-2
    training = TrainingSpec(
        optimizer="sgd", learning_rate=rate, gamma=gamma, epochs=1, batch_size=n,
        initial_std=1.5, engine="cuda",
    )  # fmt: skip
    x, y = _examples(widths, n, loss)
    (seed,) = _seeds(1)
    start = mean_field.initial_fields(network, training, [seed])[0].astype(np.float64)
    result = mean_field.train(network, training, x, y, [seed], loss=loss)
    key = reference.key_of(seed)
    rows = reference.order(n, 0, key)
    noise = reference.noise(widths, n, 0, key)
    value, exact = gradients.gradient(
        network, start, x[rows].astype(float), y[rows], noise, loss=loss, gamma=gamma
    )
    got = (start - result.fields[0]) / rate
    np.testing.assert_allclose(got, exact, atol=1e-5 * np.abs(exact).max())
    assert result.loss[0, 0] == pytest.approx(value, rel=1e-5)


def _replayed(network, training, x, y, start, seed, held, steps):
    """Fields after some steps, trained on the CPU in float64 by the rules of the optimizers."""
    key, fields, kept, step = reference.key_of(seed), start.astype(float), {0: start}, 0
    first, second = np.zeros_like(fields), np.zeros_like(fields)
    batch = training.batch(len(x))
    for epoch in range(training.epochs):
        order = reference.order(len(x), epoch, key)
        for begin in range(0, len(x), batch):
            rows = order[begin : begin + batch]
            noise = reference.noise(network.widths, len(rows), step, key)
            _, grad = gradients.gradient(
                network, fields, x[rows].astype(float), y[rows], noise, gamma=training.gamma
            )
            grad[held] = 0
            rate = training.learning_rate
            rate /= training.decay_factor ** (step // (training.decay_steps or 10**9))
            step += 1
            if training.optimizer == "sgd":
                first = training.momentum * first + grad
                move = first
            else:
                first = training.beta1 * first + (1 - training.beta1) * grad
                second = training.beta2 * second + (1 - training.beta2) * grad**2
                root = np.sqrt(second / (1 - training.beta2**step)) + training.epsilon
                move = first / (1 - training.beta1**step) / root
            fields = fields - np.where(held, 0, rate * move)
            kept[step] = fields
    return np.array([kept[step] for step in steps])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_is_that_of_the_cpu_step_by_step(optimizer):
    """Two epochs of mini-batches, the last one short, with a frozen part and snapshots.

    Adam's constant is large, as it else divides by roundings where a gradient vanishes.
    """
    network = NetworkSpec(widths=(3, 4, 5, 2))
    training = TrainingSpec(
        optimizer=optimizer, learning_rate=0.2, momentum=0.5, epsilon=0.01, decay_steps=3,
        gamma=1e-2, epochs=2, batch_size=18, initial_std=1.0, engine="cuda",
    )  # fmt: skip
    x, y = _examples(network.widths, 40)
    seeds, frozen, steps = _seeds(1), mean_field.Frozen(("ITR",), 2.0), (0, 2, 6)
    start = mean_field.initial_fields(network, training, seeds, frozen)
    result = mean_field.train(network, training, x, y, seeds, frozen=frozen, times=steps)
    held = frozen.weights(network)
    exact = _replayed(network, training, x, y, start[0], seeds[0], held, steps)
    np.testing.assert_allclose(result.snapshots[0], exact, atol=3e-5)
    np.testing.assert_array_equal(result.fields, result.snapshots[:, -1])
    np.testing.assert_array_equal(result.fields[:, held], start[:, held])
    assert (np.abs(result.fields - start)[:, ~held] > 1e-4).all()
    assert result.loss.shape == result.accuracy.shape == (1, 2)


def test_a_result_depends_on_its_own_seed_only(monkeypatch):
    """Not on the networks beside it, nor on the number of threads."""
    network = NetworkSpec(widths=(3, 5, 2))
    training = TrainingSpec(epochs=1, batch_size=20, engine="cuda")
    x, y = _examples(network.widths, 20)
    seeds = _seeds(3)
    together = mean_field.train(network, training, x, y, seeds)
    config = replace(thread_blocks.CONFIG, threads=5)
    monkeypatch.setattr(thread_blocks, "CONFIG", config)
    alone = mean_field.train(network, training, x, y, seeds[1:2])
    np.testing.assert_array_equal(together.fields[1], alone.fields[0])
    np.testing.assert_allclose(together.loss[1], alone.loss[0], rtol=1e-12)
    assert len(np.unique(together.fields[:, 0])) == 3


def test_fields_have_the_statistics_of_the_cpu_engine(monkeypatch):
    """Two-sample tests of 16 networks against 400 of numba: mean field, |θ| and polarization.

    Every p-value above 10⁻⁴: a false alarm for one seed in 1,700.
    """
    network = NetworkSpec(widths=(2, 3, 2))
    x, _ = _examples((2, 2), 24, seed=5)
    y = (x[:, 0] > 0).astype(int)
    training = TrainingSpec(epochs=2, batch_size=12, learning_rate=0.3)
    cuda = training.model_copy(update={"engine": "cuda"})
    monkeypatch.setattr(thread_blocks, "CONFIG", replace(thread_blocks.CONFIG, threads=1))
    got = mean_field.train(network, cuda, x, y, _seeds(16, seed=1)).fields
    expected = mean_field.train(network, training, x, y, _seeds(400, seed=2)).fields

    def measured(fields):
        return fields[:, 0], np.abs(fields).mean(1), np.abs(np.tanh(fields / 2)).mean(1)

    for a, b in zip(measured(got), measured(expected), strict=True):
        assert stats.ks_2samp(a, b).pvalue > 1e-4
        assert stats.ttest_ind(a, b, equal_var=False).pvalue > 1e-4


def test_nan_is_never_right_and_diverged_fields_show():
    network = NetworkSpec(widths=(2, 3))
    training = TrainingSpec(epochs=1, batch_size=8, engine="cuda")
    x, y = np.full((8, 2), np.nan, np.float32), np.arange(8) % 3
    result = mean_field.train(network, training, x, y, _seeds(1))
    assert not result.accuracy.any()
    assert np.isnan(result.fields).any()
