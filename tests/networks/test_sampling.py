"""The protocol of a trial: acceptance, selection, independence of blocks and threads."""

import numpy as np
import pytest

from lsg_ray.datasets import load_dataset
from lsg_ray.errors import AcceptanceError, SpecError
from lsg_ray.networks import sampling
from lsg_ray.networks.algorithm import Candidate
from lsg_ray.networks.binary_network import evaluate
from lsg_ray.networks.layout import chunk_examples
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.networks.solvers.mean_field import ALGORITHM
from lsg_ray.spec import Spec, parse_spec

TINY = {
    "dataset": {"name": "digits", "validation_examples": 200},
    "training": {"epochs": 3, "batch_size": 100},
    "ensemble": {"count": 12, "threshold": 0.3, "draws": 5, "seed": 3},
}


def _spec(**sections):
    tree = {name: {**values, **sections.pop(name, {})} for name, values in TINY.items()}
    return Spec.model_validate({**tree, **sections})


def _sample(spec, start=0, rows=12, **options):
    return sample_configurations(
        spec, prepare(spec, load_dataset(spec.dataset)), start, rows, **options
    )


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_configurations_do_not_depend_on_blocks(engine):
    """Also across the border of two of the torch engine's stacks, at 64."""
    spec = _spec(training={"engine": engine})
    whole = _sample(spec, 58, 12, device="cpu")
    parts = [_sample(spec, 58, 5, device="cpu"), _sample(spec, 63, 7, device="cpu")]
    np.testing.assert_array_equal(whole.weights, np.concatenate([p.weights for p in parts]))
    for name in ("accuracy", "loss", "test_accuracy", "trial", "polarization"):
        joined = np.concatenate([part.columns[name] for part in parts])
        np.testing.assert_array_equal(whole.columns[name], joined)
    assert len(whole.missed) == sum(len(part.missed) for part in parts) > 0


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_what_is_stored_is_true(engine):
    spec = _spec(training={"engine": engine}, ensemble={"store_fields": True})
    dataset = load_dataset(spec.dataset)
    result = _sample(spec, device="cpu")
    examples = chunk_examples(dataset.test.x, dataset.test.y)
    accuracy, loss = evaluate(spec.network, result.weights, examples)
    np.testing.assert_array_equal(result.columns["accuracy"], accuracy)
    np.testing.assert_array_equal(result.columns["test_accuracy"], accuracy)
    np.testing.assert_allclose(result.columns["loss"], loss, rtol=1e-6)
    assert (result.columns["accuracy"] >= 0.3).all()
    assert len(result.missed) == result.columns["trial"].sum()
    assert (result.missed < 0.3).all()
    np.testing.assert_allclose(
        result.columns["polarization"], np.abs(np.tanh(result.columns["fields"] / 2)).mean(1), 1e-5
    )
    assert len(np.unique(result.weights, axis=0)) == 12


@pytest.mark.parametrize("selection", ["train", "validation"])
def test_selection_set_is_what_the_spec_says(selection):
    spec = _spec(ensemble={"selection": selection})
    chosen = load_dataset(spec.dataset).examples(selection)
    result = _sample(spec)
    accuracy, _ = evaluate(spec.network, result.weights, chunk_examples(chosen.x, chosen.y))
    np.testing.assert_array_equal(result.columns["accuracy"], accuracy)
    assert not np.array_equal(result.columns["accuracy"], result.columns["test_accuracy"])


def test_best_draw_is_kept():
    spec = _spec(ensemble={"threshold": 0.0})
    arena = prepare(spec, load_dataset(spec.dataset))
    one = spec.replace(ensemble={"draws": 1})
    best, first = (ALGORITHM.trainer(s, arena, None)(range(8), 0) for s in (spec, one))
    assert all(b.accuracy >= f.accuracy for b, f in zip(best, first, strict=True))
    assert any(b.accuracy > f.accuracy for b, f in zip(best, first, strict=True))


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_out_of_reach_threshold_says_what_to_change(engine):
    spec = _spec(
        ensemble={"threshold": 1.0, "give_up_after": 6}, training={"engine": engine, "epochs": 1}
    )
    with pytest.raises(AcceptanceError, match=r"0 of 6 trials reached.*\n.*max 0\.\d+") as info:
        _sample(spec, device="cpu")
    assert "Lower ensemble.threshold" in str(info.value)


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_diverged_networks_are_never_accepted(engine):
    spec = _spec(
        training={"optimizer": "sgd", "learning_rate": 1e6, "gamma": 1.0, "engine": engine},
        ensemble={"threshold": 0, "count": 2, "give_up_after": 3},
    )
    with pytest.raises(AcceptanceError, match="3 diverged"):
        _sample(spec, rows=2, device="cpu")


def test_frozen_interior_is_random_and_kept():
    spec = _spec(ensemble={"frozen_parts": ["ITR"], "threshold": 0.0, "store_fields": True})
    result = _sample(spec)
    interior = slice(300, 525)
    np.testing.assert_array_equal(
        result.weights[:, interior], np.sign(result.columns["fields"][:, interior])
    )
    assert abs(result.weights[:, interior].mean()) < 5 / np.sqrt(12 * 225)


def test_algorithms_of_other_families_are_refused():
    tree = {"dataset": {"name": "digits"}, "training": {"algorithm": "descent"}}
    with pytest.raises(SpecError, match="'descent' given; binary networks are trained by mean-"):
        parse_spec(tree)


def test_launches_accept_the_first_trial_that_is_good_enough():
    """Each configuration as trials in order give it, whatever is run beside and ahead."""
    rng = np.random.default_rng(0)
    values = {(c, t): float(rng.random()) for c in range(40) for t in range(100)}
    spec = _spec(ensemble={"threshold": 0.7})
    launched = []

    def run(configurations, numbers):
        launched.append(len(configurations))
        pairs = zip(configurations, numbers, strict=True)
        return [Candidate(values[pair], np.array(pair), {}) for pair in pairs]

    trials = sampling.Trials(spec)
    accepted = sampling._in_launches(16, 5, 30, trials, run)
    for configuration, (trial, candidate) in enumerate(accepted, 5):
        good = [t for t in range(100) if values[configuration, t] >= 0.7]
        assert trial == good[0]
        assert tuple(candidate.weights) == (configuration, trial)
    assert trials.accepted == 30
    assert len(trials.missed) == sum(trial for trial, _ in accepted)
    assert max(launched) <= 16
