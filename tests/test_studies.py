"""Default studies fit the size of an ensemble."""

from types import SimpleNamespace

import pytest

from lsg_ray.studies import of_signs, of_statistics


@pytest.mark.parametrize(
    ("n_weights", "rows", "signs", "steps"),
    [
        (10_000, 100, True, {"moments": {}}),
        (10_001, 100, True, {"moments": {"correlations": False}, "low-rank": {}}),
        (10_001, 49, True, {"moments": {"correlations": False}}),
        (10_001, 100, False, {"moments": {"correlations": False}}),
    ],
)
def test_moments__of_too_many_weights_are_without_correlations(n_weights, rows, signs, steps):
    ensemble = SimpleNamespace(n_weights=n_weights, n_rows=rows, signs=signs)
    study = of_statistics(ensemble, True)
    found = {name: step.options for name, step in study.steps.items()}
    assert found == {**steps, "overlaps" if signs else "distances": {}}


def test_study_of_wide_networks__has_patterns_and_no_model():
    ensemble = SimpleNamespace(n_weights=89_400, n_rows=1000, signs=True)
    study = of_signs(ensemble, True)
    assert {"moments", "low-rank", "overlaps", "map"} <= set(study.steps)
    assert not any(step.stage == "fit" for step in study.steps.values())
    assert "89,400" in study.left_out["entropy landscape"]
