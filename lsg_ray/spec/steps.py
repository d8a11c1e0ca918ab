"""The ``study`` of a specification: which stages are computed, with which options, on what.

    study:
      moments: {}                                     # a stage with its defaults
      model: {stage: fit, method: bp, margin: 0.05}   # a name of one's own
      scan: {count: 4}                                # reads the model and the ensemble
      scan-low: {stage: scan, model: model, beta: 0.5}

What a step reads is ``ensemble`` or another step, by the name of the argument; where there is one
choice, it need not be named.  A step names stages that are installed, and never a module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from lsg_ray.arrays import brief
from lsg_ray.errors import InputError
from lsg_ray.stages import all_stages, stage_of
from lsg_ray.typing import JsonObject

if TYPE_CHECKING:
    import xarray

    from lsg_ray.stage import Stage

#: Names of steps: of files too.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
#: What all steps may read, sampled before them.
ENSEMBLE = "ensemble"
#: Names that stand for something else in a report.
RESERVED = frozenset({
    ENSEMBLE, "accuracy", "inputs", "training", "summary", "reproduce", "specification",
    "provenance",
})  # fmt: skip
#: What chooses from an ensemble, of solutions the first two: what is understood, and needed.
_VIEW: dict[str, tuple[Callable[[Any], bool], str]] = {
    "where": (lambda given: isinstance(given, str), "a condition is needed, as text"),
    "snapshot": (lambda given: type(given) is int and given >= 0, "an epoch, or step, from 0"),
    "part": (lambda given: type(given) in (str, int), "LB, ITR, RB, or a layer from 0"),
    "canonical": (lambda given: isinstance(given, bool), "true or false"),
}
#: Most steps of a study.
MOST = 1000


class Step(NamedTuple):
    """One computation: the stage; by argument what it reads; the view of ensembles; options."""

    stage: str
    inputs: dict[str, str | None]
    view: dict[str, Any]
    options: dict[str, Any]

    def words(self) -> JsonObject:
        """Return what stands in a specification for it."""
        given = {name: value for name, value in self.inputs.items() if value is not None}
        return {"stage": self.stage, **given, **self.view, **self.options}


class Outcome(NamedTuple):
    """What became of a step: its result, or the reason why there is none; seconds that it took.

    step: None of what a study leaves out.  cached: whether the result is of an earlier run.
    """

    step: Step | None
    result: xarray.Dataset | None
    reason: str = ""
    seconds: float = 0.0
    cached: bool = False

    @property
    def stage(self) -> Stage | None:
        """The stage of the step."""
        return None if self.step is None else stage_of(self.step.stage)

    @property
    def failed(self) -> bool:
        """Whether there should be a result."""
        return self.step is not None and self.result is None

    def shown(self) -> JsonObject:
        """Return what a person is shown of it."""
        if self.stage is None or self.result is None:
            return {"left_out" if self.stage is None else "failed": self.reason}
        return self.stage.shown(self.result)


def parse_study(given: object) -> dict[str, Step]:
    """Return the steps of a study by name, those first that others read.

    Raises
    ------
    ValueError
        A line for each fault: the name of the step, what was seen, what is allowed.
    """
    if not isinstance(given, Mapping):
        raise ValueError("a mapping of stages is needed, such as {moments: {}}")
    if len(given) > MOST:
        raise ValueError(f"{len(given)} steps given; at most {MOST}")
    steps, faults = {}, []
    seen: set[str] = set()
    for name, words in given.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith(".zarr"):
            faults.append(f"{brief(name)} is no name of a step: letters, digits, -, _ and .")
            continue
        if name.lower() in RESERVED or name.lower() in seen:
            faults.append(f"{name} is taken; give the step another name")
            continue
        seen.add(name.lower())
        try:
            steps[name] = _step(name, {} if words is None else words, given)
        except InputError as error:
            faults += [f"{name}: {line}" for line in str(error).splitlines()]
    faults += list(_unknown(steps, given))
    if faults:
        raise ValueError("\n".join(faults))
    return _ordered(steps)


def readable_steps(study: Mapping[str, Any]) -> tuple[dict[str, Step], dict[str, str]]:
    """Return the steps of a study that can be read, and by name why the others cannot, as text.

    Stages of a package that is no longer installed cannot be read, nor the steps that read theirs.
    """
    reasons: dict[str, str] = {}
    while True:
        left = {name: options for name, options in study.items() if name not in reasons}
        try:
            return parse_study(left), reasons
        except ValueError as error:
            faults = dict(line.split(": ", 1) for line in str(error).splitlines() if ": " in line)
            if not faults.keys() & left.keys():
                raise
            for name in [name for name in left if name in faults]:
                reason = _reason(name, left[name], faults[name], reasons)
                reasons[name] = f"The step {name} cannot be drawn: {reason}."


def _reason(name: str, options: Any, fault: str, unread: Collection[str]) -> str:
    """Return why a step cannot be read: its stage, what it reads, or else the fault."""
    given = options if isinstance(options, Mapping) else {}
    stage = str(given.get("stage", name))
    if stage not in all_stages():
        return (
            f"no installed package provides its stage {stage}; install the package that does, and "
            "write the report again"
        )
    sources = [source for source in given.values() if isinstance(source, str) and source in unread]
    return f"it reads the step {sources[0]}, which cannot be read" if sources else fault


def _ordered(steps: dict[str, Step]) -> dict[str, Step]:
    """Return steps as they are given, but those first that others read."""
    reads = {
        name: {one for one in step.inputs.values() if one not in (None, ENSEMBLE)}
        for name, step in steps.items()
    }
    found: dict[str, Step] = {}
    while len(found) < len(steps):
        ready = [name for name in steps if name not in found and reads[name] <= found.keys()]
        if not ready:
            left = ", ".join(name for name in steps if name not in found)
            raise ValueError(f"steps read each other in a circle: {left}")
        found |= {name: steps[name] for name in ready[:1]}
    return found


def _step(name: str, words: Any, study: Mapping[str, Any]) -> Step:
    if not isinstance(words, Mapping) or not all(isinstance(key, str) for key in words):
        raise InputError(f"{brief(words)} given; a mapping of options is needed, such as {{}}")
    rest = dict(words)
    stage = stage_of(_text(rest.pop("stage", name), "stage"))
    if stage.makes == "store":
        raise InputError(f"{stage.name} makes a store; a study is of the one that is sampled")
    inputs: dict[str, str | None] = {}
    for argument, kind in stage.reads.items():
        given = rest.pop(argument, None)
        if given is not None:
            inputs[argument] = _text(given, argument)
        elif argument in stage.optional:
            inputs[argument] = None
        else:
            inputs[argument] = _only(kind.name, study) if kind.name == "model" else ENSEMBLE
    view = _view_of({kind.name for kind in stage.reads.values()}, rest)
    if paths := sorted(stage.path_options & set(rest)):
        raise InputError(f"{paths[0]} is a path, for the command alone; a study has its ensemble's")
    options = stage.options(rest)
    return Step(stage.name, inputs, view, options.model_dump(mode="json", exclude_unset=True))


def _text(given: Any, what: str) -> str:
    """Return a name, which must be text of a sensible length."""
    if not isinstance(given, str) or not 0 < len(given) <= 64:
        raise InputError(f"{what}: {brief(given)} given; a name is needed")
    return given


def _view_of(kinds: set[str], rest: dict[str, Any]) -> dict[str, Any]:
    """Take what chooses from an ensemble out of the options of a step."""
    found: dict[str, Any] = {}
    names = list(_VIEW)[: 4 if "ensemble" in kinds else 2 if "solutions" in kinds else 0]
    for name in names:
        given = rest.pop(name, None)
        understood, needed = _VIEW[name]
        if given is not None and not understood(given):
            raise InputError(f"{name}: {brief(given)} given; {needed}")
        if given is not None and given is not False:
            found[name] = str(given) if name == "part" else given
    return found


def _only(kind: str, study: Mapping[str, Any]) -> str:
    """Return the one step of a study that makes what is read."""
    makers = [name for name, words in study.items() if _makes(name, words) == kind]
    if len(makers) != 1:
        told = f"there are {', '.join(makers)}" if makers else "there is none"
        raise InputError(f"{kind}: name the step that makes it; {told}")
    return str(makers[0])


def _makes(name: Any, words: Any) -> str:
    """Return the kind of what a step makes; empty of one that is told of by itself."""
    named = words.get("stage", name) if isinstance(words, Mapping) else name
    if not isinstance(named, str) or len(named) > 64:
        return ""
    try:
        return stage_of(named).makes
    except InputError:
        return ""


def _unknown(steps: Mapping[str, Step], study: Mapping[str, Any]) -> Iterator[str]:
    for name, step in steps.items():
        for argument, source in step.inputs.items():
            if source is None or source == ENSEMBLE:
                continue
            kind = stage_of(step.stage).reads[argument].name
            if source not in study:
                yield f"{name}: {argument}: {brief(source)} given; there is no such step"
            elif kind in ("ensemble", "solutions", "configurations"):
                yield f"{name}: {argument}: {source} given, a result; the ensemble is needed"
            elif kind == "model" and _makes(source, study[source]) != "model":
                yield f"{name}: {argument}: {source} given; it makes no model"
