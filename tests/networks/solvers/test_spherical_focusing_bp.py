"""Focusing belief propagation on the sphere: it solves, the same each time, and says how."""

import numpy as np
import pytest

from lsg_ray.datasets import load_dataset
from lsg_ray.errors import SpecError
from lsg_ray.networks.families.committee import Stop, fields
from lsg_ray.networks.relaxed_bp import Focus, RelaxedBP
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.spec import parse_spec


def tree(inputs=105, widths=(105, 5, 1), patterns=84, options=None, epochs=1000, **more):
    perceptron = len(widths) == 2
    network = {"widths": list(widths), **more.pop("network", {})}
    network["family"] = "spherical-perceptron" if perceptron else "spherical-committee"
    return parse_spec({
        "name": "focused",
        "dataset": {"name": "random-patterns", "patterns": patterns, "inputs": inputs},
        "network": network,
        "training": {"algorithm": "spherical-focusing-bp", "options": options or {},
                     "epochs": epochs},
        "ensemble": {"count": 2, **more},
    })  # fmt: skip


def sampled(spec, rows=1):
    arena = prepare(spec, load_dataset(spec.dataset))
    return arena, sample_configurations(spec, arena, 0, rows)


@pytest.mark.parametrize(
    "spec",
    [
        tree(),
        tree(201, (201, 1), 160),
        tree(41, (41, 5, 1), 60, network={"options": {"connection": "full"}}),
    ],
    ids=["tree", "perceptron", "full"],
)
def test_solves(spec):
    arena, found = sampled(spec)
    ((units, n),) = spec.network.shapes
    w = found.weights.reshape(-1, units, n)
    h = fields(w, arena.train.x)
    assert ((np.sign(h).sum(axis=2) * arena.train.s) > 0).all()
    np.testing.assert_allclose((w**2).sum(axis=2), n, rtol=1e-5)
    assert found.columns["errors"].tolist() == [0]
    assert found.columns["stopped"].tolist() == [Stop.SOLVED]
    assert 0 < found.columns["epochs"][0] <= 300


def test_ends_at_the_first_solution_or_the_last():
    _, first = sampled(tree(options={"stop": "first"}))
    _, last = sampled(tree())
    assert first.columns["errors"] == last.columns["errors"] == 0
    assert first.columns["epochs"] < last.columns["epochs"]


def test_same_seed__same_bytes_and_snapshots():
    spec = tree(snapshots=[0, 10, 900])
    _, found = sampled(spec, 2)
    _, again = sampled(spec, 1)
    np.testing.assert_array_equal(found.weights[0], again.weights[0])
    kept = found.columns["snapshots"]
    assert kept.shape == (2, 3, 105)
    np.testing.assert_array_equal(kept[:, 2], found.weights)
    assert not np.array_equal(kept[0, 0], kept[0, 1])
    assert not np.array_equal(kept[0, 0], kept[1, 0])  # starts differ
    plain = sampled(tree(), 1)[1]
    np.testing.assert_array_equal(plain.weights[0], found.weights[0])


def test_sweeps_are_bounded():
    spec = tree(epochs=7, threshold=0.0)
    _, found = sampled(spec)
    assert found.columns["epochs"].tolist() == [7]
    assert found.columns["stopped"].tolist() == [Stop.EPOCHS]
    short = tree(options={"gamma_end": 0.06, "steps": 2, "sweeps": 2}, threshold=0.0)
    _, found = sampled(short)
    assert found.columns["stopped"].tolist() == [Stop.PROTOCOL]
    assert found.columns["errors"][0] > 0


def test_options_out_of_range__are_told():
    for options, message in [
        ({"y": 1.0}, "greater than 1"),
        ({"gamma_end": 0.01}, "at least gamma_start"),
        ({"damping": 1.0}, "less than 1"),
        ({"speed": 2}, "speed"),
    ]:
        with pytest.raises(SpecError, match=message):
            tree(options=options)


def test_focus__in_its_limits():
    rng = np.random.default_rng(0)
    A, B = 1 + rng.random((2, 5)), rng.standard_normal((2, 5))
    # y → ∞: a pull γ to the weight's own mean; γ → ∞: y − 1 more of its own messages.
    precision, field = Focus(1e9, 3.0).offered(A, B)
    np.testing.assert_allclose(precision, 3, rtol=1e-6)
    np.testing.assert_allclose(field, 3 * B / A, rtol=1e-6)
    precision, field = Focus(4.0, 1e9).offered(A, B)
    np.testing.assert_allclose(precision, 3 * A, rtol=1e-6)
    np.testing.assert_allclose(field, 3 * B, rtol=1e-6)


def test_norm_control__keeps_the_mean_square():
    spec = tree()
    arena = prepare(spec, load_dataset(spec.dataset))
    bp = RelaxedBP(arena.train, 5, 21, np.random.default_rng(0))
    focus = Focus(10, 1.0)
    bp.control(focus=focus)
    for _ in range(5):
        bp.sweep(0.6, focus=focus)
        square = np.mean(1 / bp.precision + bp.means**2)
        assert square == pytest.approx(1, rel=1e-9)
    assert not bp.bounded
