"""The field of a condition: it completes words, and what is wrong is shown while one types.

A combobox as the ARIA practices have it.  Words are those of a store: they are set as text, never
as markup.
"""

from __future__ import annotations

from typing import Any, ClassVar

import panel as pn
import param
from panel.custom import JSComponent

from lsg_ray.ensemble.expression import compile_expression
from lsg_ray.errors import QueryError
from lsg_ray.explore.panes import column, failure, joined, text

#: Words of conditions that are no columns.
WORDS = ("and", "or", "not", "in", "abs")
#: Help below the field.
_HELP = "Tab completes a word, arrows choose one, Ctrl-Space lists all; Enter applies."

_SCRIPT = r"""
const MOST = 12, PAUSE = 250

export function render({ model }) {
  const make = (tag, set) => Object.assign(document.createElement(tag), set)
  const box = make('div', { className: 'condition' })
  const label = make('label', { textContent: model.label, htmlFor: 'field' })
  const input = make('input', { id: 'field', type: 'text', value: model.value, spellcheck: false,
                                placeholder: model.placeholder, autocomplete: 'off' })
  const list = make('ul', { id: 'words', hidden: true })
  const roles = { role: 'combobox', 'aria-autocomplete': 'list', 'aria-controls': 'words',
                  'aria-expanded': 'false' }
  for (const [name, value] of Object.entries(roles)) input.setAttribute(name, value)
  list.setAttribute('role', 'listbox')
  list.setAttribute('aria-label', 'Words')
  let active = -1, timer = 0

  const start = () => input.value.slice(0, input.selectionStart).search(/[A-Za-z_][A-Za-z0-9_]*$/)
  const close = () => {
    list.hidden = true
    active = -1
    input.setAttribute('aria-expanded', 'false')
    input.removeAttribute('aria-activedescendant')
  }
  const mark = (number) => {
    active = number
    Array.from(list.children).forEach((item, n) => item.setAttribute('aria-selected', n === number))
    if (number >= 0) input.setAttribute('aria-activedescendant', `word-${number}`)
  }
  const open = (all) => {
    const at = start(), word = at < 0 ? '' : input.value.slice(at, input.selectionStart)
    const fitting = model.words.filter((one) => one.startsWith(word) && one !== word)
    if (!fitting.length || (!word && !all)) return close()
    list.replaceChildren(...fitting.slice(0, MOST).map((one, n) => {
      const item = make('li', { id: `word-${n}`, textContent: one })
      item.setAttribute('role', 'option')
      item.addEventListener('mousedown', (event) => { event.preventDefault(); take(one) })
      return item
    }))
    list.hidden = false
    input.setAttribute('aria-expanded', 'true')
    mark(-1)
  }
  const typed = () => {
    clearTimeout(timer)
    timer = setTimeout(() => { model.typed = input.value }, PAUSE)
  }
  const take = (word) => {
    const end = input.selectionStart, at = start() < 0 ? end : start()
    input.setRangeText(word, at, end, 'end')
    close()
    typed()
  }
  const apply = () => {
    clearTimeout(timer)
    model.typed = input.value
    model.value = input.value
  }
  input.addEventListener('input', () => { open(false); typed() })
  input.addEventListener('blur', () => { close(); apply() })
  input.addEventListener('keydown', (event) => {
    const shown = !list.hidden, count = list.children.length
    if (event.key === ' ' && event.ctrlKey) open(true)
    else if (event.key === 'ArrowDown' && shown) mark((active + 1) % count)
    else if (event.key === 'ArrowUp' && shown) mark((active + count - 1) % count)
    else if (event.key === 'Escape' && shown) close()
    else if (event.key === 'Tab' && shown && !event.shiftKey)
      take(list.children[Math.max(active, 0)].textContent)
    else if (event.key === 'Enter' && shown && active >= 0) take(list.children[active].textContent)
    else {
      if (event.key === 'Enter') { close(); apply() }
      return
    }
    event.preventDefault()
  })
  model.on('value', () => { if (input.value !== model.value) input.value = model.value })
  box.append(label, input, list)
  return box
}
"""
_STYLE = """
.condition { position: relative; display: flex; flex-direction: column; gap: 2px;
             font-family: inherit; }
input { font: 14px ui-monospace, monospace; padding: 7px 10px; border: 1px solid #767676;
        border-radius: 4px; background: Canvas; color: CanvasText; width: 100%;
        box-sizing: border-box; }
ul { position: absolute; top: 100%; left: 0; right: 0; z-index: 20; margin: 2px 0 0; padding: 0;
     list-style: none; border: 1px solid #767676; border-radius: 4px; background: Canvas;
     color: CanvasText; max-height: 260px; overflow-y: auto; }
ul[hidden] { display: none; }
li { padding: 5px 10px; cursor: pointer; font: 14px ui-monospace, monospace; }
li[aria-selected='true'], li:hover { background: Highlight; color: HighlightText; }
"""


class ConditionInput(JSComponent):
    """A field that completes words.

    value: what was applied, by Enter or by leaving the field; typed: what is in it; words: what it
    completes.
    """

    value = param.String()
    typed = param.String()
    words = param.List(item_type=str)
    label = param.String("Condition")
    placeholder = param.String()

    _esm = _SCRIPT
    _stylesheets: ClassVar[list[str]] = [_STYLE]


def condition_field(owner: Any, columns: tuple[str, ...]) -> Any:
    """Return the field of the parameter ``where`` of a view, with what is wrong below it.

    Parameters
    ----------
    owner
        View whose ``where`` is set.
    columns
        Columns that conditions can be on.
    """
    field = ConditionInput(
        value=owner.where,
        words=[*columns, *WORDS],
        placeholder="accuracy > 0.8 and trial in (0, 1)",
        sizing_mode="stretch_width",
        max_width=560,
        styles={"color-scheme": "dark" if pn.config.theme == "dark" else "light"},
    )
    wrong = column()

    def check(event: Any) -> None:
        try:
            if event.new.strip():
                compile_expression(event.new, columns)
            wrong[:] = []
        except QueryError as error:
            wrong[:] = [failure(error)]

    field.param.watch(check, "typed")
    field.param.watch(lambda event: owner.param.update(where=event.new), "value")
    owner.param.watch(lambda event: field.param.update(value=event.new), "where")
    known = text(f"Columns: {joined(columns)}. Words: {joined(WORDS)}. {_HELP}")
    return column(field, wrong, known)
