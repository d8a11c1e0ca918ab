"""The ``study`` of a specification: which stages are computed, with which options, on what.

    study:
      moments: {}                                     # a stage with its defaults
      model: {stage: fit, method: bp, margin: 0.05}   # a name of one's own
      scan: {count: 4}                                # reads the model and the ensemble
      scan-low: {stage: scan, model: model, beta: 0.5}

What a step reads is ``ensemble``, an ensemble of ``beside`` or another step, by the name of the
argument; where there is one choice, it need not be named.  A step names stages that are installed,
and never a module.
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
SAMPLED = "ensemble"
#: Names that stand for something else in a report.
RESERVED_STEPS = frozenset(
    {
        SAMPLED,
        "accuracy",
        "inputs",
        "training",
        "summary",
        "reproduce",
        "specification",
        "provenance",
    }
)
#: What chooses from an ensemble (`Stage.view`): what is understood, and needed.
_VIEW: dict[str, tuple[Callable[[Any], bool], str]] = {
    "where": (lambda given: isinstance(given, str), "a condition is needed, as text"),
    "snapshot": (lambda given: type(given) is int and given >= 0, "an epoch, or step, from 0"),
    "part": (lambda given: type(given) in (str, int), "LB, ITR, RB, or a layer from 0"),
    "canonical": (lambda given: isinstance(given, bool), "true or false"),
}
#: Number of steps of a study, at most.
MAX_STEPS = 1000


class Step(NamedTuple):
    """One computation: the stage; by argument what it reads; the view of ensembles; options."""

    stage: str
    inputs: dict[str, str | None]
    view: dict[str, Any]
    options: dict[str, Any]

    def chosen_from(self, stores: Collection[str]) -> list[str]:
        """Return which of these ensembles its view chooses from, by name."""
        reads = stage_of(self.stage).reads
        named = (name for argument, name in self.inputs.items() if name and reads[argument].view)
        return list(dict.fromkeys(name for name in named if name in stores))

    def tree(self) -> JsonObject:
        """Return the entry of a specification for it."""
        sources = {name: value for name, value in self.inputs.items() if value is not None}
        return {"stage": self.stage, **sources, **self.view, **self.options}


class Outcome(NamedTuple):
    """Outcome of a step: its result, or the reason why there is none; seconds that it took.

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
        """Return what is shown of it."""
        if self.stage is None or self.result is None:
            return {"left_out" if self.stage is None else "failed": self.reason}
        return self.stage.shown(self.result)


#: Kinds that are read from a result, or from an ensemble.
_STORES_TOO = ("moments", "references")


def misnamed(given: object, kind: str, seen: set[str]) -> str:
    """Return why this cannot be the name of a step, or of an ensemble beside; empty if it can.

    ``seen``: names that there are, in lower case, to which it is added: they are names of files
    too, on disks that do not tell cases apart.

    >>> misnamed("Ensemble", "step", set())
    'Ensemble is taken; give the step another name'
    """
    if not (isinstance(given, str) and _NAME.fullmatch(given)) or given.endswith(".zarr"):
        return f"{brief(given)} is no name of a {kind}: letters, digits, -, _ and ."
    if given.lower() in RESERVED_STEPS or given.lower() in seen:
        return f"{given} is taken; give the {kind} another name"
    seen.add(given.lower())
    return ""


def parse_study(given: object, beside: Collection[str] = ()) -> dict[str, Step]:
    """Return the steps of a study by name, those first that others read.

    Parameters
    ----------
    given
        Steps by name.
    beside
        Names of ensembles that may be read beside the one that is sampled.

    Raises
    ------
    ValueError
        A line for each fault: the name of the step, what was seen, what is allowed.
    """
    if not isinstance(given, Mapping):
        raise ValueError("a mapping of stages is needed, such as {moments: {}}")
    if len(given) > MAX_STEPS:
        raise ValueError(f"{len(given)} steps given; at most {MAX_STEPS}")
    steps, faults = {}, []
    seen = {name.lower() for name in beside}
    for name, entry in given.items():
        if fault := misnamed(name, "step", seen):
            faults.append(fault)
            continue
        try:
            steps[name] = _step(name, {} if entry is None else entry, given, beside)
        except InputError as error:
            faults += [f"{name}: {line}" for line in str(error).splitlines()]
    faults += list(_unknown(steps, given, beside))
    if faults:
        raise ValueError("\n".join(faults))
    return _ordered(steps, beside)


def readable_steps(
    study: Mapping[str, Any], beside: Collection[str] = ()
) -> tuple[dict[str, Step], dict[str, str]]:
    """Return the steps of a study that can be read, and by name why the others cannot, as text.

    Stages of a package that is no longer installed cannot be read, nor the steps that read theirs.
    """
    reasons: dict[str, str] = {}
    while True:
        left = {name: options for name, options in study.items() if name not in reasons}
        try:
            return parse_study(left, beside), reasons
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


def _ordered(steps: dict[str, Step], beside: Collection[str]) -> dict[str, Step]:
    """Return steps as they are given, but those first that others read."""
    reads = {
        name: {s for s in step.inputs.values() if s not in (None, SAMPLED, *beside)}
        for name, step in steps.items()
    }
    ordered: dict[str, Step] = {}
    while len(ordered) < len(steps):
        left = [name for name in steps if name not in ordered]
        ready = next((name for name in left if reads[name] <= ordered.keys()), None)
        if ready is None:
            raise ValueError(f"steps read each other in a circle: {', '.join(left)}")
        ordered[ready] = steps[ready]
    return ordered


def _step(name: str, entry: Any, study: Mapping[str, Any], beside: Collection[str]) -> Step:
    if not isinstance(entry, Mapping) or not all(isinstance(key, str) for key in entry):
        raise InputError(f"{brief(entry)} given; a mapping of options is needed, such as {{}}")
    options = dict(entry)
    stage = stage_of(_text(options.pop("stage", name), "stage"))
    if stage.makes == "store":
        raise InputError(f"{stage.name} makes a store; a study is of the one that is sampled")
    inputs: dict[str, str | None] = {}
    for argument, kind in stage.reads.items():
        given = options.pop(argument, None)
        if given is not None:
            inputs[argument] = _text(given, argument)
        elif argument in stage.optional:
            inputs[argument] = None
        else:
            inputs[argument] = _only(kind.name, study) if kind.name == "model" else SAMPLED
    view = _view_of(stage, options)
    if view and not Step(stage.name, inputs, view, {}).chosen_from({SAMPLED, *beside}):
        raise InputError(f"{', '.join(view)} given, which choose from the ensemble; it is not read")
    if paths := sorted(stage.path_options & set(options)):
        raise InputError(f"{paths[0]} is a path, for the command alone; a study has its ensemble's")
    config = stage.options(options)
    return Step(stage.name, inputs, view, config.model_dump(mode="json", exclude_unset=True))


def _text(given: Any, name: str) -> str:
    """Return a name, which must be text of a sensible length."""
    if not isinstance(given, str) or not 0 < len(given) <= 64:
        raise InputError(f"{name}: {brief(given)} given; a name is needed")
    return given


def _view_of(stage: Stage, options: dict[str, Any]) -> dict[str, Any]:
    """Take what chooses from an ensemble out of the options of a step."""
    view: dict[str, Any] = {}
    for name in stage.view:
        given = options.pop(name, None)
        understood, needed = _VIEW[name]
        if given is not None and not understood(given):
            raise InputError(f"{name}: {brief(given)} given; {needed}")
        if given is not None and given is not False:
            view[name] = str(given) if name == "part" else given
    return view


def _only(kind: str, study: Mapping[str, Any]) -> str:
    """Return the one step of a study that makes what is read."""
    makers = [name for name, entry in study.items() if _makes(name, entry) == kind]
    if len(makers) != 1:
        known = f"there are {', '.join(makers)}" if makers else "there is none"
        raise InputError(f"{kind}: name the step that makes it; {known}")
    return str(makers[0])


def _makes(name: Any, entry: Any) -> str:
    """Return the kind of what a step makes; empty of a wrong one, which has its own fault."""
    stage = entry.get("stage", name) if isinstance(entry, Mapping) else name
    if not isinstance(stage, str) or len(stage) > 64:
        return ""
    try:
        return stage_of(stage).makes
    except InputError:
        return ""


def _unknown(
    steps: Mapping[str, Step], study: Mapping[str, Any], beside: Collection[str]
) -> Iterator[str]:
    for name, step in steps.items():
        for argument, source in step.inputs.items():
            if source is None or source == SAMPLED:
                continue
            kind = stage_of(step.stage).reads[argument].name
            stores = kind in ("ensemble", "solutions", "configurations")
            if source in beside:
                if not stores and kind not in _STORES_TOO:
                    yield f"{name}: {argument}: {source} given, an ensemble; a result is needed"
            elif source not in study:
                yield f"{name}: {argument}: {brief(source)} given; there is no such step"
            elif stores:
                yield f"{name}: {argument}: {source} given, a result; an ensemble is needed"
            elif kind == "model" and _makes(source, study[source]) != "model":
                yield f"{name}: {argument}: {source} given; it makes no model"
