"""The page of a session: a menu of stores and results, a menu of views, the view, its links."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import panel as pn

from lsg_ray.explore.compare import Compare
from lsg_ray.explore.ensemble import EnsembleView
from lsg_ray.explore.jobs import JobsView
from lsg_ray.explore.model import ModelView
from lsg_ray.explore.panes import CHOSEN, code, column, failure, heading, row, text
from lsg_ray.explore.places import Place
from lsg_ray.explore.plane import PlaneView
from lsg_ray.explore.results import ResultView
from lsg_ray.explore.tree import TreeView
from lsg_ray.explore.view import PLACE, THEME, VIEW, View, link_to, restore

#: The views, the first that fits is shown first.
VIEWS: tuple[type[View], ...] = (
    EnsembleView,
    PlaneView,
    ResultView,
    TreeView,
    ModelView,
    JobsView,
    Compare,
)
#: Copies what a field holds; a link with the address that the browser sees, without the token.
_COPY = "navigator.clipboard.writeText(before ? location.origin + location.pathname + source.value : source.value)"  # noqa: E501 - one line of JavaScript
_SWITCH = "const u = new URL(location); u.searchParams.set('theme', to); location.assign(u)"


class Page:
    """The page.

    Parameters
    ----------
    places
        What there is.
    query
        Of the link that it was opened with.
    on_link
        Called with the query of the link that restores what is shown, whenever that changes.
    dark
        Whether it is shown light on dark.
    """

    def __init__(
        self,
        places: Sequence[Place],
        query: Mapping[str, str],
        on_link: Callable[[str], None] = lambda _: None,
        dark: bool = False,
    ) -> None:
        self.places, self.on_link, self.dark = (
            {place.name: place for place in places},
            on_link,
            dark,
        )
        self.theme = THEME if THEME in query else ""
        names = list(self.places)
        asked = query.get(PLACE, "")
        self.menu = pn.widgets.Select(
            label="Store, result or cluster",
            options=names,
            value=asked if asked in names else names[0],
        )
        self.which = pn.widgets.RadioButtonGroup(label="View", options=[""], stylesheets=[CHOSEN])
        self.body, self.share = column(), column()
        self.view: View | None = None
        self._opening = False
        self._note = f"There is no {asked} here." if asked and asked not in names else ""
        self._open(query)
        self.menu.param.watch(lambda _: self._open({}), "value")
        self.which.param.watch(self._on_view, "value")

    def panel(self) -> Any:
        """Return the page."""
        switch = pn.widgets.Button(label="Light" if self.dark else "Dark", width=80)
        switch.js_on_click(args={"to": "default" if self.dark else "dark"}, code=_SWITCH)
        return column(row(self.menu, self.which, switch), self.body, self.share)

    @property
    def place(self) -> Place:
        """The store or result that is shown."""
        return self.places[self.menu.value]

    def _on_view(self, event: Any) -> None:
        if not self._opening:  # there, the view is shown once menu and view agree
            self._show(event.new, {})

    def _open(self, query: Mapping[str, str]) -> None:
        """Show a place, by the view that a link names, or the first that fits."""
        fitting = {view.title: view for view in VIEWS if view.fits(self.place)}
        asked = [title for title, view in fitting.items() if view.key == query.get(VIEW)]
        title = asked[0] if asked else next(iter(fitting))
        self._opening = True
        self.which.param.update(options=list(fitting), value=title)
        self._opening = False
        self._show(title, query)

    def _show(self, title: str, query: Mapping[str, str]) -> None:
        kind = next(view for view in VIEWS if view.title == title)
        if self.view is not None:
            self.view.close()
        try:
            self.view = view = kind(self.place, list(self.places.values()))
            wrong = restore(view, query)
            shown = view.panel()
        except MemoryError as error:
            self.view, shown, wrong = None, failure(error), []
        except Exception as error:  # what others have made fails in a dozen ways
            self.view, shown, wrong = None, failure(error), []
        notes = [text(self._note)] if self._note else []
        if wrong:
            notes.append(text(f"Left out of the link, which does not fit: {', '.join(wrong)}."))
        self._note = ""
        self.body[:] = [*notes, shown]
        if self.view is not None:
            self.view.param.watch(lambda *_: self._link(), list(self.view.linked))
        self._link()

    def _link(self) -> None:
        """Show the links of what is shown."""
        view = self.view
        if view is None:
            self.share[:] = []
            return
        link = link_to(view, "dark" if self.dark and self.theme else "")
        self.on_link(link)
        self.share[:] = [
            heading("This view", 3),
            _copied("Link", link, before=True),
            _copied("Python", view.as_python()),
            _copied("Command", view.as_command()),
        ]


def _copied(name: str, value: str, before: bool = False) -> Any:
    """Return some text, and a button that copies it."""
    held = pn.widgets.TextAreaInput(value=value, visible=False)
    button = pn.widgets.Button(label=f"Copy {name.lower()}", width=130)
    button.js_on_click(args={"source": held, "before": before}, code=_COPY)
    return row(button, code(value, name), held)
