"""What a report says first: the findings of all steps, and what is open with what would settle it.

Sentences are those of the stages (`lsg_ray.finding`).  Commands are for the folder of the report:
of a study that a specification names, the run with a changed option; else the stage alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lsg_ray.command_line import changed_options, command_line
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.finding import Finding, Times, with_error
from lsg_ray.report.figures.accuracy import SET_NAMES
from lsg_ray.report.section import Section, typeset
from lsg_ray.spec import Spec
from lsg_ray.spec.steps import SAMPLED, Outcome, Step
from lsg_ray.stage import MODEL, Stage
from lsg_ray.stages import stage_of
from lsg_ray.typing import JsonObject

#: File of the specification in the folder of a run.
_SPEC = "spec.yaml"
#: Remedy that is no option: more configurations.
_COUNT = "ensemble.count"
#: Ending of the name of a result beside that of the study.
_AGAIN = "-again"


class Said(NamedTuple):
    """A finding of a step; key: its section; criterion: number of that in the list, 0 for none.

    settled: whether nothing of it is open; of: the step whose model it reads, if it does.
    """

    name: str
    key: str
    text: str
    criterion: int = 0
    settled: bool = True
    of: str = ""


class Open(NamedTuple):
    """What is not settled: why, and commands that would settle it, perhaps none."""

    name: str
    key: str
    reason: str
    commands: Sequence[str] = ()


class Findings(NamedTuple):
    """Findings, what is open, and the criteria of verdicts, numbered from 1."""

    said: list[Said]
    open: list[Open]
    criteria: list[str]


def findings_of(
    outcomes: Mapping[str, Outcome], sections: Sequence[Section], spec: Spec
) -> Findings:
    """Return what a report says first of the steps of a study.

    Parameters
    ----------
    outcomes
        Results by name, or the reasons why there are none.
    sections
        Sections of the page, which name the steps that they show.
    spec
        Specification of the run, whose study has options that can be changed, or none.
    """
    shown_in = {step: section.key for section in reversed(sections) for step in section.steps}
    result = Findings([], [], [])
    for name, outcome in outcomes.items():
        key = shown_in.get(name, "")
        if outcome.result is None:
            result.open.append(Open(name, key, _sentence(outcome.reason), _run_again(outcome)))
            continue
        for finding in _found(outcome):
            criterion = _numbered(result.criteria, finding.criterion)
            settled, of = not finding.open, _model_of(outcome)
            result.said.append(Said(name, key, typeset(finding.text), criterion, settled, of))
            if finding.open:
                commands = tuple(_commands(name, outcome.step, finding, spec))
                result.open.append(Open(name, key, _sentence(finding.open), commands))
    return result


def ensemble_finding(ensemble: Ensemble) -> str:
    """Return what was sampled in a sentence: how many, how accurate, which share was accepted."""
    info, spec = ensemble.info(), ensemble.spec
    accuracy, trials = info["accuracy"], info["trials"]
    text = f"{info['rows']:,} configurations of {info['n_weights']:,} weights were sampled"
    if accuracy:
        low, mean, high = (accuracy[name] for name in ("min", "mean", "max"))
        where = SET_NAMES[spec.ensemble.selection]
        text += f", with accuracies from {low:.4f} to {high:.4f} on the {where} (mean {mean:.4f})"
    if info["acceptance"] is not None and trials:
        share = info["acceptance"]
        error = 100 * float(np.sqrt(max(share * (1 - share), 1 / trials) / trials))
        text += f"; {with_error(100 * share, error, '%')} of {trials:,} trials were accepted"
    return typeset(f"{text}.")


def _found(outcome: Outcome) -> list[Finding]:
    """Return the findings of a result; of one that its stage does not understand, why."""
    assert outcome.stage is not None
    assert outcome.result is not None
    try:
        return outcome.stage.found(outcome.result)
    except MemoryError:
        raise
    except Exception as error:  # of another package, or of a foreign result
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return [Finding("Its result could not be put into words.", f"no findings: {why}")]


def _model_of(outcome: Outcome) -> str:
    """Return the step that made the model which a step reads; of several fits results differ."""
    assert outcome.step is not None
    assert outcome.stage is not None
    models = [name for name, kind in outcome.stage.reads.items() if kind == MODEL]
    return next(filter(None, (outcome.step.inputs.get(name) for name in models)), "")


def _numbered(criteria: list[str], criterion: str) -> int:
    """Return the number of a criterion, which is added if it is new."""
    if not criterion:
        return 0
    if criterion not in criteria:
        criteria.append(criterion)
    return criteria.index(criterion) + 1


def _sentence(text: str) -> str:
    return typeset(f"{text[:1].upper()}{text[1:].rstrip('.')}.")


def _run_again(outcome: Outcome) -> tuple[str, ...]:
    """Return the command that computes what nobody has asked for yet."""
    waiting = outcome.reason.lower().startswith("not computed")
    return (f"lsg run {_SPEC} --out .",) if waiting else ()


def _commands(name: str, step: Step | None, finding: Finding, spec: Spec) -> Iterator[str]:
    """Yield the commands that would settle a finding."""
    if step is None:
        return
    if factor := finding.remedy.get(_COUNT):
        count = round(spec.ensemble.count * (factor.factor if isinstance(factor, Times) else 1))
        yield f"lsg run {_SPEC} --count {count} --out ."
    stage = stage_of(step.stage)
    if finding.by:
        other = stage_of(finding.by)
        options = {n: v for n, v in step.options.items() if n in other.config.model_fields}
        yield _alone(other, step, options, f"{name}-{other.name}")
    elif changed := changed_options(stage, step.options, finding):
        if spec.study is not None and name in spec.study:
            words = ["lsg", "run", _SPEC]
            for option, value in changed.items():
                words += ["--set", f"study.{name}.{option}={_yaml(value)}"]
            yield shlex.join([*words, "--out", "."])
        else:
            yield _alone(stage, step, {**step.options, **changed}, name + _AGAIN)


def _alone(stage: Stage, step: Step, options: JsonObject, out: str) -> str:
    """Return the command of a stage alone, with the inputs of a step."""
    inputs = {
        argument: f"{source}.zarr" if source is not None else None
        for argument, source in step.inputs.items()
        if argument in stage.reads
    }
    view = {name: value for name, value in step.view.items() if name in stage.view}
    return command_line(stage, inputs, options, view, f"{out}.zarr")


def _yaml(value: object) -> str:
    """Return a value of an option as the command line of a run reads it."""
    if isinstance(value, list):
        return f"[{', '.join(f'{number:g}' for number in value)}]"
    return str(value)


def unfinished(ensemble: Ensemble) -> list[Open]:
    """Return that configurations are missing, if they are."""
    if ensemble.complete:
        return []
    reason = f"{ensemble.n_complete:,} of {ensemble.count:,} configurations have been sampled."
    return [Open(SAMPLED, "summary", reason, (f"lsg run {_SPEC} --out .",))]
