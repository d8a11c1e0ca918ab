"""Claims of Fig. 17, on planted scans."""

import numpy as np
import pytest
import xarray

from lsg_ray.experiments.claim import Measured, Results, Within
from lsg_ray.experiments.estimators import worst
from lsg_ray.experiments.liquid_like import double_descent as fig17
from lsg_ray.statistics.width_scan import peak_of

WIDTHS = np.arange(1, 51)
FALLING = 0.5 * np.exp(-WIDTHS / 20)


def scan_of(test, train=None, noise=0.003, networks=6, seed=0):
    """A scan with planted mean test errors (and losses) and training errors."""
    rng = np.random.default_rng(seed)

    def noisy(mean):
        return mean[:, None] + noise * rng.normal(size=(len(WIDTHS), networks))

    train = np.where(WIDTHS < 8, 0.2, 0.0) if train is None else train
    test = noisy(test)
    found = peak_of(test.T, WIDTHS)
    named = {
        f"peak_{measure}{end}": value
        for measure in ("error", "loss")
        for end, value in zip(("", "_stderr", "_width"), found, strict=True)
    }
    fitted = WIDTHS[train < 0.01]
    dimensions = ("width", "network")
    return xarray.Dataset(
        {
            "train_error": (dimensions, np.repeat(train[:, None], networks, 1)),
            "test_error": (dimensions, test),
        },
        {"width": WIDTHS},
        {**named, "fitted_from": int(fitted[0]) if len(fitted) else 0, "n_train": 100},
    )


def results_of(real, binary, binary_train=None):
    families = {"real": (real, None), "binary": (binary, binary_train)}
    steps = {}
    for seed, name in enumerate((*fig17.PANELS, *fig17.NOISY)):
        test, train = families[name.partition("-")[0]]
        steps[f"scan-{name}"] = scan_of(test, train, seed=seed)
    return Results(steps, {})


def verdicts(results):
    return {
        claim.statement: claim.holds.verdict(claim.measure(results))
        for claim in fig17.EXPERIMENT.claims
    }


def test_what_the_paper_says__is_reproduced_where_it_is_so():
    peaked = FALLING + 0.1 * np.exp(-(((WIDTHS - 8) / 3.0) ** 2))
    given = verdicts(results_of(peaked, FALLING, np.full(50, 0.1)))
    assert set(given.values()) == {"reproduced"}


def test_the_opposite__is_not_reproduced():
    peaked = FALLING + 0.3 * np.exp(-(((WIDTHS - 30) / 3.0) ** 2))
    given = verdicts(results_of(FALLING, peaked))
    for statement, verdict in given.items():
        # No training error at all is not known to be none: the border of the claim.
        expected = ("undetermined",) if "reaches zero" in statement else ("not reproduced",)
        if "keeps decreasing" in statement or "starts to vanish" in statement:
            expected = ("undetermined", "not reproduced", "reproduced")
        if statement.startswith(("Parity, real", "Ten classes, real", "Real weights, a fifth")):
            expected = ("undetermined", "not reproduced")
        assert verdict in expected, statement


def test_peak_without_a_fit__has_no_place():
    scan = scan_of(FALLING, np.full(50, 0.3))
    measured = fig17.place("a", Results({"scan-a": scan}, {}))
    assert np.isnan(measured.value)
    at_twenty = scan_of(FALLING + np.exp(-(((WIDTHS - 20) / 2.0) ** 2)))
    measured = fig17.place("a", Results({"scan-a": at_twenty}, {}))
    assert measured.value == pytest.approx(20 / 8, abs=0.2)


def test_worst__prefers_what_decides():
    holds = Within(0.0, 1.0)
    inside, near, unknown = Measured(0.5, 0.01), Measured(0.1, 0.01), Measured(0.5, np.nan)
    outside = Measured(2.0, 0.1)
    assert worst(holds, [inside, near]) is near
    assert worst(holds, [inside, unknown, near]) is unknown
    assert worst(holds, [unknown, inside, outside]) is outside
