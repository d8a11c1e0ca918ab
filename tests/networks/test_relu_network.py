"""ReLU networks: losses and derivatives against autograd, sparse examples against dense ones."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.errors import InputError
from lsg_ray.networks import relu_network
from lsg_ray.networks.first_layer import MAX_SPARSE_DENSITY, DenseInputs, SparseInputs, as_inputs
from lsg_ray.networks.relu_network import (
    evaluate,
    flat_of,
    glorot_uniform,
    hessian_product,
    layers_of,
    loss_step,
)
from lsg_ray.networks.trial import check_examples
from lsg_ray.spec import NetworkSpec
from tests.networks.gradients import loss_gradient

SHAPES = [(7, 5, 3), (4, 1, 2), (6, 17, 9, 20, 5)]
#: One block of 16, 32, 48 or 64 units, filled up or not, and several blocks.
UNITS = [1, 16, 20, 32, 33, 48, 63, 64, 65, 100, 128, 130]
NETWORKS = 3


def network_of(widths, biases=False, slope=0.0):
    return NetworkSpec(family="relu", widths=widths, biases=biases, leaky_slope=slope)


def drawn(network, n, seed=0):
    """Weights (networks, N), examples with zeros among them, some all zero, and classes."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(NETWORKS, network.n_weights)) / 2
    x = rng.random((n, network.widths[0])) * (
        rng.random((n, network.widths[0])) < MAX_SPARSE_DENSITY / 2
    )
    x[:: max(2, n // 5)] = 0
    return weights, x, rng.integers(0, network.widths[-1], n)


def double(x):
    return as_inputs(x, "cpu", torch.float64)


def scores_of(network, flat, x):
    """Scores (n, classes) of one network, as anyone would write them."""
    for layer, (index, shape) in enumerate(zip(network.layer_slices, network.shapes, strict=True)):
        w = flat[index].reshape(shape)
        bias = w[:, -1] if network.biases else 0
        z = x @ (w[:, :-1] if network.biases else w).T + bias
        x = torch.nn.functional.leaky_relu(z, network.leaky_slope)
        if layer + 1 == len(network.shapes):
            return z
    raise AssertionError


def loss_of(network, x, y):
    x, y = torch.tensor(x), torch.tensor(y)
    return lambda flat: torch.nn.functional.cross_entropy(scores_of(network, flat, x), y)


def close(actual, expected, tolerance):
    """Compare relative to the largest number."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.fixture(params=[False, True], ids=["plain", "biases"])
def biases(request):
    return request.param


@pytest.fixture(params=[0.0, 0.1])
def slope(request):
    return request.param


@pytest.fixture
def small_chunks(monkeypatch):
    """Take 64 examples at a time where all are evaluated."""
    monkeypatch.setattr(relu_network, "MAX_CHUNK_ACTIVATIONS", 1)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("widths", SHAPES)
def test_loss_and_gradient_are_those_of_autograd(widths, biases, slope):
    network = network_of(widths, biases, slope)
    weights, x, y = drawn(network, 150)
    flat = torch.tensor(weights)
    loss, gradient = loss_gradient(network, flat, double(x), torch.tensor(y))
    for k in range(NETWORKS):
        one = flat[k].clone().requires_grad_()
        expected = loss_of(network, x, y)(one)
        expected.backward()
        close(loss[k], expected.item(), 1e-9)
        close(gradient[k], one.grad, 1e-9)


@pytest.mark.parametrize("widths", SHAPES)
def test_step_sums_losses_and_counts_over_rows_of_each_network(widths, biases, slope):
    network = network_of(widths, biases, slope)
    weights, x, y = drawn(network, 40)
    rows = torch.tensor(np.random.default_rng(1).integers(0, 40, (NETWORKS, 11)))
    inputs, labels = double(x), torch.tensor(y)
    layers = layers_of(network, torch.tensor(weights), inputs)
    step = loss_step(network, layers, inputs, rows, labels[rows], 0.25)
    gradients = flat_of(network, step.gradients, inputs)
    for k in range(NETWORKS):
        chosen = rows[k].numpy()
        flat = torch.tensor(weights[k], requires_grad=True)
        loss = 11 * loss_of(network, x[chosen], y[chosen])(flat)
        loss.backward()
        close(step.loss[k], loss.item(), 1e-9)
        close(gradients[k], flat.grad / 4, 1e-9)
        scores = scores_of(network, flat.detach(), torch.tensor(x[chosen]))
        assert step.correct[k] == (scores.argmax(1).numpy() == y[chosen]).sum()


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("widths", SHAPES)
def test_hessian_product_is_that_of_autograd(widths, biases, slope):
    network = network_of(widths, biases, slope)
    weights, x, y = drawn(network, 150)
    flat = torch.tensor(weights)
    along = torch.tensor(np.random.default_rng(2).normal(size=weights.shape))
    result = hessian_product(network, flat, along, double(x), torch.tensor(y))
    for w, v, product in zip(flat, along, result, strict=True):
        close(product, torch.autograd.functional.hvp(loss_of(network, x, y), w, v)[1], 1e-9)


def test_hessian_columns_are_those_of_the_whole_matrix(biases):
    network = network_of((4, 3, 4, 3), biases)
    weights, x, y = drawn(network, 30)
    flat, n = torch.tensor(weights[0]), network.n_weights
    columns = hessian_product(
        network, flat.expand(n, n), torch.eye(n, dtype=torch.float64), double(x), torch.tensor(y)
    )
    expected = torch.autograd.functional.hessian(loss_of(network, x, y), flat)
    close(columns, expected, 1e-8)
    close(columns, columns.T, 1e-12)


@pytest.mark.parametrize("units", UNITS)
def test_sparse_examples_give_what_dense_ones_do(units, biases, slope):
    network = network_of((90, units, 10), biases, slope)
    weights, x, y = drawn(network, 70)
    flat, y = torch.tensor(weights, dtype=torch.float32), torch.tensor(y)
    sparse, dense = SparseInputs(x), DenseInputs(x, "cpu", torch.float32)
    for function in (loss_gradient, lambda *given: evaluate(*given)):
        result, expected = (function(network, flat, inputs, y) for inputs in (sparse, dense))
        close(result[0], expected[0], 1e-5)
        close(result[1], expected[1], 1e-5)
    along = torch.tensor(np.random.default_rng(2).normal(size=weights.shape), dtype=torch.float32)
    result, expected = (
        hessian_product(network, flat, along, inputs, y) for inputs in (sparse, dense)
    )
    close(result, expected, 1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 40), st.sampled_from(UNITS),
    st.floats(0, 1), st.booleans(),
)  # fmt: skip
def test_sparse_products_are_dense_ones(seed, n, inputs, units, density, sliced):
    """Also of empty examples, and of examples that come twice."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, inputs)) * (rng.random((n, inputs)) < density)
    w = rng.normal(size=(2, units, inputs))
    sparse, dense = SparseInputs(x), double(x)
    rows = slice(int(rng.integers(n)), n) if sliced else torch.tensor(rng.integers(0, n, (2, 5)))
    delta = rng.normal(size=(2, n - rows.start if sliced else 5, units))
    packed = sparse.pack(torch.tensor(w, dtype=torch.float32))
    z = sparse.product(packed, rows)
    assert z.shape[2] % 16 == 0
    expected = dense.product(torch.tensor(w), rows)
    np.testing.assert_allclose(z[..., :units], expected, rtol=0, atol=2e-5)
    assert not z[..., units:].any()
    gradient = sparse.gradient(torch.tensor(delta, dtype=torch.float32), rows)
    assert gradient.shape == packed.shape
    expected = dense.gradient(torch.tensor(delta), rows)
    np.testing.assert_allclose(sparse.unpack(gradient, units), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("units", UNITS)
def test_packed_weights_come_back(units):
    sparse = SparseInputs(np.eye(9))
    w = torch.tensor(np.random.default_rng(0).normal(size=(2, units, 9)), dtype=torch.float32)
    packed = sparse.pack(w)
    assert packed.is_contiguous()
    assert packed.shape[3] in (16, 32, 48, 64)
    assert packed.shape[1] * packed.shape[3] - units < 64
    torch.testing.assert_close(sparse.unpack(packed, units), w, rtol=0, atol=0)


@pytest.mark.parametrize("widths", [*SHAPES, (30, 65, 10)])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_layers_come_back_as_flat_configurations(widths, biases, kind):
    network = network_of(widths, biases)
    weights, x, _ = drawn(network, 5)
    flat = torch.tensor(weights, dtype=torch.float32)
    inputs = SparseInputs(x) if kind == "sparse" else DenseInputs(x, "cpu", torch.float32)
    layers = layers_of(network, flat, inputs)
    assert [layer.b is None for layer in layers] == [not biases] * len(layers)
    before = flat.clone()
    torch.testing.assert_close(flat_of(network, layers, inputs), flat, rtol=0, atol=0)
    for layer in layers:
        for tensor in layer.tensors:
            assert tensor.is_contiguous()
            tensor += 1
    torch.testing.assert_close(flat, before, rtol=0, atol=0)  # layers are copies


def test_examples_are_sparse_where_that_is_faster():
    rng = np.random.default_rng(0)
    few = (rng.random((50, 40)) < 0.2).astype(np.float32)
    many = (rng.random((50, 40)) < 0.6).astype(np.float32)
    assert isinstance(as_inputs(few, "cpu"), SparseInputs)
    assert isinstance(as_inputs(many, "cpu"), DenseInputs)
    assert isinstance(as_inputs(few, "cpu", torch.float64), DenseInputs)
    np.testing.assert_array_equal(SparseInputs(few).dense(), few)


@pytest.mark.usefixtures("small_chunks")
def test_evaluation_is_that_of_numpy(biases, slope):
    network = network_of((9, 20, 6, 4), biases, slope)
    weights, x, y = drawn(network, 200)
    result = evaluate(network, weights, double(x), torch.tensor(y))
    for k, flat in enumerate(weights):
        a = x
        for index, shape in zip(network.layer_slices, network.shapes, strict=True):
            w = flat[index].reshape(shape)
            z = a @ w[:, : a.shape[1]].T + (w[:, -1] if biases else 0)
            a = np.where(z > 0, z, slope * z)
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(result.loss[k], -log_p[np.arange(200), y].mean(), rtol=1e-12)
        assert result.accuracy[k] == (z.argmax(axis=1) == y).mean()


def test_large_scores_do_not_overflow():
    network = network_of((2, 2, 3))
    weights = np.full((1, network.n_weights), 1e3, np.float32)
    weights[0, network.layer_slices[1]] = [1e3, 1e3, 0, 0, -1e3, -1e3]
    x, y = np.ones((2, 2)), torch.tensor([0, 2])
    result = evaluate(network, weights, DenseInputs(x, "cpu", torch.float32), y)
    np.testing.assert_allclose(result.loss, [(0 + 8e6) / 2], rtol=1e-6)
    assert result.accuracy[0] == 0.5


@pytest.mark.parametrize("scale", [1e3, 1e4, 1e5])
@pytest.mark.parametrize("gap", [0.0, 1e-3, 1.0, 8.0, 15.0, 30.0])
def test_losses_keep_their_digits_however_large_the_scores(scale, gap):
    """A network without hidden units but one, which is 1: scores are the weights to the outputs."""
    network, classes = network_of((1, 1, 5)), 5
    rng = np.random.default_rng(0)
    offset = np.float32(rng.uniform(0.5, 1) * scale)
    scores = offset - np.float32(gap) * np.arange(classes, dtype=np.float32)
    weights = np.concatenate([[1.0], scores]).astype(np.float32)[None]
    z, y = weights[0, 1:].astype(np.float64), np.arange(classes)
    expected = np.log(np.exp(z - z.max()).sum()) - (z - z.max())
    # For the best class ln(1 + r), r small: by numpy's log1p, from what is left of the others.
    rest = np.exp(np.sort(z)[:-1] - z.max()).sum()
    expected[np.argmax(z)] = np.log1p(rest)
    inputs = DenseInputs(np.ones((1, 1)), "cpu", torch.float32)
    for label in y:
        one = torch.tensor([label])
        result = evaluate(network, weights, inputs, one).loss[0]
        # Five powers and a difference of scores, each right to half of 2⁻²³.
        assert result == pytest.approx(expected[label], rel=5e-7)
        layers = layers_of(network, torch.tensor(weights), inputs)
        step = loss_step(network, layers, inputs, slice(0, 1), one, 1.0)
        assert step.loss[0].item() == pytest.approx(expected[label], rel=5e-7)
        assert result >= 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 6))
def test_losses_are_never_negative(seed, size):
    rng = np.random.default_rng(seed)
    network = network_of((3, 4, 5))
    weights = rng.normal(0, 10 ** (size / 2), (2, network.n_weights)).astype(np.float32)
    inputs = DenseInputs(rng.normal(size=(7, 3)), "cpu", torch.float32)
    layers = layers_of(network, torch.tensor(weights), inputs)
    scores = relu_network.forward(network, layers, inputs, slice(0, 7))[-1]
    y = scores.argmax(1)  # what each network says: losses are at their smallest
    for k in range(2):
        result = evaluate(network, weights[k : k + 1], inputs, y[k])
        assert result.loss[0] >= 0
        step = loss_step(network, layers, inputs, slice(0, 7), y[k], 1.0)
        assert (step.loss >= 0).all()


def test_gradients_are_those_of_softmax_to_the_last_bit(biases):
    """Ensembles are known by the bytes of their weights: the sum of powers is in float32."""
    network = network_of((7, 5, 3), biases)
    weights, x, y = drawn(network, 40)
    inputs, labels = DenseInputs(x, "cpu", torch.float32), torch.tensor(y)
    layers = layers_of(network, torch.tensor(weights, dtype=torch.float32), inputs)
    activations = relu_network.forward(network, layers, inputs, slice(0, 40))
    z = activations[-1]
    powers = (z - z.amax(1, keepdim=True)).exp()
    delta = powers * (0.25 / powers.sum(1, keepdim=True))
    index = labels.expand(NETWORKS, 40)[:, None]
    delta.scatter_add_(1, index, torch.full(index.shape, -0.25))

    def through(values, number):
        return relu_network._masked(values, activations[number], network.leaky_slope)

    rows = slice(0, 40)
    expected = relu_network.backward(network, layers, inputs, rows, activations, delta, through)
    result = loss_step(network, layers, inputs, slice(0, 40), labels, 0.25).gradients
    for a, b in zip(result, expected, strict=True):
        for one, other in zip(a.tensors, b.tensors, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 5))
def test_ties_go_to_the_first_class_and_nan_is_never_right(seed, n, classes):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (2, classes, n)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.1] = np.nan
    labels = rng.integers(0, classes, (2, 1, n))
    given_scores, given_labels = torch.tensor(scores), torch.tensor(labels)
    own = given_scores.gather(1, given_labels)
    right = (scores.argmax(axis=1) == labels[:, 0]) & np.isfinite(scores).all(axis=1)
    largest = given_scores.amax(1, keepdim=True)
    result = relu_network.correct_answers(given_scores, own, largest, given_labels)
    np.testing.assert_array_equal(result, right.sum(axis=1))


def test_networks_that_know_nothing_say_the_first_class():
    network = network_of((5, 4, 3))
    _, x, y = drawn(network, 60)
    weights = np.zeros((2, network.n_weights))
    weights[1] = np.nan
    result = evaluate(network, weights, double(x), torch.tensor(y))
    np.testing.assert_allclose(result.loss, [np.log(3), np.nan])
    np.testing.assert_array_equal(result.accuracy, [(y == 0).mean(), 0])
    layers = layers_of(network, torch.tensor(weights), double(x))
    step = loss_step(network, layers, double(x), slice(0, 60), torch.tensor(y), 1 / 60)
    assert step.correct.tolist() == [(y == 0).sum(), 0]


def test_starts_are_uniform_within_glorots_bounds_and_biases_zero(biases):
    network = network_of((300, 100, 10), biases)
    seeds = [np.random.SeedSequence(0, spawn_key=(k,)) for k in range(4)]
    result = glorot_uniform(network, seeds)
    assert result.dtype == np.float32
    for (out, columns), index in zip(network.shapes, network.layer_slices, strict=True):
        inputs = columns - biases
        w = result[:, index].reshape(4, out, columns)
        bound = np.sqrt(6 / (inputs + out))
        assert not w[..., inputs:].any()
        w = w[..., :inputs]
        assert np.abs(w).max() <= np.float32(bound)
        assert np.abs(w).max() > 0.995 * bound
        # Standard errors of mean and variance of so many uniform numbers, five of them.
        assert abs(w.mean()) < 5 * bound / np.sqrt(3 * w.size)
        assert abs(w.var() / (bound**2 / 3) - 1) < 5 * np.sqrt(0.8 / w.size)
    np.testing.assert_array_equal(glorot_uniform(network, seeds[2:3])[0], result[2])
    assert len(np.unique(result[:, 0])) == 4


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ((4, 3), [0, 1, 2, 0], r"x \(4, 3\).* need x \(P, 5\)"),
        ((4,), [0, 1, 2, 0], r"x \(4,\)"),
        ((4, 5), [0, 1, 2], r"y \(3,\) given"),
        ((4, 5), [0, 1, 2, 3], "from 0 to 2"),
        ((4, 5), [0, 1, 2, -1], "from 0 to 2"),
    ],
)
def test_examples_that_do_not_fit_are_refused(x, y, message):
    with pytest.raises(InputError, match=message):
        check_examples(network_of((5, 4, 3)), np.zeros(x), np.array(y))
