"""Seconds of the steps of a study: measured whole, or by what was done when they were stopped."""

import math

import numpy as np
import pytest

from lsg_ray import study_costs as module
from lsg_ray.errors import InputError
from lsg_ray.spec import parse_spec
from lsg_ray.study_costs import plant, study_costs
from tests.cluster.test_estimate import binary_spec
from tests.loss_landscape.conftest import relu_spec


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when they are told to."""
    now = [0.0]
    monkeypatch.setattr(module.time, "process_time", lambda: now[0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def test_stopped_step__is_extrapolated_without_what_comes_first(clock):
    watch = module._Stopwatch(10.0)
    watch.start()
    for done in (1, 2):  # 5 s of compilation, 2 s a task
        clock[0] += 7.0 if done == 1 else 2.0
        watch.report(done, 100)
    clock[0] += 2.0
    with pytest.raises(module._StoppedError):
        watch.report(3, 100)
    seconds, how = watch.total(False)
    assert seconds == pytest.approx(5 + 2 * 100)
    assert how == "from 0.03 of it"
    assert watch.total(True) == (11.0, "measured whole")


def test_stopped_step__that_has_several_passes_or_no_report_is_unknown(clock):
    watch = module._Stopwatch(10.0)
    watch.start()
    watch.report(2, 2)
    watch.report(1, 2)
    clock[0] = 20.0
    with pytest.raises(module._StoppedError):
        watch.report(1, 2)
    assert math.isnan(watch.total(False)[0])
    assert math.isnan(module._Stopwatch(1.0).total(False)[0])


def test_planted_ensemble__has_all_configurations_and_no_frozen_weight():
    ensemble = plant(binary_spec(90), 0.01)
    assert ensemble.n_rows == 90
    weights = ensemble.numpy()
    assert (np.abs(weights.mean(axis=0)) < 1).all()
    assert len(np.unique(weights, axis=0)) > 50
    solutions = plant(relu_spec(7), 0.01)
    assert solutions.n_rows == 7
    assert np.isfinite(solutions.column("accuracy")).all()


def test_large_ensemble__is_planted_in_part(monkeypatch):
    monkeypatch.setattr(module, "CONFIG", module.StudyCostConfig(bytes=2000))
    spec = binary_spec(10**6, block_size=10).replace(study={"moments": {}})
    (cost,) = study_costs(spec, seconds=2)
    assert "of the configurations of ensemble" in cost.how


def test_steps__are_measured_stopped_or_unknown():
    study = {
        "moments": {},
        "other": {"stage": "distances"},  # of real weights
        "model": {"stage": "fit", "method": "bp", "verify": False},
        "scan": {"count": 2},
    }
    spec = binary_spec(60).replace(study=study)
    costs = {cost.name: cost for cost in study_costs(spec, seconds=8)}
    assert list(costs) == ["moments", "other", "model", "scan"]
    assert costs["moments"].seconds > 0
    assert costs["moments"].how == "measured whole"
    for cost in costs.values():
        assert math.isnan(cost.seconds) == cost.how.startswith("unknown: ")
    assert costs["scan"].seconds > 0


def test_model_of_a_stopped_fit__has_a_stand_in(monkeypatch):
    spec = binary_spec(60).replace(
        study={"model": {"stage": "fit", "part": "LB"}, "mc": {"model": "model", "count": 1}}
    )
    true_run = module._run

    def stopped(stage, *rest):
        if stage.name == "fit":
            raise module._StoppedError
        return true_run(stage, *rest)

    monkeypatch.setattr(module, "_run", stopped)
    fit, mc = study_costs(spec, seconds=4)
    assert math.isnan(fit.seconds)
    assert mc.seconds > 0
    assert mc.how.endswith("of a random model in place of model")


def test_bad_seconds__are_refused():
    for seconds in (0, -1, math.inf):
        with pytest.raises(InputError, match=f"seconds {seconds} given"):
            next(study_costs(parse_spec({}), seconds=seconds))
