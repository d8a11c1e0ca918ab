"""Stacked training against PyTorch modules that are trained one by one, and when it stops."""

import numpy as np
import pytest
import torch

from lsg_ray.datasets import load_dataset
from lsg_ray.errors import AcceptanceError, InputError
from lsg_ray.networks.families.relu import CURVES
from lsg_ray.networks.first_layer import DenseInputs, SparseInputs
from lsg_ray.networks.relu_network import evaluate, glorot_uniform
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.networks.solvers.descent import train_networks
from lsg_ray.networks.trial import Purpose, trial_generator
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import parse_spec

SEEDS = [seed_sequence(0, Stream.TRIAL, k, 0) for k in range(3)]


def spec_of(widths=(64, 20, 10), network=None, ensemble=None, examples=330, **training):
    return parse_spec(
        {
            "dataset": {"name": "digits", "train_examples": examples},
            "network": {"family": "relu", "widths": widths, **(network or {})},
            "training": {"epochs": 2, "batch_size": 100, **training},
            "ensemble": {"count": 3, **(ensemble or {})},
        }
    )


def on_cpu(examples, kind="dense"):
    x, y = examples.x, torch.tensor(examples.y).long()
    return SparseInputs(x) if kind == "sparse" else DenseInputs(x, "cpu", torch.float32), y


def trained(spec, seeds=SEEDS, kind="dense"):
    data = load_dataset(spec.dataset)
    sets = (on_cpu(data.train, kind), on_cpu(data.test, kind))
    return train_networks(spec.network, spec.training, *sets, seeds)


def modules_of(network):
    layers = []
    for fan_in, out in zip(network.widths, network.widths[1:], strict=False):
        layers += [torch.nn.Linear(fan_in, out, bias=network.biases)]
        layers += [torch.nn.LeakyReLU(network.leaky_slope)]
    return torch.nn.Sequential(*layers[:-1])


def flat_of_modules(model):
    linear = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    parts = [
        layer.weight if layer.bias is None else torch.cat([layer.weight, layer.bias[:, None]], 1)
        for layer in linear
    ]
    return torch.cat([part.flatten() for part in parts]).detach()


def load(model, network, flat):
    linear = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    for layer, index, shape in zip(linear, network.layer_slices, network.shapes, strict=True):
        w = torch.tensor(flat[index].reshape(shape))
        with torch.no_grad():
            layer.weight.copy_(w[:, :-1] if network.biases else w)
            if network.biases:
                layer.bias.copy_(w[:, -1])


def trained_alone(spec, seed):
    """Train one module by the book; return its curves (epochs, 4) and its weights."""
    network, training = spec.network, spec.training
    data = load_dataset(spec.dataset)
    x, y = torch.tensor(data.train.x), torch.tensor(data.train.y).long()
    test_x, test_y = torch.tensor(data.test.x), torch.tensor(data.test.y).long()
    model = modules_of(network)
    load(model, network, glorot_uniform(network, [seed])[0])
    about = {"lr": training.learning_rate, "weight_decay": training.gamma}
    if training.optimizer == "adam":
        about |= {"betas": (training.beta1, training.beta2), "eps": training.epsilon}
        optimizer = torch.optim.Adam(model.parameters(), **about)
    else:
        optimizer = torch.optim.SGD(model.parameters(), momentum=training.momentum, **about)
    loss_function = torch.nn.CrossEntropyLoss()
    rng, curves, step = trial_generator(seed, Purpose.ORDER), [], 0
    for _ in range(training.epochs):
        order, loss_sum, correct = rng.permutation(len(x)), 0.0, 0
        for begin in range(0, len(x), training.batch(len(x))):
            rows = order[begin : begin + training.batch(len(x))]
            optimizer.zero_grad()
            scores = model(x[rows])
            loss = loss_function(scores, y[rows])
            loss.backward()
            optimizer.step()
            step += 1
            if training.decay_steps and step % training.decay_steps == 0:
                for group in optimizer.param_groups:
                    group["lr"] /= training.decay_factor
            loss_sum += loss.item() * len(rows)
            correct += int((scores.argmax(1) == y[rows]).sum())
        with torch.no_grad():
            scores = model(test_x)
        test = loss_function(scores, test_y).item(), (scores.argmax(1) == test_y).float().mean()
        curves.append([loss_sum / len(x), correct / len(x), *map(float, test)])
    return np.array(curves), flat_of_modules(model).numpy()


@pytest.mark.parametrize("engine", ["torch", "numba"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize(
    "spec",
    [
        spec_of(learning_rate=0.003),
        spec_of(gamma=1e-3, beta1=0.8, beta2=0.99, epsilon=1e-6, batch_size=64),
        spec_of(optimizer="sgd", learning_rate=0.1),
        spec_of(optimizer="sgd", learning_rate=0.05, momentum=0.9, gamma=0.01),
        spec_of(optimizer="sgd", learning_rate=0.2, decay_steps=3, decay_factor=4),
        spec_of(batch_size=None, batch_fraction=0.1),
        spec_of(batch_size=None, optimizer="sgd", learning_rate=0.5),
        spec_of((64, 20, 17, 10), {"leaky_slope": 0.1}, learning_rate=0.003),
        spec_of((64, 33, 10), {"biases": True}, learning_rate=0.003, batch_size=329),
    ],
    ids=["adam", "adam-decayed", "sgd", "momentum", "steps", "fraction", "full", "deep", "biases"],
)
def test_a_stack_trains_as_modules_do_one_by_one(spec, kind, engine):
    """The last batch is partial in most; single precision, so that sums differ in the last bits."""
    result = trained(spec.replace(training={"engine": engine}), kind=kind)
    assert result.weights.dtype == np.float32
    assert result.curves.shape == (3, 2, len(CURVES))
    assert result.epochs.tolist() == [2, 2, 2]
    assert result.reached.all()
    for k, seed in enumerate(SEEDS):
        curves, weights = trained_alone(spec, seed)
        np.testing.assert_allclose(result.curves[k][:, [0, 2]], curves[:, [0, 2]], rtol=2e-4)
        # A score may be a tie to the last bit.
        np.testing.assert_allclose(result.curves[k][:, [1, 3]], curves[:, [1, 3]], atol=0.005)
        np.testing.assert_allclose(result.weights[k], weights, atol=5e-4)


@pytest.mark.parametrize("engine", ["torch", "numba"])
def test_numbers_of_the_end_are_those_of_the_weights(engine):
    spec = spec_of(engine=engine)
    data, result = load_dataset(spec.dataset), trained(spec)
    train = evaluate(spec.network, result.weights, *on_cpu(data.train))
    test = evaluate(spec.network, result.weights, *on_cpu(data.test))
    np.testing.assert_allclose(result.train_loss, train.loss, rtol=1e-6)
    np.testing.assert_array_equal(result.train_accuracy, train.accuracy)
    np.testing.assert_allclose(result.curves[:, -1, 2], test.loss, rtol=1e-6)
    np.testing.assert_allclose(result.curves[:, -1, 3], test.accuracy, rtol=1e-6)


@pytest.mark.parametrize("engine", ["torch", "numba"])
def test_training_stops_at_the_target_and_keeps_the_weights_of_that_epoch(engine):
    """Networks reach it at different times; those that are done are trained on unseen."""
    whole = spec_of(epochs=14, learning_rate=0.003, engine=engine)
    free = [trained(whole.replace(training={"epochs": n})) for n in range(1, 15)]
    losses = np.array([one.train_loss for one in free])  # (epochs, networks)
    target = float(losses[8].max())
    result = trained(whole.replace(training={"target_loss": target}))
    first = 1 + (losses <= target).argmax(axis=0)
    assert len(set(first.tolist())) > 1
    assert first.max() < 14
    np.testing.assert_array_equal(result.epochs, first)
    assert result.reached.all()
    assert (result.train_loss <= target).all()
    for k, epoch in enumerate(first.tolist()):
        np.testing.assert_array_equal(result.weights[k], free[epoch - 1].weights[k])
        assert result.train_loss[k] == losses[epoch - 1, k]
        np.testing.assert_array_equal(result.curves[k, :epoch], free[epoch - 1].curves[k])
        assert np.isnan(result.curves[k, epoch:]).all()


@pytest.mark.parametrize("engine", ["torch", "numba"])
def test_what_misses_the_target_has_the_weights_of_the_end(engine):
    free, result = (
        trained(spec_of(engine=engine)),
        trained(spec_of(target_loss=1e-9, engine=engine)),
    )
    assert not result.reached.any()
    np.testing.assert_array_equal(result.weights, free.weights)
    np.testing.assert_array_equal(result.epochs, [2, 2, 2])
    np.testing.assert_array_equal(result.train_loss, free.train_loss)


def test_target_out_of_reach_says_which_losses_were_seen():
    spec = spec_of(target_loss=1e-6, stack=3, ensemble={"give_up_after": 3})
    arena = prepare(spec, load_dataset(spec.dataset))
    with pytest.raises(AcceptanceError) as caught:
        sample_configurations(spec, arena, 0, 3)
    losses = trained(spec).train_loss
    message = str(caught.value)
    assert "0 of 3 networks were accepted" in message
    assert f"min {losses.min():.4g}" in message
    assert f"max {losses.max():.4g}; the target is training.target_loss = 1e-06" in message
    assert "Raise training.epochs or training.target_loss" in message


@pytest.mark.parametrize("engine", ["torch", "numba"])
@pytest.mark.parametrize("target", [None, 0.5])
def test_diverged_networks_are_refused_with_a_remedy(target, engine):
    leaky = {"leaky_slope": 0.5}  # where units do not die before they diverge
    spec = spec_of(
        network=leaky, optimizer="sgd", learning_rate=1e4, epochs=3, stack=3, target_loss=target,
        engine=engine,
    )  # fmt: skip
    result = trained(spec)
    assert not result.reached.any()
    arena = prepare(spec, load_dataset(spec.dataset))
    with pytest.raises(AcceptanceError, match="3 diverged: lower training"):
        sample_configurations(spec, arena, 0, 3)


def test_a_network_does_not_depend_on_its_neighbours():
    """But for the last bits: products of stacks of another size may sum in another order."""
    spec = spec_of(batch_size=50)
    alone = trained(spec, SEEDS[:1])
    stacked = trained(spec)
    np.testing.assert_allclose(alone.weights[0], stacked.weights[0], atol=1e-5)


def test_engine_auto_is_named_before_it_trains():
    with pytest.raises(InputError, match="auto given; a run names an engine"):
        trained(spec_of(engine="auto"))


def test_snapshots_of_the_engines_are_of_the_same_steps():
    """An epoch has four steps; the engines differ by rounding."""
    spec = spec_of(learning_rate=0.003)
    data = load_dataset(spec.dataset)
    sets = (on_cpu(data.train), on_cpu(data.test))
    torch_, numba = (
        train_networks(
            spec.network, spec.training.model_copy(update={"engine": engine}), *sets, SEEDS,
            (0, 3, 4, 5, 8),
        ).snapshots
        for engine in ("torch", "numba")
    )  # fmt: skip
    np.testing.assert_array_equal(numba[:, 0], torch_[:, 0])
    np.testing.assert_allclose(numba, torch_, atol=1e-4)
    assert len(np.unique(numba[0], axis=0)) == 5
