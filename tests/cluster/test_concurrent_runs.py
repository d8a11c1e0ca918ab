"""Several at a store at once: two runs, a killed one, a repair, two counts."""

import json

import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.verify import verify
from lsg_ray.spec import Spec
from tests.cluster.faults import SPEC, Run, assert_like

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_two_drivers_at_once_share_a_store(unstruck, store, workers):
    runs = [Run(store, "--workers", workers, "--json", pause=0.2) for _ in range(2)]
    for code, out, err in [run.end() for run in runs]:
        assert code == 0, err
        assert json.loads(out)["complete"]
        assert "Traceback" not in err
    assert_like(store, unstruck)


def test_a_killed_driver_beside_another_leaves_nothing_behind(unstruck, store):
    runs = [Run(store, "--workers", "0", pause=0.2) for _ in range(2)]
    for run in runs:
        run.wait_for_blocks(2)
    runs[0].kill()
    assert runs[1].end()[0] == 0
    assert_like(store, unstruck)


# Beside a run


def test_repair_beside_a_run_takes_nothing_from_it(unstruck, store):
    run = Run(store, "--workers", "0", "--json", pause=0.2)
    run.wait_for_blocks(1)
    kinds = set()
    while run.process.poll() is None:
        report = verify(store, repair=True)
        assert report.ok, report.findings
        kinds |= {finding.kind for finding in report.findings}
    code, out, err = run.end()
    assert code == 0, err
    assert kinds == {"unfinished"}
    assert json.loads(out)["rows"] == SPEC["ensemble"]["count"]
    assert_like(store, unstruck)


def test_of_two_runs_of_different_counts_the_smaller_says_that_the_ensemble_grew(unstruck, store):
    small = Run(store, "--workers", "0", "--count", "23", pause=0.5)
    small.wait_for_blocks(2)
    sample(Spec.model_validate(SPEC), store, workers=0)
    code, _, err = small.end()
    assert code == 1, err
    assert "the ensemble grew from 23 to 24 configurations" in err
    assert "--count 24" in err
    assert_like(store, unstruck)
