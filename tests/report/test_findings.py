"""What reports say first: sentences with errors, what is open, and commands that are understood."""

import json
import shlex

import click
import numpy as np
import pytest
import xarray
import yaml

from lsg_ray.cli.main import cli
from lsg_ray.cli.options import CONTEXT_SETTINGS
from lsg_ray.command_line import changed_options
from lsg_ray.finding import Finding, Times
from lsg_ray.ising.entropy import entropy_scan
from lsg_ray.ising.isoenergy import iso_energy
from lsg_ray.ising.thermodynamics import thermodynamics
from lsg_ray.report.findings import findings_of
from lsg_ray.report.section import Section
from lsg_ray.spec import parse_spec
from lsg_ray.spec.steps import Outcome, Step, parse_study
from lsg_ray.stage import Stage
from lsg_ray.stages import all_stages, stage_of

STUDY = {
    "moments": {}, "model": {"stage": "fit", "moments": "moments"},
    "scan": {"count": 2, "fields": [-1, 0, 1]}, "thermo": {"draws": 50},
    "iso": {"stage": "iso-energy", "where": "accuracy > 0.5"},
}  # fmt: skip


def spec(**fields):
    return parse_spec({"dataset": {"name": "digits", "components": 5},
                       "network": {"widths": [5, 3, 10]}, "ensemble": {"count": 20},
                       **fields})  # fmt: skip


def model(n=8, coupling=0.05):
    return np.full((n, n), coupling) - coupling * np.eye(n), np.full(n, 0.3)


def scanned(**attributes):
    scan = entropy_scan(model(), [[1, -1] * 4], np.linspace(-1, 1, 5))
    return scan.assign_attrs(attributes)


def opened(name, result, study=None, **fields):
    """Return what is open of one step, in a study of its own or in the default one."""
    steps = parse_study(STUDY)
    given = spec(study=STUDY) if study else spec()
    return findings_of({name: Outcome(steps[name], result)}, [], given)


def understood(command):
    """Return the stage and parameters of a command, as click reads it."""
    words = shlex.split(command)
    assert words[0] == "lsg"
    above = click.Context(cli, **CONTEXT_SETTINGS)  # commands keep their first option of help
    context = cli.get_command(above, words[1]).make_context(words[1], words[2:], parent=above)
    return words[1], context.params


def test_settled_results__leave_nothing_open():
    result = opened("scan", scanned())
    assert [one.name for one in result.said] == ["scan", "scan"]
    assert "the entropy landscape is smooth" in result.said[0].text
    assert result.said[0].criterion == 1
    assert result.criteria == [scanned().attrs["criterion"]]
    assert not result.open


@pytest.mark.parametrize(
    ("attributes", "words", "option", "value"),
    [
        ({"converged": 0.5}, "50 % of the solutions have converged", "max_sweeps", 20_000),
        ({"unexplained_step": 0.3}, "step of 0.3 in d", "refine", 2),
        ({}, "fewer than 3 fields", "fields", None),
    ],
)
def test_undetermined_landscape__has_the_command_that_settles_it(attributes, words, option, value):
    scan = scanned(verdict="undetermined", **attributes)
    (one,) = opened("scan", scan).open
    assert words in one.reason.replace("\N{NO-BREAK SPACE}", " ")
    stage, parameters = understood(one.commands[0])
    assert stage == "scan"
    assert parameters["out"] == "scan-again.zarr"
    assert parameters["count"] == 2  # as in the study
    assert parameters["references"] == "ensemble.zarr"
    if value is not None:
        assert parameters[option] == value
        assert parameters["fields"] == "-1.0,0.0,1.0" or parameters["fields"] == "-1,0,1"
    else:
        assert parameters["fields"] == "-3:3:0.1"


def test_study_of_a_specification__is_changed_by_the_run_itself():
    scan = scanned(verdict="undetermined", converged=0.5)
    (one,) = opened("scan", scan, study=True).open
    assert one.commands == ("lsg run spec.yaml --set study.scan.max_sweeps=20000 --out .",)
    few = opened("scan", scanned(verdict="undetermined"), study=True).open[0].commands[0]
    _, parameters = understood(few)
    ((field, _, value),) = [text.partition("=") for text in parameters["overrides"]]
    assert field == "study.scan.fields"
    assert len(yaml.safe_load(value)) == 61


def test_unstable_landscape__is_settled_by_another_stage():
    (one,) = opened("scan", scanned(verdict="undetermined", stable=0.5)).open
    stage, parameters = understood(one.commands[0])
    assert (stage, parameters["out"]) == ("anneal", "scan-anneal.zarr")
    assert parameters["model"] == "model.zarr"
    assert "elsewhere the cavity approximation fails" in one.reason


def test_conditions_of_a_step__are_in_its_command():
    curve = iso_energy(model(), [[1, 1, 1, 1, 1, -1, -1, 1]], np.linspace(-1, 1, 5))
    curve = curve.assign_attrs(verdict="undetermined", converged=0.2)
    (one,) = opened("iso", curve).open
    stage, parameters = understood(one.commands[0])
    assert (stage, parameters["where"]) == ("iso-energy", "accuracy > 0.5")


def test_chains_that_have_not_converged__run_longer():
    curve = thermodynamics(model(), ladders=2, burn_in=5, draws=4)
    curve = curve.assign_attrs(converged=0, s=0.61234, s_stderr=0.0012)
    result = opened("thermo", curve)
    text = result.said[0].text.replace("\N{NO-BREAK SPACE}", " ")
    assert "the entropy is 0.6123 ± 0.0012 nat per weight" in text
    _, parameters = understood(result.open[0].commands[0])
    assert parameters["draws"] == 200
    assert parameters["burn_in"] > 4


@pytest.mark.parametrize(
    ("attributes", "option", "value"),
    [
        ({"mc_converged": 0, "reason": "the chains of the check have not"}, "method", "tempered"),
        ({"mc_converged": 1, "reason": "too few steps", "seconds": 100.5}, "seconds", 404),
    ],
)
def test_fits_that_have_not_converged__go_on_in_another_way(attributes, option, value):
    about = {"method": "pcd", "converged": 0, "delta_independent": 0.1, "excess_C": 0.0123,
             "excess_C_stderr": 0.0021, **attributes}  # fmt: skip
    fitted = xarray.Dataset({"h": ("weight", np.zeros(3))}, attrs=about)
    result = opened("model", fitted)
    text = result.said[0].text.replace("\N{NO-BREAK SPACE}", " ")
    assert "up to 0.0123 ± 0.0021 (root mean square" in text
    assert attributes["reason"] in result.open[0].reason
    _, parameters = understood(result.open[0].commands[0])
    assert parameters[option] == value
    assert (parameters["moments"], parameters["out"]) == ("moments.zarr", "model-again.zarr")


def test_failed_and_absent_steps__are_open():
    steps = parse_study(STUDY)
    outcomes = {
        "scan": Outcome(steps["scan"], None, "not computed"),
        "thermo": Outcome(steps["thermo"], None, "no memory"),
        "loss landscape": Outcome(None, None, "Needs at least 5 solutions."),
    }
    section = Section("scan", "Scan", reason="x", steps=("scan",))
    result = findings_of(outcomes, [section], spec(study=STUDY))
    assert [(one.name, one.key, one.reason) for one in result.open] == [
        ("scan", "scan", "Not computed."), ("thermo", "", "No memory."),
        ("loss landscape", "", "Needs at least 5 solutions."),
    ]  # fmt: skip
    assert [list(one.commands) for one in result.open] == [
        ["lsg run spec.yaml --out ."], [], [],
    ]  # fmt: skip


def test_findings_that_fail__are_open_and_memory_errors_are_not_taken_for_that(monkeypatch):
    scan = scanned()
    del scan.attrs["hysteresis"]
    result = opened("scan", scan)
    assert result.said[0].text == "Its result could not be put into words."
    assert result.open[0].reason == "No findings: KeyError: 'hysteresis'."

    def lacking(*_):
        raise MemoryError

    monkeypatch.setattr(Stage, "found", lacking)
    with pytest.raises(MemoryError):
        opened("scan", scan)


def test_stage_without_findings__has_its_summary():
    def method(*, draws: int = 10, seed: int = 0):
        """Compute."""

    stage = Stage("toy", method, reads={}, summary=("mean", "mean_stderr", "verdict"))
    result = xarray.Dataset(attrs={"mean": 0.5, "mean_stderr": 0.1, "verdict": "undetermined"})
    (one,) = stage.found(result)
    assert one.text == "mean = 0.50 ± 0.10; verdict: undetermined."
    assert one.open == "verdict: undetermined"
    assert changed_options(stage, {"draws": 20}, one) == {"draws": 80}
    settled = stage.found(result.assign_attrs(verdict="yes", criterion="more than 2 σ"))
    assert settled == [Finding("mean = 0.50 ± 0.10; verdict: yes.", criterion="more than 2 σ")]


def test_changed_options__are_those_that_a_stage_accepts():
    scan = stage_of("scan")
    remedy = {"max_sweeps": Times(), "refine": 2, "no_such": 3, "damping": Times(), "beta": -1}
    one = Finding("x", "y", remedy)
    assert changed_options(scan, {}, one) == {"max_sweeps": 20_000, "refine": 2}
    assert changed_options(scan, {"damping": 0.5}, Finding("x", "y", {"damping": Times()})) == {}


def test_more_configurations__is_a_larger_run():
    m = xarray.Dataset({"m": ("weight", [0.5, 1.0]), "m_stderr": ("weight", [np.nan, np.nan])})
    result = opened("moments", m)
    assert result.open[0].commands == ("lsg run spec.yaml --count 80 --out .",)


def test_remedies_of_all_stages__name_stages_that_there_are():
    assert {"anneal", "scan", "thermo"} <= set(all_stages())


def test_options_added_later__change_neither_keys_nor_records():
    """Results of earlier runs are used, and written as they were, at the default."""
    from lsg_ray.study import step_key

    iso = stage_of("iso-energy")
    plain, finer = iso.options({}), iso.options({"refine": 2})
    assert iso.unrecorded(plain) == {"refine"}
    assert iso.unrecorded(finer) == set()
    record = json.loads(plain.model_dump_json(exclude=iso.unrecorded(plain)))
    assert "refine" not in record

    def key(**options):
        inputs = {"model": None, "references": None}
        return step_key(Step("iso-energy", inputs, {}, options), {})

    assert key() == key(refine=0)
    assert key() != key(refine=1)
