"""The field of a condition: words are completed, and what is wrong is shown while one types."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import panel as pn

from lsg_ray.ensemble.expression import compile_expression
from lsg_ray.errors import QueryError
from lsg_ray.explore.panes import column, failure, joined, row, text

#: Words of conditions that are no columns, and completions that are offered at most.
WORDS, MAX_OFFERED = ("and", "or", "not", "in", "abs"), 6
_LAST_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")


def completions(typed: str, columns: tuple[str, ...]) -> list[str]:
    """Return the conditions that completing the last word of one gives.

    >>> completions("trial == 0 and acc", ("accuracy", "trial"))
    ['trial == 0 and accuracy']
    """
    found = _LAST_WORD.search(typed)
    if found is None:
        return []
    fitting = [one for one in (*columns, *WORDS) if one.startswith(found[0]) and one != found[0]]
    return [typed[: found.start()] + one for one in fitting[:MAX_OFFERED]]


def condition_field(owner: Any, columns: tuple[str, ...]) -> Any:
    """Return the field of the parameter ``where`` of a view, with what is wrong below it.

    Parameters
    ----------
    owner
        View whose ``where`` is set.
    columns
        Columns that conditions can be on.
    """
    field = pn.widgets.TextInput(
        label="Condition",
        value=owner.where,
        placeholder="accuracy > 0.8 and trial in (0, 1)",
        sizing_mode="stretch_width",
        min_width=260,
        max_width=560,
    )
    offered, wrong = row(), column()

    def complete(condition: str, _: Any) -> None:
        field.value = condition
        check(condition)

    def check(typed: str) -> None:
        buttons = []
        for condition in completions(typed, columns):
            found = _LAST_WORD.search(condition)
            button = pn.widgets.Button(label=found[0] if found else condition, width=130)
            button.on_click(partial(complete, condition))
            buttons.append(button)
        offered[:] = buttons
        # A word that may still become a column is not wrong yet.
        wrong[:] = [] if buttons else _faults(typed, columns)

    def apply(event: Any) -> None:
        wrong[:] = faults = _faults(event.new, columns)
        if faults:  # what is offered stays: a click on it takes the focus away, which leads here
            return
        offered[:] = []
        owner.param.update(where=event.new)

    field.param.watch(lambda event: check(event.new), "value_input")
    field.param.watch(apply, "value")
    owner.param.watch(lambda event: field.param.update(value=event.new), "where")
    known = text(f"Columns: {joined(columns)}. Words: {joined(WORDS)}. Enter applies.")
    return column(field, offered, wrong, known)


def _faults(condition: str, columns: tuple[str, ...]) -> list[Any]:
    """Return what says why a condition cannot be understood, if so."""
    try:
        if condition.strip():
            compile_expression(condition, columns)
    except QueryError as error:
        return [failure(error)]
    return []
