"""Sections of a study: for each step the figures of its stage, or the reason why there are none.

Results that one figure shows side by side share a section: models of several parts, paths of
several alignments, networks beside the SK model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from lsg_ray.finding import numbers_of
from lsg_ray.report.section import Section, section
from lsg_ray.spec.steps import SAMPLED, Outcome
from lsg_ray.stage import Figure

Outcomes = Mapping[str, Outcome]


def study_sections(outcomes: Outcomes, taken: Collection[str] = ()) -> list[Section]:
    """Return the sections of all steps; steps that share a figure are at the place of the first.

    taken: keys of other sections of the page.
    """
    groups: dict[Any, tuple[Figure | None, dict[str, Outcome]]] = {}
    together: Counter[str] = Counter()
    for name, outcome in outcomes.items():
        figures = outcome.stage.figures if outcome.stage is not None else ()
        for figure in (figures if outcome.result is not None else figures[:1]) or (None,):
            group: Any = (name, figure)
            if figure is not None and figure.together:
                group = (figure, together[figure.draw] // figure.together)
                together[figure.draw] += 1
            groups.setdefault(group, (figure, {}))[1][name] = outcome
    titles = Counter(figure.title for figure, _ in groups.values() if figure is not None)
    sections: dict[str, Section] = {}
    for figure, steps in groups.values():
        key = _key(
            list(steps), figure, (outcomes.keys() - steps.keys()) | sections.keys() | {*taken}
        )
        named = figure is None or titles[figure.title] > 1
        sections[key] = _section(key, figure, steps, named)._replace(steps=tuple(steps))
    return list(sections.values())


def label(name: str, outcome: Outcome) -> str:
    """Return the name of a step, with its stage where that differs."""
    step = outcome.step
    return name if step is None or step.stage == name else f"{name} ({step.stage})"


def _key(names: list[str], figure: Figure | None, taken: set[str]) -> str:
    """Return the name of the figure's file: the common start of the steps' names, or the first."""
    short = names[0].partition("-")[0]
    key = short if len(names) > 1 and short not in taken else names[0]
    if key in taken and figure is not None:  # a further figure of the step
        key += "-" + figure.draw.rpartition(":")[2].removesuffix("_figure")
    numbers = (key, *(f"{key}-{number}" for number in range(2, len(taken) + 3)))
    return next(key for key in numbers if key not in taken).replace(" ", "-")


def _section(key: str, figure: Figure | None, steps: Outcomes, named: bool) -> Section:
    title = "" if figure is None else figure.title
    if named:
        names = ", ".join(steps if title else (label(*step) for step in steps.items()))
        title = f"{title}: {names}" if title else f"{names[:1].upper()}{names[1:]}"
    missing = " ".join(
        outcome.reason if outcome.step is None else f"No {name}: {outcome.reason.rstrip('.')}."
        for name, outcome in steps.items()
        if outcome.result is None
    )
    results = {name: step.result for name, step in steps.items() if step.result is not None}
    if not results:
        return Section(key, title, reason=missing)
    numbers = ""
    try:
        numbers = " ".join(numbers_of(step.shown()) for step in steps.values() if not step.failed)
        if figure is None:
            return Section(key, title, reason=numbers)
        results = {_short(name, steps): result for name, result in results.items()}
        caption, alt = figure.captioned(results) if figure.caption else (numbers, figure.title)
        caption = " ".join(text for text in (caption, sources(steps), missing) if text)
        formula = figure.draw.rpartition(":")[2]
        return section(key, title, figure.drawn(results), caption, alt, formula)
    except MemoryError:
        raise
    except Exception as error:  # a figure of another package, or of a foreign result
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Section(key, title, reason=f"{numbers} No figure: {why}.".strip())


def _short(name: str, steps: Outcomes) -> str:
    """Return the name of a step in a figure, without the common start of all names."""
    start = name.partition("-")[0] + "-"
    shared = len(steps) > 1 and all(other.startswith(start) for other in steps)
    return name.removeprefix(start) if shared else name


def sources(steps: Outcomes) -> str:
    """Describe which other steps these read."""
    read: dict[str, dict[str, None]] = {}
    for one in steps.values():
        for argument, source in (one.step.inputs if one.step is not None else {}).items():
            if source not in (None, SAMPLED, argument):
                read.setdefault(argument, {})[str(source)] = None
    return " ".join(f"{name.capitalize()}: {', '.join(names)}." for name, names in read.items())
