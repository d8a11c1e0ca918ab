"""Every option that chooses from a store reaches every stage that reads one."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from lsg_ray.cli.stage_commands import command_of
from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.errors import SpecError
from lsg_ray.spec import parse_spec
from lsg_ray.spec.steps import parse_study
from lsg_ray.stage import VIEW
from lsg_ray.stages import STAGES, stage_of
from lsg_ray.study import run_study

SPEC = {
    "dataset": {"name": "digits", "train_examples": 100},
    "network": {"widths": [20, 4, 4, 10]},
    "training": {"epochs": 2, "batch_size": 50},
    "ensemble": {"count": 4, "threshold": 0.0, "draws": 2, "block_size": 2, "snapshots": [0, 2]},
}
VIEWED = [name for name in STAGES if stage_of(name).view]
#: By name: how it is given, and what a store must show then.
GIVEN = {
    "where": ("configuration < 3", lambda seen: seen.condition == "configuration < 3"),
    "snapshot": (0, lambda seen: seen.at == 0),
    "part": ("RB", lambda seen: seen.weight_slice == seen.parts["RB"]),
    "canonical": (True, lambda seen: not isinstance(seen, Ensemble)),
}


class ReachedError(Exception):
    """Raised in place of a computation."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    url = tmp_path_factory.mktemp("views") / "s.zarr"
    sample(parse_spec(SPEC), url, workers=0)
    return str(url)


def spied(name, seen):
    """Return a stage whose function keeps what it is given."""
    stage = stage_of(name)

    @functools.wraps(stage.run)
    def run(*arguments, **given):
        seen.update({argument: given.get(argument) for argument in stage.reads})
        raise ReachedError

    return replace(stage, run=run, parts=None)


def required_of(stage):
    """Return a value for each option without default."""
    fields = stage.config.model_fields.items()
    return {
        name: "0:2" if field.annotation is str else 0.5
        for name, field in fields
        if field.is_required()
    }


def words_of(stage, store, model):
    """Return arguments of a command: the store for all that may be one, and what is required."""
    words = []
    for name, kind in stage.reads.items():
        flag = [] if name in stage.positional else [f"--{name.replace('_', '-')}"]
        words += [*flag, store if kind.view else model]
    for name, value in required_of(stage).items():
        words += [f"--{name.replace('_', '-')}", value]
    return words


def test_all_that_read_stores_are_here():
    assert {"moments", "walk", "fit", "scan", "anneal", "iso-energy", "mc", "check"} <= {*VIEWED}


@pytest.mark.parametrize("option", VIEW)
@pytest.mark.parametrize("name", VIEWED)
def test_a_command_passes_it_on(name, option, store, tmp_path, monkeypatch):
    """`--where` is of the first store: others are compared with it as they are."""
    seen = {}
    stage = spied(name, seen)
    command = command_of(stage, "")
    if option not in stage.view:
        assert option not in {p.name for p in command.params} - {*stage.config.model_fields, "part"}
        return
    monkeypatch.setattr("lsg_ray.ising.model.load_model", lambda given: given)
    (tmp_path / "model").mkdir()
    value, holds = GIVEN[option]
    words = [*words_of(stage, store, tmp_path / "model"), "--out", tmp_path / "out.zarr"]
    words += [f"--{option}"] if value is True else [f"--{option}", value]
    with pytest.raises(ReachedError):
        command.main([str(word) for word in words], standalone_mode=False)
    stores = [seen[argument] for argument, kind in stage.reads.items() if option in kind.view]
    assert stores
    assert all(holds(given) for given in stores), stores


@pytest.mark.parametrize("option", VIEW)
@pytest.mark.parametrize("name", [name for name in VIEWED if stage_of(name).makes != "store"])
def test_a_study_passes_it_on(name, option, store, tmp_path, monkeypatch):
    seen = {}
    stage = spied(name, seen)
    value, holds = GIVEN[option]
    model = {"model": {"stage": "fit"}} if "model" in stage.reads else {}
    optional = dict.fromkeys(stage.optional, "ensemble")
    study = {"x": {"stage": name, option: value, **required_of(stage), **optional}}
    if option not in stage.view:
        if option not in stage.config.model_fields:
            with pytest.raises(ValueError, match=f"has no option {option}"):
                parse_study(model | study)
        return
    step = parse_study(model | study)["x"]
    assert step.view == {option: value}
    step = step._replace(inputs={n: s for n, s in step.inputs.items() if s != "model"})
    for module in ("lsg_ray.study", "lsg_ray.spec.steps"):
        monkeypatch.setattr(f"{module}.stage_of", lambda _: replace(stage, applies=lambda *_: ""))
    outcome = run_study({"x": step}, open_ensemble(store), tmp_path)["x"]
    assert outcome.reason.startswith("ReachedError"), outcome.reason
    stores = [seen[argument] for argument, kind in stage.reads.items() if kind.view]
    assert stores
    assert all(holds(given) for given in stores), stores


def test_what_is_no_store_cannot_be_chosen_from(lsg, store, tmp_path):
    np.savez(tmp_path / "r.npz", sigma=np.ones((2, 3), np.int8))
    np.savez(tmp_path / "m.npz", J=np.zeros((3, 3)), h=np.zeros(3))
    model = [tmp_path / "m.npz", "--out", tmp_path / "o.zarr"]
    ran = lsg("scan", *model, "--references", tmp_path / "r.npz", "--where", "accuracy > 0")
    assert ran.code == 2
    assert "where given, which choose from a store" in ran.err
    ran = lsg("thermo", *model, "--snapshot", 0)
    assert ran.code == 2
    assert "snapshot given, which choose from a store; none is read" in ran.err


def test_a_step_that_does_not_read_the_ensemble_cannot_choose_from_it():
    study = {"moments": {}, "fit": {"moments": "moments", "where": "accuracy > 0"}}
    with pytest.raises(SpecError, match="where given, which choose from the ensemble"):
        parse_spec({**SPEC, "study": study})
