"""A view: what is shown of a place, and the state of it that a link restores.

A view is a class of parameters; those in ``linked`` make its state.  What a link says is checked by
the parameters themselves, and left out where it is wrong: a link may come from anyone.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

import param

from lsg_ray.errors import masked
from lsg_ray.explore.places import Place

#: Characters of a value in a link, at most.
MAX_VALUE_LENGTH = 2000
#: What a link names beside the state of its view.
PLACE, VIEW, THEME = "place", "view", "theme"


class View(param.ParameterizedABC):
    """What is shown of a place.

    Parameters
    ----------
    place
        Store or result that is shown.
    places
        All that there is.
    """

    #: Name in links, and in the menu.
    key: ClassVar[str] = ""
    title: ClassVar[str] = ""
    #: Parameters that make the state.
    linked: ClassVar[Sequence[str]] = ()

    def __init__(self, place: Place, places: Sequence[Place]) -> None:
        super().__init__()
        self.place, self.places = place, places

    @classmethod
    @abstractmethod
    def fits(cls, place: Place) -> bool:
        """Return whether there is something to show of a place."""

    @abstractmethod
    def panel(self) -> Any:
        """Return what is shown."""

    def close(self) -> None:
        """Stop what the view does by itself."""

    @abstractmethod
    def as_python(self) -> str:
        """Return Python that computes what is shown."""

    @abstractmethod
    def as_command(self) -> str:
        """Return a command that does."""

    @property
    def url(self) -> str:
        """Path or URL of the place, without what it keeps secret."""
        return masked(self.place.url)


def state_of(view: View) -> dict[str, str]:
    """Return the state that differs from that of a new view, as text."""
    state = {}
    for name in view.linked:
        value, default = getattr(view, name), view.param[name].default
        if value != default:
            state[name] = value if isinstance(value, str) else json.dumps(value)
    return state


def restore(view: View, given: Mapping[str, str]) -> list[str]:
    """Set the state of a view; return the names of what was not understood."""
    wrong = []
    for name in view.linked:
        if name not in given:
            continue
        try:
            if len(given[name]) > MAX_VALUE_LENGTH:
                raise ValueError("too long")
            text = isinstance(view.param[name], param.String) or _has_text(view.param[name])
            value = given[name] if text else json.loads(given[name])
            view.param.update(**{name: value})
        except (ValueError, TypeError, RecursionError):
            wrong.append(name)
    return wrong


def _has_text(parameter: Any) -> bool:
    """Return whether a parameter is a choice among texts."""
    choices = getattr(parameter, "objects", ())
    return bool(choices) and all(isinstance(choice, str) for choice in choices)


def link_to(view: View, theme: str = "") -> str:
    """Return the query of a link that restores a view."""
    query = {PLACE: view.place.name, VIEW: view.key, **state_of(view)}
    if theme:
        query[THEME] = theme
    return "?" + urlencode(query)
