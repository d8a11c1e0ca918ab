import re

import numpy as np
import obstore
import pytest
from scipy import stats

from lsg_ray.cli.runs import estimate_text
from lsg_ray.cluster import calibration
from lsg_ray.cluster import estimate as estimate_module
from lsg_ray.cluster.calibration import Calibration
from lsg_ray.cluster.estimate import COSTS, estimate, estimates, extrapolate, suggested_block_size
from lsg_ray.cluster.sample import sample
from lsg_ray.cluster.sampler import BlockDone, sample_block
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.writer import create_ensemble
from lsg_ray.errors import AcceptanceError, InputError
from lsg_ray.networks.sampling import prepare
from lsg_ray.spec import parse_spec
from tests.loss_landscape.conftest import relu_spec


def binary_spec(count=40, **ensemble):
    return parse_spec(
        {
            "dataset": {"name": "digits", "components": 4},
            "network": {"widths": [4, 3, 10]},
            "training": {"epochs": 2, "batch_size": 100},
            "ensemble": {"count": count, "threshold": 0, "draws": 2, **ensemble},
        }
    )


def made(blocks=20, seconds=2.0, trials=4, accepted=2):
    return Calibration(
        accepted * blocks, trials * blocks, accepted * blocks, (seconds,) * blocks,
        (trials,) * blocks, 0.004,
    )  # fmt: skip


def test_the_arithmetic_of_an_even_calibration():
    spec = binary_spec(100_000, block_size=100)
    found = extrapolate(spec, made(), [1, 50, 10**6], COSTS.prices)
    assert found.seconds_per_trial.value == pytest.approx(0.5)
    assert found.acceptance.value == 0.5
    assert found.trials.value == 200_000
    work = 200_000 * 0.5 + 1000 * 0.004
    assert found.core_hours.value == pytest.approx(work / 3600)
    one, fifty, many = found.walls
    efficiency, start = COSTS.parallel_efficiency, COSTS.start_seconds
    assert one.seconds.value == pytest.approx(work / efficiency + 0.5 * work / 1000 + start)
    assert fifty.seconds.value == pytest.approx(work / 50 / efficiency + 0.5 * work / 1000 + start)
    assert many.busy == found.blocks == 1000
    assert many.seconds.value == pytest.approx(work / 1000 / efficiency + start)
    assert one.driver_seconds == pytest.approx(1000 * COSTS.driver_seconds)
    hours = fifty.seconds.value / 3600
    assert fifty.dollars["spot"] == pytest.approx(hours * 50 * COSTS.prices["spot"])


def test_trials_are_written_in_full_with_their_interval():
    spec = binary_spec(2_000_000, block_size=100)
    text = estimate_text(extrapolate(spec, made(trials=2), [16], COSTS.prices))
    assert re.search(r"^trials +2,000,000 \(95 %: 2,000,000 to 2,\d{3},\d{3}\)$", text, re.M)


def test_intervals_hold_what_they_should():
    # 400 calibrations of 30 trials with p = 0.7: a 95 % interval misses about 20 times; that more
    # than 40 or (it is conservative) none do happens less than once in 10,000 times.
    rng, misses = np.random.default_rng(4), 0
    spec = binary_spec()
    for _ in range(400):
        accepted = max(int(rng.binomial(30, 0.7)), 1)
        measured = Calibration(accepted, 30, accepted, (1.0,) * 5, (6,) * 5, 0.0)
        p = extrapolate(spec, measured, [1], COSTS.prices).acceptance
        misses += not p.low <= 0.7 <= p.high
    assert misses <= 40
    times = rng.gamma(4, 0.5, (400, 12))
    inside = 0
    for row in times:
        measured = Calibration(12, 12, 12, tuple(row), (1,) * 12, 0.0)
        found = extrapolate(spec, measured, [1], COSTS.prices).seconds_per_trial
        inside += found.low <= 2.0 <= found.high
    assert inside > stats.binom.ppf(1e-4, 400, 0.92)


def test_block_sizes_that_keep_cores_busy():
    spec = parse_spec({"ensemble": {"count": 2_000_000}})
    assert suggested_block_size(spec, 16) == 1000
    assert suggested_block_size(spec, 4096) == 122
    relu = parse_spec({"network": {"family": "relu"}, "ensemble": {"count": 100}})
    assert suggested_block_size(relu, 4096) == relu.stack


@pytest.mark.parametrize("spec", [binary_spec(40), relu_spec(12)], ids=["binary", "relu"])
def test_the_store_is_as_large_as_estimated(spec, tmp_path):
    found = estimate(spec, seconds=0.2, cores=[2])
    sample(spec, tmp_path / "s", workers=0)
    info = open_ensemble(tmp_path / "s").info()
    assert found.configurations == info["rows"]
    assert found.blocks == info["blocks"]
    records = [len(f.read_bytes()) for f in (tmp_path / "s" / "ledger").glob("0*.json")]
    assert found.store_bytes == pytest.approx(info["bytes"] + sum(records), rel=0.1)
    assert found.trials.low <= info["trials"] <= found.trials.high
    assert found.to_dict()["walls"][0]["cores"] == 2


@pytest.mark.parametrize("spec", [binary_spec(40), relu_spec(12)], ids=["binary", "relu"])
def test_requests_of_a_block_are_as_estimated(spec, monkeypatch):
    counts = {"put": 0, "get": 0}

    def counted(name, do):
        def request(*arguments, **options):
            counts[name] += 1
            return do(*arguments, **options)

        return request

    place = f"memory://requests-{spec.network.family}"
    plan = create_ensemble(place, spec, dataset_hash="")
    dataset = load_dataset(spec.dataset)
    arena = prepare(spec, dataset)
    for name in counts:
        monkeypatch.setattr(obstore, name, counted(name, getattr(obstore, name)))
    sample_block(place, spec, arena, 0, 0, plan.block_size)
    found = extrapolate(spec, made(), [1], COSTS.prices)
    assert counts["put"] * plan.n_blocks == found.store_writes
    # The third is of the record, when the run says in the end what there is.
    assert (counts["get"] + 1) * plan.n_blocks == found.store_reads
    assert found.store_dollars > 0


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="seconds 0 given"):
        estimate(binary_spec(), seconds=0)
    with pytest.raises(InputError, match="seconds inf given"):
        estimate(binary_spec(), seconds=float("inf"))
    with pytest.raises(InputError, match="price inf"):
        estimate(binary_spec(), seconds=1, price=float("inf"))
    with pytest.raises(InputError, match="at least 1"):
        estimate(binary_spec(), seconds=1, cores=[0])
    with pytest.raises(InputError, match="price -1"):
        estimate(binary_spec(), seconds=1, price=-1)
    with pytest.raises(AcceptanceError, match="0 of 2 trials reached"):
        estimate(binary_spec(threshold=1, give_up_after=2), seconds=1)


def test_long_trials__are_estimated_by_shorter_ones(monkeypatch):
    """What four short trials extrapolate to is what whole ones take; here by counting passes."""
    spec = relu_spec(12).replace(
        dataset={"train_examples": 1200}, training={"batch_size": 10, "epochs": 40}
    )
    costs = []

    class Counted(calibration._Store):
        def block(self):
            e, p = self._spec.training.epochs, self._spec.n_examples
            costs.append((e, p))
            clock[0] += 30 + 2e-4 * p + e * (0.5 + 1e-3 * p)
            return BlockDone(self.rows, self.rows, 1.0), 0.01

    clock = [0.0]
    monkeypatch.setattr(calibration.time, "process_time", lambda: clock[0])
    monkeypatch.setattr(calibration, "_Store", Counted)
    found = calibration.calibrate(spec, calibration.Data("quiet"), 1e-9)
    assert found.seconds == pytest.approx([30 + 2e-4 * 1200 + 40 * (0.5 + 1.2)] * 3)
    assert found.shortened.startswith("1 and 3 of 40 epochs, 40 and 160 of 1,200 examples")
    assert set(costs) == {(e, p) for e in (1, 3) for p in (40, 160)}
    text = estimate_text(extrapolate(spec, found, [16], COSTS.prices))
    assert "calibrated by" in text
    # Where the seconds are enough, whole trials are timed.
    found = calibration.calibrate(spec, calibration.Data("quiet"), 1000)
    assert found.shortened == ""
    assert costs[-1] == (40, 1200)


@pytest.mark.parametrize(
    "changes",
    [
        {"ensemble": {"threshold": 0.5}},
        {"training": {"batch_size": 10, "epochs": 40, "target_loss": 0.1}},
        {"ensemble": {"snapshots": [0, 1]}},
        {"training": {"batch_size": 10, "epochs": 3}},
        {"training": {"batch_size": 100, "epochs": 40}},
    ],
)
def test_trials_whose_end_is_not_known__are_not_shortened(changes):
    spec = relu_spec(12).replace(
        dataset={"train_examples": 1200}, training={"batch_size": 10, "epochs": 40}
    )
    assert calibration._shortened(spec) is not None
    assert calibration._shortened(spec.replace(**changes)) is None


def test_ensembles__share_the_seconds_and_come_one_by_one(monkeypatch):
    given = []

    def timed(spec, data, seconds, progress=None):
        given.append((spec.network.widths, seconds))
        return made()

    monkeypatch.setattr(estimate_module, "calibrate", timed)
    first = binary_spec(40)
    beside = {
        "more": {"ensemble": {"seed": 5, "count": 80}},
        "wide": {"network": {"widths": [4, 5, 10]}},
    }
    specs = first.replace(beside=beside, study={"moments": {}}).ensembles
    found = estimates(specs, seconds=20)
    assert next(found)[0] == "ensemble"
    assert len(given) == 1  # the others are not calibrated before they are asked for
    rest = dict(found)
    assert [widths for widths, _ in given] == [(4, 3, 10), (4, 5, 10)]
    assert given[0][1] == 10
    assert given[1][1] == pytest.approx(20, abs=1)  # what the first left is for the second
    assert rest["more"].trials.value == 2 * rest["wide"].trials.value
