"""`lsg run` of a ReLU specification at toy size: all results, figures and captions."""

import os
import re
from functools import partial

import numpy as np
import pytest
import xarray

from lsg_ray import pipeline, studies
from lsg_ray.loss_landscape import censored
from lsg_ray.loss_landscape.censored import survival_of
from lsg_ray.studies import SolutionStudy

from .conftest import relu_spec

RESULTS = {
    "walks", "constrained", "paths-none", "paths-matching", "paths-clustering", "swaps",
    "curvature", "surface", "clusters-clustering", "clusters-matching", "replicas", "sk-0.3",
    "sk-1.5", "ensemble",
}  # fmt: skip
FIGURES = {
    "training", "walks", "constrained", "paths", "swaps", "clusters-clustering",
    "clusters-matching", "curvature", "surface", "replicas", "inputs",
}  # fmt: skip


@pytest.fixture
def small(monkeypatch):
    size = partial(SolutionStudy, steps=5, constrained_steps=4, points=5, pairs=2, curved=2,
                   sk_spins=16, sk_replicas=6)  # fmt: skip
    monkeypatch.setattr(studies, "SolutionStudy", size)


def test_run__surveys_the_landscape_and_reports_it(tmp_path, small):
    folder, said = tmp_path / "r", []
    result = pipeline.run(relu_spec(6), folder, workers=0, log=said.append)
    names = set(os.listdir(folder))
    assert names >= {f"{name}.zarr" for name in RESULTS}
    assert set(os.listdir(folder / "figures")) >= {f"{name}.png" for name in FIGURES}
    assert result["failed"] == []
    study = result["study"]
    assert study["paths-matching"]["train_barrier"] < study["paths-none"]["train_barrier"]
    page = (folder / "report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    with xarray.open_zarr(folder / "walks.zarr") as walks:
        by_sigma = survival_of(walks, "flat_width")
    message = study["walks"]
    assert list(by_sigma) == [f"{sigma:g}" for sigma in SolutionStudy().sigmas]
    for number, (sigma, one) in enumerate(by_sigma.items()):
        seen = {name: message[f"flat_width_{name}"][number] for name in one._fields}
        np.testing.assert_equal(seen, one._asdict())
        assert f"{censored.describe(one)} for σ = {sigma}" in page
    assert "at least" in message["flat_width"][0]
    for title in ("Random walks", "Barriers between permuted copies", "Flatness of solutions",
                  "Overlaps and ultrametricity"):  # fmt: skip
        assert title in page
    assert not re.search(r"\bnan\b", re.sub(r'base64,[^"]*', "", page))
    before = (folder / "walks.zarr" / "zarr.json").stat().st_mtime_ns
    pipeline.report(folder)
    assert (folder / "walks.zarr" / "zarr.json").stat().st_mtime_ns == before
    for name in RESULTS - {"ensemble"}:
        with xarray.open_zarr(folder / f"{name}.zarr") as stored:
            assert stored.attrs["statistic"]


def test_few_solutions_and_runs_without_a_landscape_say_why(tmp_path):
    pipeline.run(relu_spec(3), tmp_path / "few", workers=0)
    page = (tmp_path / "few" / "report.html").read_text()
    assert "Needs at least 5 solutions; there are 3." in page
    pipeline.run(relu_spec(3), tmp_path / "none", workers=0, landscape=False)
    assert "Not computed for this report." in (tmp_path / "none" / "report.html").read_text()
