"""A result: what its stage says of it, its figures as in reports, and its variables.

Nothing here knows any stage.  What is shown follows from the declaration (`lsg_ray.stage.Stage`),
so that a stage of an installed package appears as those of this one.
"""

from __future__ import annotations

import json
from typing import Any

import param
import xarray

from lsg_ray.errors import InputError
from lsg_ray.explore.panes import DRAWER, column, facts, guarded, heading, image, later, text
from lsg_ray.explore.places import Place
from lsg_ray.explore.variables import Slice
from lsg_ray.explore.view import View
from lsg_ray.report.results import study_sections
from lsg_ray.report.section import Section
from lsg_ray.spec.steps import Outcome, Step


class ResultView(View):
    """What is shown of a result."""

    key, title = "result", "Result"
    linked = ("variable", "across", "down", "part", "at")
    variable = param.String()
    across = param.String()
    down = param.String()
    part = param.String()
    at = param.Dict(default={})

    @classmethod
    def fits(cls, place: Place) -> bool:
        """Return whether it is a result."""
        return place.kind in ("result", "model")

    def panel(self) -> Any:
        """Return summary, figures, and variables."""
        result = self.place.result()
        stage = self.place.declared
        about = [text(stage.help)] if stage is not None else []
        if stage is None and self.place.stage:
            about = [text(f"The stage {self.place.stage} is not installed here: no figures.")]
        return column(
            heading(self.place.name),
            *about,
            facts("Summary", summary(self.place, result)),
            later(lambda: figures({self.place: result}), shown_sections, "Drawing figures", DRAWER)
            if stage is not None
            else column(),
            heading("Variables", 3),
            guarded(lambda: self._slice(result), lambda made: made.panel()),
            heading("How it was made", 3),
            facts("Attributes", plain(result.attrs)),
        )

    def _slice(self, result: xarray.Dataset) -> Slice:
        """Return the choice of variables, which this view's state follows."""
        made = Slice(result)
        for name in self.linked:
            wanted = getattr(self, name)
            try:
                if wanted:
                    made.param.update(**{name: wanted})
            except (ValueError, TypeError):  # a link may name what is not there
                continue

        def follow(*_: Any) -> None:
            self.param.update(**{name: getattr(made, name) for name in self.linked})

        made.param.watch(follow, list(self.linked))
        return made

    def as_python(self) -> str:
        """Return Python that opens the result, and takes what is shown."""
        lines = ["import xarray", "", f"result = xarray.open_zarr({self.url!r})"]
        if self.variable:
            lines.append(f"result[{self.variable!r}].isel({dict(self.at)!r})")
        return "\n".join(lines)

    def as_command(self) -> str:
        """Return the command that writes the variable to a file."""
        columns = f" --columns {quoted(self.variable)}" if self.variable else ""
        return f"lsg export {quoted(self.url)} --to result.nc{columns}"


def summary(place: Place, result: xarray.Dataset) -> dict[str, object]:
    """Return what is printed of a result, with stage and sizes."""
    stage = place.declared
    shown: dict[str, object] = {"stage": place.stage}
    if stage is not None:
        try:
            shown |= stage.shown(result)
        except MemoryError:
            raise
        except Exception as error:  # a result of another version, or a package of another author
            shown["no summary"] = f"{type(error).__name__}: {error}"[:200]
    return shown | {"dimensions": {str(name): size for name, size in result.sizes.items()}}


def figures(results: dict[Place, xarray.Dataset]) -> list[Section]:
    """Return the sections that a report has of some results.

    Raises
    ------
    InputError
        None of them is of a stage that is installed here.
    """
    outcomes = {
        place.name: Outcome(Step(place.stage, {}, {}, {}), result.load())
        for place, result in results.items()
        if place.declared is not None
    }
    if not outcomes:
        raise InputError("no result is of a stage that is installed here: there are no figures")
    return study_sections(outcomes)


def shown_sections(sections: list[Section]) -> Any:
    """Return figures below one another, or the reason why one is missing."""
    panes: list[Any] = []
    for one in sections:
        panes.append(heading(one.title, 3))
        if one.png is not None:
            panes += [image(one.png, one.alt), text(one.caption)]
        else:
            panes.append(text(one.reason))
    return column(*panes)


def plain(attributes: dict[Any, Any]) -> dict[str, object]:
    """Return attributes as short text."""
    return {
        str(name)[:80]: value if isinstance(value, (int, float)) else _text(value)
        for name, value in attributes.items()
    }


def quoted(word: str) -> str:
    """Return a word as shells take it."""
    import shlex

    return shlex.quote(word)


def _text(value: object) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, default=str)
    return shown if len(shown) <= 300 else f"{shown[:299]}…"
