"""Both engines against autograd, NumPy, each other, and the authors' published accuracies."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lsg_ray.datasets import load_dataset
from lsg_ray.errors import InputError
from lsg_ray.kernels import classification, descent
from lsg_ray.networks import sampling
from lsg_ray.networks.binary_network import evaluate
from lsg_ray.networks.layout import chunk_examples
from lsg_ray.networks.solvers import mean_field, stacked
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import DatasetSpec, NetworkSpec, TrainingSpec, parse_spec
from tests.networks import gradients, reference

CASES = [
    ((20, 15, 15, 10), "cross_entropy"),
    ((20, 10), "cross_entropy"),
    ((6, 5, 9, 4, 3), "cross_entropy"),
    ((13, 7, 7, 1), "hinge"),
    ((5, 1), "hinge"),
]


def _seeds(count, seed=0):
    return [seed_sequence(seed, Stream.TRIAL, i, 0) for i in range(count)]


def _problem(widths, loss, n=37, seed=0):
    rng = np.random.default_rng(seed)
    network = NetworkSpec(widths=widths)
    x = rng.normal(size=(n, widths[0]))
    y = rng.choice([-1, 1], n) if loss == "hinge" else rng.integers(0, widths[-1], n)
    noise = [rng.normal(size=(width, n)) for width in widths[1:]]
    return network, rng.normal(0, 1.5, network.n_weights), x, y, noise


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize(("widths", "loss"), CASES)
def test_gradient_equals_autograd(engine, widths, loss):
    network, fields, x, y, noise = _problem(widths, loss)
    exact = reference.loss_by_autograd(network, fields, x, y, noise, loss, 1e-2)
    value, grad = gradients.gradient(
        network, fields, x, y, noise, loss=loss, gamma=1e-2, engine=engine
    )
    assert value == pytest.approx(exact[0], rel=1e-12)
    np.testing.assert_allclose(grad, exact[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_gradient_in_float32_is_close(engine):
    network, fields, x, y, noise = _problem((20, 15, 15, 10), "cross_entropy", n=200)
    exact = reference.loss_by_autograd(network, fields, x, y, noise, "cross_entropy", 0.0)
    value, grad = gradients.gradient(
        network, fields.astype(np.float32), x, y, noise, loss="cross_entropy", engine=engine
    )
    assert value == pytest.approx(exact[0], rel=1e-5)
    np.testing.assert_allclose(grad, exact[1], atol=2e-5 * np.abs(exact[1]).max())


@pytest.mark.parametrize(("widths", "loss"), CASES)
def test_evaluation_equals_numpy(widths, loss):
    network, _, x, y, _ = _problem(widths, loss, n=300)
    rng = np.random.default_rng(1)
    weights = rng.choice([-1, 1], (4, network.n_weights)).astype(np.int8)
    accuracy, value = evaluate(network, weights, chunk_examples(x, y, np.float64), loss)
    for row, w in enumerate(weights):
        z = reference.forward(network, w, x)
        if loss == "hinge":
            right, losses = y * z[:, 0] > 0, np.maximum(1 - y * z[:, 0], 0)
        else:
            shifted = z - z.max(1, keepdims=True)
            log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
            right, losses = z.argmax(1) == y, -log_p[np.arange(len(y)), y]
        assert accuracy[row] == right.mean()
        assert value[row] == pytest.approx(losses.mean(), rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e3, 1e4, 1e5])
def test_losses_keep_their_digits_however_large_the_scores(scale):
    """Single precision against double; labels are the answers of the first network."""
    network, _, x, _, _ = _problem((20, 15, 15, 10), "cross_entropy", n=1000)
    weights = np.random.default_rng(1).choice([-1, 1], (3, network.n_weights))
    # A grid of few bits: sums of the first layer, at least, are the same in both.
    x = np.round(x * 16) / 16 * scale
    y = reference.forward(network, weights[0], x).argmax(1)
    _, single = evaluate(network, weights, chunk_examples(x, y))
    _, double = evaluate(network, weights, chunk_examples(x, y, np.float64))
    assert (single >= 0).all()
    # Scores of 1e5 are right to about 0.01, and so are differences of them; so the loss where it
    # hangs on few examples.
    size = np.abs(reference.forward(network, weights[0], x)).max()
    np.testing.assert_allclose(single, double, rtol=1e-5 + 1e-6 * size, atol=1e-12)
    np.testing.assert_allclose(single[1:], double[1:], rtol=1e-6)


@pytest.mark.parametrize("classes", [2, 7, 10])
@pytest.mark.parametrize("gap", [0.0, 1e-3, 1.0, 10.0, 30.0])
@pytest.mark.parametrize("offset", [0.0, 1e2, 1e3, 1e5])
def test_losses_of_planted_scores_are_right(classes, gap, offset):
    """Scores are the weights, as there is one input, 1: any real numbers."""
    network = NetworkSpec(widths=(1, classes))
    z = np.float32(offset) - np.float32(gap) * np.arange(classes, dtype=np.float32)
    exact = z.astype(np.float64)
    losses = np.log(np.exp(exact - exact[0]).sum()) + exact[0] - exact
    losses[0] = np.log1p(np.exp(exact[1:] - exact[0]).sum())
    for label in range(classes):
        examples = chunk_examples(np.ones((3, 1)), np.full(3, label))
        _, result = evaluate(network, z[None], examples)
        # The sum of exponentials is 1 and more, in float32.
        assert result[0] == pytest.approx(losses[label], rel=2e-6, abs=1.5e-7)
        assert result[0] >= 0


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_losses_are_right_where_an_answer_is_hopeless(engine, dtype):
    """A certain network, θ = ±40: the loss of a wrong answer is the gap between scores."""
    network = NetworkSpec(widths=(1, 2))
    for x, y in ((500.0, 0), (500.0, 1), (3e4, 0), (3e4, 1), (1e-3, 1)):
        value, _ = gradients.gradient(
            network, np.array([40.0, -40.0], dtype), np.array([[x]]), np.array([y]),
            [np.zeros((2, 1))], engine=engine,
        )  # fmt: skip
        expected = np.logaddexp(0, -2 * x) if y == 0 else np.logaddexp(0, 2 * x)
        assert value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize("widths", [(4, 3), (4, 5, 3), (4, 5, 20)])
@pytest.mark.parametrize("batch", [7, 1000])
def test_a_network_that_sees_nothing_says_the_first_class(engine, widths, batch):
    """All scores are 0, whatever the weights and the noise: the first class is the answer."""
    network = NetworkSpec(widths=widths)
    rng = np.random.default_rng(0)
    x, y = np.zeros((700, 4), np.float32), rng.integers(0, widths[-1], 700)
    training = TrainingSpec(epochs=2, batch_size=batch)
    training = training.model_copy(update={"engine": engine})
    result = mean_field.train(network, training, x, y, _seeds(2), device="cpu")
    np.testing.assert_allclose(result.accuracy, (y == 0).mean(), rtol=1e-6)
    np.testing.assert_allclose(result.loss, np.log(widths[-1]), rtol=1e-6)
    weights = rng.choice([-1, 1], (3, network.n_weights))
    accuracy, _ = evaluate(network, weights, chunk_examples(x, y))
    np.testing.assert_array_equal(accuracy, (y == 0).mean())


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_nan_is_never_right(engine, loss):
    """Of examples of NaN no answer is right; the last class, and the first, are among them."""
    network = NetworkSpec(widths=(4, 5, 1 if loss == "hinge" else 3))
    y = np.tile([-1, 1], 150) if loss == "hinge" else np.arange(300) % 3
    x = np.full((300, 4), np.nan, np.float32)
    training = TrainingSpec(epochs=1)
    training = training.model_copy(update={"engine": engine})
    result = mean_field.train(network, training, x, y, _seeds(2), loss=loss, device="cpu")
    assert not result.accuracy.any()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.booleans())
def test_ties_go_to_the_first_class_in_every_engine(seed, classes, whole):
    """Planted scores with ties and NaN, to training steps of both engines and to evaluation."""
    rng = np.random.default_rng(seed)
    n = 50
    z = rng.integers(0, 3, (classes, n)).astype(np.float32)
    if not whole:
        z[rng.random(z.shape) < 0.1] = np.nan
    y = rng.integers(0, classes, n).astype(np.int32)
    right = (z.argmax(axis=0) == y) & ~np.isnan(z).any(axis=0)
    _, correct, _ = stacked._loss_gradient(
        torch.tensor(z[None]), torch.tensor(y[None]).long(), "cross_entropy"
    )
    assert float(correct) == pytest.approx(right.mean())
    rows, padded = -(-classes // 4) * 4, 64
    scores = np.zeros((rows, padded), np.float32)
    scores[:classes, :n] = z
    blank = np.zeros((7, rows, padded), np.float32)
    _, hits = descent.loss_gradient(
        scores.copy(), y, classes, classification.CROSS_ENTROPY, blank[1],
        *np.zeros((5, padded), np.float32), n, padded,
    )  # fmt: skip
    assert hits == right.sum()
    hits, _ = classification._score(
        scores, y, classes, classification.CROSS_ENTROPY, np.zeros((3, 256), np.float32),
        np.zeros(256, np.int32),
    )  # fmt: skip
    assert hits == right.sum()


def test_real_networks_of_nan_have_no_right_answer(digits):
    weights = np.full((2, NetworkSpec().n_weights), np.nan, np.float32)
    weights[1] = 0
    accuracy, loss = evaluate(NetworkSpec(), weights, chunk_examples(digits.x, digits.y))
    np.testing.assert_array_equal(accuracy, [0, (digits.y == 0).mean()])
    np.testing.assert_allclose(loss, [np.nan, np.log(10)], rtol=1e-6)


def test_selection_counts_a_tie_for_the_first_class_only():
    """Trials are selected on examples that show nothing: ties of all classes."""
    tree = {
        "dataset": {"name": "digits"}, "network": {"widths": [20, 9, 10]},
        "training": {"epochs": 1}, "ensemble": {"count": 1, "draws": 3, "threshold": 0.0},
    }  # fmt: skip
    spec = parse_spec(tree)
    arena = sampling.prepare(spec, load_dataset(spec.dataset))
    y = np.arange(80) % 10
    blind = arena._replace(selection=chunk_examples(np.zeros((80, 20)), y))
    (candidate,) = mean_field.ALGORITHM.trainer(spec, blind, None)([0], 0)
    assert candidate.accuracy == 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_published_accuracies_to_all_digits(shared, dtype):
    references = np.load(shared / "data/reference/deep_20-15-15-10.npz")
    test = np.load(shared / "data/reference/mnist_test_pca20.npz")
    examples = chunk_examples(test["x"], test["y"], dtype)
    for energy in ("low", "medium", "high"):
        accuracy, _ = evaluate(NetworkSpec(), references[f"sigma_{energy}"], examples)
        np.testing.assert_array_equal(np.round(accuracy, 4), references[f"accuracy_{energy}"])


@pytest.fixture(scope="module")
def digits():
    return load_dataset(DatasetSpec(name="digits")).train


def test_numba_training_depends_on_its_own_seed_only(digits):
    training = TrainingSpec(epochs=2)
    together = mean_field.train(NetworkSpec(), training, digits.x, digits.y, _seeds(4))
    alone = mean_field.train(NetworkSpec(), training, digits.x, digits.y, _seeds(4)[2:3])
    np.testing.assert_array_equal(together.fields[2], alone.fields[0])
    assert len(np.unique(together.fields[:, 0])) == 4


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_step_without_randomness_is_the_formula(engine, optimizer):
    """One example with all-zero input: z = 0, gradient zero but for the decay γθ."""
    network = NetworkSpec(widths=(3, 2))
    training = TrainingSpec(
        optimizer=optimizer, epochs=3, learning_rate=0.1, gamma=0.5, momentum=0.9,
        decay_steps=2, engine=engine,
    )  # fmt: skip
    x, y = np.zeros((1, 3), np.float32), np.zeros(1, np.int64)
    seeds = _seeds(2)
    got = mean_field.train(network, training, x, y, seeds, device="cpu").fields
    theta = mean_field.initial_fields(network, training, seeds).astype(np.float64)
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for step, rate in zip((1, 2, 3), (0.1, 0.1, 0.01), strict=True):
        grad = 0.5 * theta
        if optimizer == "sgd":
            m = 0.9 * m + grad
            theta = theta - rate * m
        else:
            m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
            theta = theta - rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    np.testing.assert_allclose(got, theta, rtol=2e-5, atol=1e-7)


@pytest.fixture(scope="module")
def plain(digits):
    """Fields of 48 networks that a loop of NumPy trained, for both engines."""
    network, training, rng = NetworkSpec(), TrainingSpec(epochs=8), np.random.default_rng(7)
    start = mean_field.initial_fields(network, training, _seeds(48, seed=2))
    return np.array(
        [reference.train_in_numpy(network, training, digits.x, digits.y, f, rng) for f in start]
    )


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_training_has_the_statistics_of_a_plain_numpy_loop(digits, plain, engine):
    """Two-sample tests of engine against reference on polarization, |θ| and accuracy.

    48 networks each; every p-value above 10⁻³: a false alarm for about one seed in 300.
    """
    network, training = NetworkSpec(), TrainingSpec(epochs=8, engine=engine)
    seeds = _seeds(48, seed=1)
    fields = mean_field.train(network, training, digits.x, digits.y, seeds, device="cpu").fields
    test = chunk_examples(digits.x, digits.y)

    def measured(result):
        accuracy, _ = evaluate(network, np.tanh(result / 2), test)
        return np.abs(np.tanh(result / 2)).mean(1), np.abs(result).mean(1), accuracy

    for got, expected in zip(measured(fields), measured(plain), strict=True):
        assert stats.ks_2samp(got, expected).pvalue > 1e-3
        assert stats.ttest_ind(got, expected, equal_var=False).pvalue > 1e-3


def test_engines_agree_on_magnetizations(digits):
    """Welch tests of numba against torch, of the magnetizations averaged over hidden units.

    48 networks each, 30 tests at 10⁻³/30: a false alarm for one seed in 1,000.
    """
    network = NetworkSpec()
    result = []
    for engine in ("numba", "torch"):
        training = TrainingSpec(epochs=20, engine=engine)
        trained = mean_field.train(
            network, training, digits.x, digits.y, _seeds(48, seed=3), device="cpu"
        )
        m = np.tanh(trained.fields / 2)
        first = m[:, network.parts["LB"]].reshape(48, 15, 20).mean(1)
        last = m[:, network.parts["RB"]].reshape(48, 10, 15).mean(2)
        result.append(np.concatenate([first, last], axis=1))
    assert stats.ttest_ind(*result, equal_var=False).pvalue.min() > 1e-3 / 30


def test_draws_follow_the_sigmoid():
    """Frequencies within five standard errors: a false alarm for one seed in 10⁴ at 200 weights."""
    fields = np.random.default_rng(0).normal(0, 2, 200).astype(np.float32)
    drawn = mean_field.draw(fields, 20_000, np.random.SeedSequence(0))
    assert drawn.dtype == np.int8
    assert set(np.unique(drawn)) == {-1, 1}
    p = 1 / (1 + np.exp(-fields.astype(np.float64)))
    error = np.sqrt(p * (1 - p) / 20_000)
    assert (np.abs((drawn > 0).mean(0) - p) < 5 * error).all()
    fixed = np.arange(200) < 50
    held = mean_field.draw(fields, 100, np.random.SeedSequence(0), fixed)
    assert (held[:, fixed] == np.sign(fields[fixed])).all()


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_frozen_parts_stay(digits, engine):
    network, training = NetworkSpec(), TrainingSpec(epochs=1, engine=engine)
    frozen = mean_field.Frozen(("ITR",), 10.0)
    trained = mean_field.train(
        network, training, digits.x, digits.y, _seeds(3), frozen=frozen, device="cpu"
    )
    interior = trained.fields[:, network.parts["ITR"]]
    assert (np.abs(interior) == 10).all()
    assert not np.array_equal(interior[0], interior[1])
    start = mean_field.initial_fields(network, training, _seeds(3), frozen)
    np.testing.assert_array_equal(interior, start[:, network.parts["ITR"]])
    outside = np.delete(trained.fields - start, network.parts["ITR"], axis=1)
    assert (outside != 0).mean() > 0.99


@pytest.mark.parametrize("frozen", list(itertools.product((False, True), repeat=4)))
def test_gradients_of_other_layers_do_not_depend_on_frozen_ones(frozen):
    """To the last bit; those of frozen layers are not computed."""
    network, fields, x, y, noise = _problem((6, 5, 9, 4, 3), "cross_entropy")
    value, whole = gradients.gradient(network, fields, x, y, noise)
    same, grad = gradients.gradient(network, fields, x, y, noise, frozen=frozen)
    assert same == value
    for held, where in zip(frozen, network.layer_slices, strict=True):
        np.testing.assert_array_equal(grad[where], 0 if held else whole[where])


def test_both_engines_learn(digits):
    network = NetworkSpec(widths=(20, 8, 10))
    training = TrainingSpec(epochs=15, batch_size=50)
    seeds = _seeds(4)
    for engine in ("numba", "torch"):
        spec = training.model_copy(update={"engine": engine})
        trained = mean_field.train(network, spec, digits.x, digits.y, seeds, device="cpu")
        assert trained.loss.shape == trained.accuracy.shape == (4, 15)
        assert trained.accuracy[:, -1].min() > 0.4
        assert (trained.loss[:, -1] < trained.loss[:, 0]).all()


def test_parity_learns(digits):
    y = np.where(digits.y % 2 == 0, 1, -1)
    network, training = NetworkSpec(widths=(20, 8, 8, 1)), TrainingSpec(epochs=15, batch_size=50)
    trained = mean_field.train(network, training, digits.x, y, _seeds(3), loss="hinge")
    assert trained.accuracy[:, -1].min() > 0.65


@pytest.mark.parametrize(
    ("x", "y", "loss"),
    [
        (np.zeros((4, 3)), np.zeros(4, int), "cross_entropy"),
        (np.zeros((4, 20)), np.zeros(3, int), "cross_entropy"),
        (np.zeros((0, 20)), np.zeros(0, int), "cross_entropy"),
        (np.zeros((4, 20)), np.full(4, 10), "cross_entropy"),
        (np.zeros((4, 20)), np.full(4, -1), "cross_entropy"),
        (np.zeros((4, 20)), np.ones(4, int), "hinge"),
    ],
)
def test_bad_examples_are_refused(x, y, loss):
    with pytest.raises(InputError):
        mean_field.train(NetworkSpec(), TrainingSpec(epochs=1), x, y, _seeds(1), loss=loss)


def test_wrong_number_of_weights_is_refused(digits):
    with pytest.raises(InputError, match="674"):
        evaluate(NetworkSpec(), np.ones((1, 674)), chunk_examples(digits.x, digits.y))
