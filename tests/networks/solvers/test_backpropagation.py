"""Networks of real weights, the twins of binary ones: gradient and training against plain torch."""

import numpy as np
import pytest
import torch

from lsg_ray.cluster.sample import sample
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.errors import AcceptanceError, InputError, SpecError
from lsg_ray.kernels import backpropagation
from lsg_ray.networks.layout import Layout
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.networks.solvers.backpropagation import train
from lsg_ray.networks.solvers.mean_field import initial_fields
from lsg_ray.registry import FAMILIES
from lsg_ray.spec import NetworkSpec, TrainingSpec, parse_spec

SLOPE = 0.1


def scores_of(network, flat, x):
    """Return outputs (outputs, examples) by torch, from a flat tensor of weights."""
    a = x.T
    for layer, (where, shape) in enumerate(zip(network.layer_slices, network.shapes, strict=True)):
        z = flat[where].reshape(shape) @ a
        if layer + 1 < len(network.shapes):
            a = torch.nn.functional.leaky_relu(z, SLOPE) / shape[1] ** 0.5
    return z


def loss_of(network, flat, x, y, loss):
    z = scores_of(network, flat, x)
    if loss == "hinge":
        return (1 - y * z[0]).clamp_min(0).mean()
    return torch.nn.functional.cross_entropy(z.T, y)


def examples(rng, n, inputs, loss, classes):
    x = rng.normal(size=(n, inputs)).astype(np.float32)
    y = rng.integers(0, 2, n) * 2 - 1 if loss == "hinge" else rng.integers(0, classes, n)
    return x, y.astype(np.int32)


@pytest.mark.parametrize("widths", [(3, 1, 1), (5, 4, 1), (20, 15, 15, 1), (7, 9, 2, 6, 1)])
@pytest.mark.parametrize("loss", ["hinge", "cross_entropy"])
def test_gradient__is_that_of_automatic_differentiation(widths, loss):
    widths = widths if loss == "hinge" else (*widths[:-1], 6)
    network, layout = NetworkSpec(family="real", widths=widths), Layout(widths)
    rng = np.random.default_rng(len(widths))
    n = 37
    x, y = examples(rng, n, widths[0], loss, widths[-1])
    flat = rng.normal(size=network.n_weights)
    leaf = torch.tensor(flat, requires_grad=True)
    value = loss_of(network, leaf, torch.tensor(x).double(), torch.tensor(y).long(), loss)
    value.backward()

    starts = np.zeros(len(widths), np.int64)
    padded = -(-layout.widths // 4) * 4
    starts[1:] = np.cumsum(padded[:-1] * padded[1:])
    rows = np.concatenate([[0], np.cumsum(padded)])
    a = np.zeros((rows[-1], 48))
    a[: widths[0], :n] = x.T
    grad = np.zeros(layout.n_padded)
    work = np.zeros((3, padded.max() + 2, 48))
    total, correct = backpropagation.accumulate_gradient(
        a, y, n, layout.widths, starts, rows, layout.pad(flat, np.float64), SLOPE,
        int(loss == "hinge"), work, grad,
    )  # fmt: skip
    np.testing.assert_allclose(grad[layout.positions] / n, leaf.grad.numpy(), rtol=1e-6, atol=1e-9)
    assert total / n == pytest.approx(value.item(), rel=1e-6)
    z = scores_of(network, torch.tensor(flat), torch.tensor(x).double()).numpy()
    right = y * z[0] > 0 if loss == "hinge" else z.argmax(axis=0) == y
    assert correct == right.sum()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.05},
        {"gamma": 0.01, "decay_steps": 4, "decay_factor": 5},
    ],
)
def test_full_batches__are_the_steps_of_torch(options):
    network = NetworkSpec(family="real", widths=(8, 5, 5, 1))
    about = {"epochs": 12, "batch_size": None, "learning_rate": 0.1, "gamma": 0.0} | options
    training = TrainingSpec(initial_std=1.0, **about)
    x, y = examples(np.random.default_rng(1), 300, 8, "hinge", 1)
    seeds = [np.random.SeedSequence(s) for s in (3, 4)]
    trained = train(network, training, x, y, seeds, loss="hinge", times=(0, 5, 12))
    for row, start in enumerate(initial_fields(network, training, seeds)):
        leaf = torch.tensor(start, requires_grad=True)
        shared = {"lr": training.learning_rate, "weight_decay": training.gamma}
        descent = (
            torch.optim.Adam([leaf], **shared)
            if training.optimizer == "adam"
            else torch.optim.SGD([leaf], momentum=training.momentum, **shared)
        )
        along = [start]
        for step in range(training.epochs):
            if training.decay_steps:
                exponent = step // training.decay_steps
                descent.param_groups[0]["lr"] = (
                    training.learning_rate / training.decay_factor**exponent
                )
            descent.zero_grad()
            value = loss_of(network, leaf, torch.tensor(x), torch.tensor(y), "hinge")
            assert trained.loss[row, step] == pytest.approx(value.item(), rel=1e-3)
            value.backward()
            descent.step()
            along.append(leaf.detach().numpy().copy())
        np.testing.assert_allclose(trained.fields[row], along[-1], rtol=2e-3, atol=2e-3)
        for step, snapshot in zip((0, 5, 12), trained.snapshots[row], strict=True):
            np.testing.assert_allclose(snapshot, along[step], rtol=2e-3, atol=2e-3)


def spec_of(family="real", network=None, ensemble=None, labels="class", **training):
    outputs = 1 if labels == "parity" else 10
    return parse_spec({
        "dataset": {"name": "digits", "components": 12, "train_examples": 300, "labels": labels},
        "network": {"family": family, "widths": [12, 6, 6, outputs], **(network or {})},
        "training": {"epochs": 20, "batch_size": 50, **training},
        "ensemble": {"count": 6, "threshold": 0.0, **(ensemble or {})},
    })  # fmt: skip


@pytest.mark.parametrize("labels", ["class", "parity"])
def test_store__holds_what_the_family_measures(tmp_path, labels):
    spec = spec_of(labels=labels, ensemble={"block_size": 4, "snapshots": [0, 40]}, epochs=40)
    sample(spec, tmp_path / "e.zarr", workers=0)
    ensemble = open_ensemble(tmp_path / "e.zarr")
    assert not verify(ensemble.url).findings
    data, family = load_dataset(spec.dataset), FAMILIES["real"]
    weights = ensemble.take(range(6))["weights"]
    assert weights.dtype == np.float32
    for part, prefix in ((data.train, "train_"), (data.test, "test_")):
        accuracy, _ = family.evaluate(spec, weights, part.x, part.y)
        np.testing.assert_array_equal(accuracy, ensemble.column(f"{prefix}accuracy"))
    assert ensemble.column("train_accuracy").mean() > 0.8
    # One network at a time: the same as in a block with others.
    alone = sample_configurations(spec, prepare(spec, data), 5, 1)
    np.testing.assert_array_equal(alone.weights[0], weights[5])


def test_twin__is_the_binary_network_at_signs():
    binary, real = spec_of("binary", ensemble={"draws": 1}), spec_of()
    signs = np.sign(np.random.default_rng(2).normal(size=(3, real.network.n_weights)))
    data = load_dataset(real.dataset)
    for part in (data.train, data.test):
        a = FAMILIES["binary"].evaluate(binary, signs.astype(np.int8), part.x, part.y)
        b = FAMILIES["real"].evaluate(real, signs.astype(np.float32), part.x, part.y)
        np.testing.assert_array_equal(a, b)
    x = data.test.x[:5]
    np.testing.assert_array_equal(
        FAMILIES["binary"].outputs(binary.network, signs, x),
        FAMILIES["real"].outputs(real.network, signs, x),
    )


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"network": {"biases": True}}, "network.biases: true given"),
        ({"engine": "torch"}, "training.engine: 'torch' given"),
        ({"target_loss": 0.1}, "training.target_loss: 0.1 given"),
        ({"ensemble": {"draws": 5}}, "ensemble.draws: 5 given"),
        ({"ensemble": {"frozen_parts": ["ITR"]}}, "ensemble.frozen_parts"),
        ({"algorithm": "mean-field"}, "mean-field"),
    ],
)
def test_fields_it_does_not_have__are_named(sections, said):
    with pytest.raises(SpecError, match=said.replace("[", r"\[")):
        spec_of(**sections)


def test_diverged_networks__are_never_accepted():
    spec = spec_of(optimizer="sgd", learning_rate=1e6, gamma=1.0)
    with pytest.raises(AcceptanceError, match=r"diverged: lower training\.learning_rate"):
        sample_configurations(spec, prepare(spec, load_dataset(spec.dataset)), 0, 2)


def test_labels_that_do_not_fit__are_one_line():
    x = np.zeros((5, 3), np.float32)
    with pytest.raises(InputError, match="labels from 0 to 4"):
        train(NetworkSpec(family="real", widths=(3, 2, 2)), TrainingSpec(), x, np.arange(5), [])
