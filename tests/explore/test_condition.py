"""What is wrong with a condition is said while it is typed; words are those of the store."""

import html

from lsg_ray.explore import session  # noqa: F401 - loads what draws plots
from lsg_ray.explore.page import Page
from lsg_ray.explore.places import find_places

from .test_views import texts


def test_faults__are_shown_below_and_nothing_is_read(run_folder):
    places = find_places([str(run_folder)])
    view = Page(places, {"place": "toy/ensemble", "section": "Query"}).view
    shown = view.panel()
    field, wrong, _ = shown[2]
    assert {"accuracy", "trial", "and", "abs"} <= set(field.words)
    field.typed = "accuracy > 0.8 an"
    said = html.unescape(texts(wrong)[0])
    assert "^" in said
    assert view.where == ""
    field.typed = "accuracy > 0.8"
    assert len(wrong) == 0
    field.value = "accuracy > 0.8"
    assert view.where == "accuracy > 0.8"
    view.where = "trial == 0"
    assert field.value == "trial == 0"
