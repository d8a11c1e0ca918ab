"""Groups of related networks: what they share, and what the penalty on signs does."""

import numpy as np
import pytest
import torch

from lsg_ray.datasets import load_dataset
from lsg_ray.errors import SpecError
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.networks.solvers.descent import Related, train_networks
from lsg_ray.networks.solvers.related_descent import group_of
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import parse_spec

from .test_descent import on_cpu


def spec_of(options, training=None, ensemble=None, **network):
    return parse_spec(
        {
            "dataset": {"name": "digits", "train_examples": 200},
            "network": {"family": "relu", "widths": [64, 8, 10], **network},
            "training": {
                "algorithm": "related-descent", "options": options, "epochs": 3,
                "batch_size": 50, "learning_rate": 0.01, **(training or {}),
            },
            "ensemble": {"count": 6, "snapshots": [0, 3], **(ensemble or {})},
        }
    )  # fmt: skip


def sampled(spec, start=0, rows=6):
    return sample_configurations(spec, prepare(spec, load_dataset(spec.dataset)), start, rows)


def agreement(a, b):
    return np.mean(np.sign(a) == np.sign(b))


def test_children__start_from_one_parent_and_end_apart():
    spec = spec_of({"group": 3, "parent_epochs": 2})
    assert group_of(spec) == 3
    rows = sampled(spec)
    starts = rows.columns["snapshots"][:, 0]
    for first in (0, 3):
        np.testing.assert_array_equal(starts[first], starts[first + 2])
    assert not np.array_equal(starts[0], starts[3])
    assert len(np.unique(rows.weights[:, 5])) == 6
    # The parent is a trained network, in the order of examples of none of its children.
    early = sampled(spec_of({"group": 3, "parent_epochs": 0})).columns["snapshots"]
    assert not np.array_equal(starts[0], early[0, 1])


def test_a_common_start__is_not_trained():
    starts = sampled(spec_of({"group": 2, "parent_epochs": 0}), rows=2).columns["snapshots"][:, 0]
    np.testing.assert_array_equal(*starts)
    assert 0.5 < np.abs(starts).max() / np.sqrt(6 / (8 + 10)) <= 1  # as they are drawn


def test_the_penalty__aligns_signs_with_those_of_the_first():
    longer = {"epochs": 20}
    alone = sampled(spec_of({"group": 3, "sign_penalty": 1e-9}, longer))
    pulled = sampled(spec_of({"group": 3, "sign_penalty": 0.05}, longer))
    np.testing.assert_allclose(alone.weights[0], pulled.weights[0], rtol=1e-5)  # the reference
    for first in (0, 3):
        for other in (first + 1, first + 2):
            assert agreement(alone.weights[first], alone.weights[other]) < 0.65
            assert agreement(pulled.weights[first], pulled.weights[other]) > 0.9
    assert agreement(pulled.weights[0], pulled.weights[3]) < 0.65


def test_configurations__do_not_depend_on_the_block():
    spec = spec_of({"group": 2, "sign_penalty": 0.01, "parent_epochs": 1})
    whole, part = sampled(spec), sampled(spec, 3, 2)
    np.testing.assert_array_equal(whole.weights[3:5], part.weights)


def test_the_penalty__has_the_gradient_of_its_formula():
    """One step of plain descent from given weights, against autograd."""
    spec = spec_of({"sign_penalty": 1.0}, {"epochs": 1, "optimizer": "sgd", "batch_size": None},
                   {"snapshots": None}, biases=True)  # fmt: skip
    data = load_dataset(spec.dataset)
    sets = (on_cpu(data.train), on_cpu(data.test))
    rng = np.random.default_rng(0)
    starts, signs = rng.normal(0, 0.3, (2, 2, spec.network.n_weights)).astype(np.float32)
    signs = np.sign(signs) * (rng.random(signs.shape) < 0.8)
    seeds = [seed_sequence(0, Stream.TRIAL, k, 0) for k in range(2)]

    def stepped(related):
        return train_networks(spec.network, spec.training, *sets, seeds, related=related).weights

    plain = stepped(Related(starts))
    pulled = stepped(Related(starts, signs.astype(np.float32), 0.7))
    w = torch.tensor(starts, requires_grad=True)
    (0.7 * torch.relu(-torch.tensor(signs) * w)).sum().backward()
    rate = spec.training.learning_rate
    np.testing.assert_allclose((plain - pulled) / rate, w.grad, atol=2e-4)


def test_a_rejected_network__has_the_same_reference():
    """Of trials that the threshold rejects, the next are pulled to the same signs."""
    spec = spec_of({"group": 2, "sign_penalty": 0.05}, ensemble={"count": 4, "snapshots": None})
    scores = sampled(spec, rows=4).columns["accuracy"]
    middle = float(np.sort(scores)[1])
    some = spec_of({"group": 2, "sign_penalty": 0.05},
                   ensemble={"count": 4, "snapshots": None, "threshold": middle,
                             "give_up_after": 50})  # fmt: skip
    whole, part = sampled(some, rows=4), sampled(some, 2, 2)
    np.testing.assert_array_equal(whole.weights[2:], part.weights)
    assert whole.columns["trial"].max() > 0
    assert (whole.columns["accuracy"] >= middle).all()


@pytest.mark.parametrize(
    ("options", "training", "line"),
    [
        ({}, {}, "not related"),
        ({"group": 1, "parent_epochs": 1}, {}, "training.options.group: 1 given"),
        ({"parent_epochs": -1}, {}, "training.options.parent_epochs: -1 given"),
        ({"parent_epochs": 1}, {"stack": 6}, "training.stack: 6 given"),
        ({"sign_penalty": 1, "near": 2}, {}, "training.options.near: 2 given"),
    ],
)
def test_bad_options__are_one_line_each(options, training, line):
    with pytest.raises(SpecError, match=line) as caught:
        spec_of(options, training)
    assert len(str(caught.value).splitlines()) <= 2
