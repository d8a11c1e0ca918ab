"""Sections of a study: which results share a figure, what they are called, what is lacking."""

import pytest
import xarray

from lsg_ray.report.results import study_sections
from lsg_ray.report.style import new_figure
from lsg_ray.spec.steps import Outcome, Step
from lsg_ray.stage import Figure, Stage

SEEN = []


def drawn_figure(given):
    SEEN.append(sorted(given) if isinstance(given, dict) else given.attrs["value"])
    return new_figure(1.0)


def caption(given):
    return f"Of {', '.join(given)}: -0.5.", "A figure."


def broken_figure(_):
    raise ValueError("no such\nnumber")


def stage(name, *figures):
    return Stage(name, lambda: None, reads={}, summary=("value",), figures=figures)


STAGES = {
    one.name: one
    for one in (
        stage("scan", Figure(f"{__name__}:drawn_figure", "Scans", "caption", together=3)),
        stage("anneal", Figure(f"{__name__}:drawn_figure", "Scans", "caption", together=3)),
        stage("walk", Figure(f"{__name__}:drawn_figure", "Walks"),
              Figure(f"{__name__}:broken_figure", "Widths")),
        stage("plain"),
    )
}  # fmt: skip


@pytest.fixture(autouse=True)
def _stages(monkeypatch):
    monkeypatch.setattr("lsg_ray.spec.steps.stage_of", STAGES.__getitem__)
    monkeypatch.setattr("lsg_ray.report.section.render", lambda _: b"png")
    SEEN.clear()


def made(name, value=1.5, **reads):
    return Outcome(Step(name, reads, {}, {}), xarray.Dataset(attrs={"value": value}))


def failed(name, why):
    return Outcome(Step(name, {}, {}, {}), None, why)


def test_results_of_one_figure__are_one_section_where_the_first_stands():
    result = study_sections({
        "scan-LB": made("scan", model="fit-LB"), "plain": made("plain"),
        "scan-RB": made("scan", model="fit-RB"), "scan-full": failed("scan", "too few."),
    })  # fmt: skip
    assert [one.key for one in result] == ["scan", "plain"]
    assert SEEN == [["LB", "RB"]]
    assert result[0].title == "Scans"
    assert result[0].caption == "Of LB, RB: −0.5. Model: fit-LB, fit-RB. No scan-full: too few."
    assert result[0].alt == "A figure."


def test_results_of_two_stages__share_a_figure_up_to_what_it_shows():
    steps = {"a": made("scan"), "b": made("anneal"), "c": made("scan"), "d": made("scan")}
    result = study_sections(steps)
    assert [one.key for one in result] == ["a", "d"]
    assert SEEN == [["a", "b", "c"], ["d"]]
    assert [one.title for one in result] == ["Scans: a, b, c", "Scans: d"]


def test_several_figures_of_a_step__have_names_of_their_own_and_one_may_fail():
    first, second, third = study_sections({"walk": made("walk"), "w": made("walk", 2.5)})[:3]
    assert [first.key, second.key, third.key] == ["walk", "walk-broken", "w"]
    assert (first.title, first.caption, first.formula) == (
        "Walks: walk", "value\N{NO-BREAK SPACE}= 1.5.", "drawn_figure",
    )  # fmt: skip
    assert second.reason == "value = 1.5. No figure: ValueError: no such number."
    assert SEEN == [1.5, 2.5]


def test_what_is_lacking__is_said_once_at_its_place():
    result = study_sections({
        "walk": failed("walk", "no memory"), "plain": made("plain", [1, 2]),
        "loss landscape": Outcome(None, None, "Needs at least 5 solutions."),
    })  # fmt: skip
    assert [(one.key, one.title, one.reason) for one in result] == [
        ("walk", "Walks", "No walk: no memory."),
        ("plain", "Plain", "value = 1, 2."),
        ("loss-landscape", "Loss landscape", "Needs at least 5 solutions."),
    ]


def test_memory_error__is_not_taken_for_a_figure_that_cannot_be_drawn(monkeypatch):
    def lacking(*_, **__):
        raise MemoryError

    monkeypatch.setattr("lsg_ray.report.results.section", lacking)
    with pytest.raises(MemoryError):
        study_sections({"walk": made("walk")})
