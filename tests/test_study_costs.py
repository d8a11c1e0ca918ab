"""Seconds of the steps of a study: measured whole, or by what was done when they were stopped."""

import math

import numpy as np
import pytest

from lsg_ray import planted
from lsg_ray import study_costs as module
from lsg_ray.errors import InputError
from lsg_ray.planted import plant
from lsg_ray.spec import parse_spec
from lsg_ray.study_costs import study_costs
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
    monkeypatch.setattr(planted, "CONFIG", planted.PlantConfig(bytes=2000))
    spec = binary_spec(10**6, block_size=10).replace(study={"moments": {}})
    times, grown = [], module._grown
    monkeypatch.setattr(module, "_grown", lambda *given: times.append(given[1]) or grown(*given))
    (cost,) = study_costs(spec, seconds=2)
    assert "for all configurations" in cost.how
    assert len(times[0]) == 2  # a quarter, twice


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_step_of_a_part__grows_by_the_power_that_a_quarter_tells(clock, monkeypatch, power):
    monkeypatch.setattr(planted, "CONFIG", planted.PlantConfig(bytes=20_000))
    runs = []

    def run(stage, step, inputs, out, watch):
        rows = inputs["ensemble"].n_rows
        watch.start()
        clock[0] += 3.0 * (rows / 100) ** power + (50.0 if not runs else 0.0)  # and compilation
        runs.append(rows)
        return f"result of {rows}"

    monkeypatch.setattr(module, "_run", run)
    spec = binary_spec(10**6, block_size=10).replace(study={"moments": {}})
    (cost,) = study_costs(spec, seconds=1000)
    quarter, again, rows = runs
    assert quarter == again == rows // 4
    exact = 3.0 * (10**6 / 100) ** power
    # A quarter in whole configurations.
    assert cost.seconds == pytest.approx(exact, rel=0.15)


def test_step_that_chooses_configurations__grows_to_these(clock, monkeypatch):
    monkeypatch.setattr(planted, "CONFIG", planted.PlantConfig(bytes=20_000))

    def run(stage, step, inputs, out, watch):
        watch.start()
        clock[0] += inputs["ensemble"].n_rows ** 2
        return "result"

    monkeypatch.setattr(module, "_run", run)
    for chosen, expected in ((2000, 2000.0**2), (10, None)):
        study = {"overlaps": {"configurations": chosen}}
        spec = binary_spec(10**6, block_size=10).replace(study=study)
        (cost,) = study_costs(spec, seconds=1e9)
        if expected:
            assert cost.seconds == pytest.approx(expected, rel=0.15)
        else:
            assert "for all configurations" not in cost.how


def test_step_that_does_not_know_what_is_left__has_some_patience(clock):
    watch = module._Stopwatch(10.0)
    watch.start()
    for _ in range(4):
        clock[0] += 9.9
        watch.report(1, 0)
    clock[0] += 9.9
    with pytest.raises(module._StoppedError):
        watch.report(1, 0)
    seconds, how = watch.total(False)
    assert math.isnan(seconds)
    assert how == "unknown: more than 49.5, without a share that was done"


def test_references_of_a_stopped_step__are_those_of_the_ensemble(monkeypatch):
    model = {"stage": "fit", "method": "bp", "verify": False}
    study = {
        "model": model, "chosen": {"stage": "references", "model": "model"},
        "scan": {"model": "model", "references": "chosen", "count": 1},
    }  # fmt: skip
    true_run = module._run

    def stopped(stage, *rest):
        if stage.name != "references":
            return true_run(stage, *rest)
        rest[-1].start()
        return None

    monkeypatch.setattr(module, "_run", stopped)
    costs = {c.name: c for c in study_costs(binary_spec(60).replace(study=study), seconds=8)}
    assert costs["scan"].seconds > 0
    assert "of the ensemble in place of chosen" in costs["scan"].how


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
        if stage.name != "fit":
            return true_run(stage, *rest)
        rest[-1].start()
        return None

    monkeypatch.setattr(module, "_run", stopped)
    fit, mc = study_costs(spec, seconds=4)
    assert math.isnan(fit.seconds)
    assert mc.seconds > 0
    assert mc.how.endswith("of a random model in place of model")


def test_bad_seconds__are_refused():
    for seconds in (0, -1, math.inf):
        with pytest.raises(InputError, match=f"seconds {seconds} given"):
            next(study_costs(parse_spec({}), seconds=seconds))
