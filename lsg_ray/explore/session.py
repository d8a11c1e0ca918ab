"""A session: the page in its template, with the state that its address asks for."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar

import holoviews as hv
import panel as pn

from lsg_ray.errors import InputError
from lsg_ray.explore.maps import warm_up
from lsg_ray.explore.page import Page
from lsg_ray.explore.places import Place, find_places

#: Gives the handle of each slider, and the buttons of each number, which are in a shadow of their
#: own, the name that is beside them:
#: Bokeh leaves them without one, and screen readers say nothing.
_NAMES = """
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (how) {
  const root = attach.call(this, how);
  new MutationObserver(() => {
    const title = root.querySelector(".bk-slider-title");
    for (const handle of root.querySelectorAll(".noUi-handle:not([aria-label])"))
      if (title) handle.setAttribute("aria-label", title.textContent.replace(/:[^:]*$/, ""));
    const label = root.querySelector("label");
    for (const button of root.querySelectorAll(".bk-spin-btn:not([aria-label])")) {
      const way = button.classList.contains("bk-spin-btn-up") ? "more" : "less";
      button.setAttribute("aria-label", `${way} ${label ? label.textContent : ""}`);
    }
  }).observe(root, {childList: true, subtree: true});
  return root;
};
"""
_SCRIPT = "data:text/javascript;base64," + base64.b64encode(_NAMES.encode()).decode()

pn.extension(js_files={"names": _SCRIPT})
hv.extension("bokeh", logo=False)


#: Where this server has the style sheets of Panel, which are elsewhere by default.
_DIST = "static/extensions/panel/"


class _Template(pn.template.VanillaTemplate):
    """Panel's plainest template, without its font, which is on another host."""

    _resources: ClassVar[dict[str, dict[str, str]]] = {"css": {}}


def session(given: Sequence[str], before: Sequence[Place], clusters: Sequence[Place]) -> Any:
    """Return the page of a new session.

    Parameters
    ----------
    given
        What to show, as `find_places` takes it.
    before
        What there was, to show where it cannot be looked for again.
    clusters
        Clusters whose jobs are shown.
    """
    try:
        places = find_places(given)
    except InputError:
        places = list(before)
    if pn.state.curdoc is not None:
        pn.state.curdoc.template_variables["dist_url"] = _DIST
    arguments = pn.state.session_args or {}
    query = {name: values[0].decode("utf-8", "replace") for name, values in arguments.items()}

    def on_link(search: str) -> None:
        if pn.state.location is not None:
            pn.state.location.search = search

    pn.state.onload(warm_up)  # once there is a page to look at: before, it would be slower to come
    page = Page([*places, *clusters], query, on_link, dark=pn.config.theme == "dark")
    return _Template(title="lsg explore", main=[page.panel()])
