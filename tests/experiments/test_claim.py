"""Verdicts on claims: by intervals, with unknown errors and failed steps as undetermined."""

import math

import numpy as np
import pytest

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped

NAN = math.nan


@pytest.mark.parametrize(
    ("measured", "interval", "verdict"),
    [
        ((0.9, 0.1), Within(low=0.5), "reproduced"),
        ((0.71, 0.1), Within(low=0.5), "reproduced"),
        ((0.69, 0.1), Within(low=0.5), "undetermined"),
        ((0.29, 0.1), Within(low=0.5), "not reproduced"),
        ((0.31, 0.1), Within(low=0.5), "undetermined"),
        ((0.3, 0.04), Within(0.2, 0.4), "reproduced"),
        ((0.3, 0.06), Within(0.2, 0.4), "undetermined"),
        ((0.9, 0.06), Within(0.2, 0.4), "not reproduced"),
        ((0.9, 0.1), Within(low=0.5, errors=5), "undetermined"),
        ((0.9, NAN), Within(low=0.5), "undetermined"),
        ((NAN, 0.0), Within(low=0.5), "undetermined"),
        ((math.inf, 0.0), Within(low=0.5), "undetermined"),
        ((0.5, 0.0), Within(low=0.5), "undetermined"),
    ],
)
def test_verdicts__are_of_the_interval_with_its_margin(measured, interval, verdict):
    assert interval.verdict(Measured(*measured)) == verdict


def test_verdicts__are_wrong_as_seldom_as_their_criterion_says():
    """A number at the border: two standard errors beyond it in 2.3 % of 4,000 draws (±0.7 %)."""
    rng = np.random.default_rng(0)
    drawn = [Within(low=0.0).verdict(Measured(x, 1.0)) for x in rng.standard_normal(4000)]
    for verdict in ("reproduced", "not reproduced"):
        assert drawn.count(verdict) / 4000 == pytest.approx(0.0228, abs=0.0071)


def test_a_claim_on_a_step_that_failed__is_undetermined():
    def measure(results):
        return Measured(float(results.steps["scan"].attrs["x"]), 0.0)

    claim = Claim("A holds.", "Fig. 1", "x", measure, Within(low=0.0))
    judged = claim.judged(Results({}, {}), {"scan": "too few configurations"})
    assert judged["verdict"] == "undetermined"
    assert judged["note"] == "scan: too few configurations"
    assert judged["value"] is judged["error"] is None
    with pytest.raises(KeyError):  # an error of the claim, not of the study
        claim.judged(Results({}, {}), {})


def test_bootstrap_errors__are_the_spread_over_data():
    rng = np.random.default_rng(1)
    measured = [bootstrapped(lambda x: float(x.mean()), rng.standard_normal(50)) for _ in range(40)]
    assert np.mean([one.error for one in measured]) == pytest.approx(1 / np.sqrt(50), rel=0.1)
    assert math.isnan(bootstrapped(lambda x: float(x.mean()), np.arange(3.0)).error)
