"""Views without a browser: what they hold, what a link restores, what is escaped."""

import html
import json
import re
import shutil

import numpy as np
import panel as pn
import pytest

from lsg_ray.explore import session  # noqa: F401 - loads what draws plots
from lsg_ray.explore.compare import side_by_side
from lsg_ray.explore.model import possible
from lsg_ray.explore.page import VIEWS, Page
from lsg_ray.explore.panes import code, facts, failure, guarded, heading, image, markup, rows, text
from lsg_ray.explore.places import find_places
from lsg_ray.explore.results import figures, summary
from lsg_ray.explore.variables import Slice
from lsg_ray.explore.view import link_to, restore, state_of

from .conftest import HOSTILE


@pytest.fixture(scope="module")
def places(run_folder):
    return find_places([str(run_folder)])


def page(places, name, **query):
    return Page(places, {"place": f"toy/{name}", **query})


def texts(shown):
    """Return the markup of all panes of a page, as the browser gets it."""
    models = shown.get_root().select({})
    return [html.unescape(str(m.text)) for m in models if isinstance(getattr(m, "text", None), str)]


def test_every_place__has_a_view_of_each_kind_that_fits(places):
    for place in places:
        for view in VIEWS:
            if not view.fits(place):
                continue
            made = Page(places, {"place": place.name, "view": view.key})
            assert made.place == place
            if made.view is not None:  # a damaged one has its reason in place of a view
                assert isinstance(made.view, view)
                compile(made.view.as_python(), "copied", "exec")
                assert made.view.as_command().startswith("lsg ")
            assert texts(made.panel())


def test_damaged_results__say_so_in_their_view(places):
    made = page(places, "damaged")
    said = " ".join(texts(made.panel()))
    assert made.view is None
    assert "damaged.zarr" in said
    assert "role='alert'" in said


def test_what_strangers_have_made__fails_in_words(run_folder, tmp_path):
    import xarray

    from lsg_ray.results.saving import save_result

    shutil.copytree(run_folder / "ensemble.zarr", tmp_path / "r" / "ensemble.zarr")
    for name, stage in (("map", "embed"), ("moments", "moments")):
        strange = xarray.Dataset({"a": ("x", np.arange(3.0))}, attrs={"stage": stage})
        save_result(strange, tmp_path / "r" / f"{name}.zarr")
    places = find_places([str(tmp_path / "r")])
    made = Page(places, {"place": "r/ensemble", "section": "Map", "source": "r/map"})
    assert made.view.source == "r/map"
    assert "KeyError" in guarded(made.view.mapped, lambda _: None).object
    assert texts(Page(places, {"place": "r/moments"}).panel())
    section = figures({places[2]: places[2].result()})[0]
    assert section.png is None
    assert "No figure" in section.reason


@pytest.mark.parametrize(
    "pane",
    [text(HOSTILE), code(HOSTILE, HOSTILE), heading(HOSTILE), facts(HOSTILE, {HOSTILE: HOSTILE}),
     rows({HOSTILE: [HOSTILE]}, HOSTILE), failure(ValueError(HOSTILE)),
     image(b"\x89PNG" + bytes(20), f"'{HOSTILE}"), markup("<b>{}</b>", HOSTILE)],
)  # fmt: skip
def test_panes__escape_what_they_are_given(pane):
    assert "<img src=x" not in pane.object
    assert "' <img" not in pane.object
    assert "&lt;img src=x onerror" in pane.object


def test_a_hostile_result__is_shown_as_text(places):
    said = texts(page(places, "stranger").panel())
    assert any("&lt;img src=x onerror" in one for one in said)
    assert not any(re.search(r"<img src=x", one) for one in said)


def test_links__restore_a_view(places):
    first = page(places, "ensemble", section="Query", where="accuracy > 0.5", sort="-accuracy")
    view = first.view
    assert state_of(view) == {"section": "Query", "where": "accuracy > 0.5", "sort": "-accuracy"}
    link = link_to(view)
    assert link == (
        "?place=toy%2Fensemble&view=ensemble&section=Query&where=accuracy+%3E+0.5&sort=-accuracy"
    )
    links = []
    again = Page(places, {"place": "toy/ensemble", "view": "ensemble", **state_of(view)},
                 links.append)  # fmt: skip
    assert links == [link]
    again.view.section = "Map"
    assert links[-1] == link.replace("section=Query", "section=Map")


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("ensemble", {"section": HOSTILE, "points": "7", "look": "-5", "box": '"x"'}),
        ("ensemble", {"section": "Map", "box": "[1, 2]", "lasso": '[["a"]]', "colour": HOSTILE}),
        ("ensemble", {"where": "x" * 5000, "points": "[" * 500 + "]" * 500}),
        ("model", {"x": "1e9", "beta": "null", "rank": "1.5", "store": HOSTILE}),
        ("moments", {"variable": HOSTILE, "across": "0", "at": '{"weight": 99}', "part": "[]"}),
        ("overlaps", {"view": "compare", "others": '{"a": 1}', "variable": HOSTILE}),
        ("cluster", {"view": "tree", "branch": "99999", "clusters": "7.5", "look": "8"}),
        ("cluster", {"view": "tree", "branch": "3", "clusters": "49", "look": "-8"}),
        ("ensemble", {"section": "Map", "colour": "clusters of toy/cluster", "clusters": "0"}),
        ("compare", {"view": HOSTILE, "place": HOSTILE}),
    ],
)
def test_links_of_strangers__break_nothing(places, name, query):
    made = page(places, name, **query)
    said = texts(made.panel())
    assert said
    assert not any("<img src=x" in one for one in said)


def test_wrong_conditions__have_a_caret_below(places):
    made = page(places, "ensemble", section="Query", where="accuracy > nothing")
    said = next(one for one in texts(made.panel()) if "role='alert'" in one)
    lines = re.sub(r"<[^>]*>", "", said).splitlines()
    assert html.unescape(lines[1]).strip() == "accuracy > nothing"
    assert lines[2].index("^") == lines[1].replace("&gt;", ">").index("nothing")


def test_boxes__choose_configurations_of_the_map(places):
    view = page(places, "ensemble", section="Map").view
    found = view.mapped()
    view._drawn(found)
    box, _ = view.map._streams
    box.event(bounds=(-100, -100, 100, 100))
    assert view.box == [-100, -100, 100, 100]
    assert len(view.chosen()) == 60
    view._on_lasso(np.array([[0, -100], [100, -100], [100, 100], [0, 100]]))
    assert view.box is None
    assert 0 < len(view.chosen()) < 60
    assert (found[0][view.chosen(), 0] >= 0).all()
    view.look = 3
    assert any("60 configurations chosen" in one or "configurations chosen" in one
               for one in texts(view._chosen_body))  # fmt: skip


def test_maps__that_were_computed_are_offered(places):
    view = page(places, "ensemble", section="Map", source="toy/map", colour="accuracy").view
    assert list(view.maps) == ["toy/map"]
    xy, colour, numbers = view.mapped()
    assert xy.shape == (60, 2)
    np.testing.assert_allclose(colour, numbers % 10 / 10)


def test_large_maps__are_images_by_datashader(monkeypatch):
    import holoviews as hv

    from lsg_ray.explore.maps import Map, fewer

    rng = np.random.default_rng(0)
    xy = rng.normal(size=(10_000, 2)).astype(np.float32)
    for colour in (None, xy[:, 0]):
        made = Map(xy, colour, "c", lambda _: None, lambda _: None)
        drawn = hv.render(made.plot)
        source = next(r.data_source for r in drawn.renderers if "image" in r.data_source.data)
        values = np.ma.masked_invalid(source.data["image"][0])
        if colour is not None:
            assert abs(values.max() - colour.max()) < 0.5  # colours are not added up
        made.mark(np.arange(5))
    assert len(fewer(rng.normal(size=(500, 2)))) <= 40


def test_slices__choose_dimensions_and_parts(places):
    result = {place.name: place for place in places}["toy/moments"].result()
    made = Slice(result)
    made.variable = "C"
    assert (made.across, made.down) == ("weight_", "weight")
    assert made.chosen().shape == (15, 15)
    made.part = "LB"
    assert made.chosen().shape == (12, 12)
    made.down = "none"
    made.at = {"weight": 99}
    assert made.chosen().shape == (12,)
    np.testing.assert_array_equal(made.chosen(), result["C"][11, :12])
    made.variable = "m"
    assert made.others() == []


def test_results__have_the_figures_of_their_stage(places):
    place = {place.name: place for place in places}["toy/overlaps"]
    sections = figures({place: place.result()})
    assert sections[0].png.startswith(b"\x89PNG")
    assert summary(place, place.result())["stage"] == "overlaps"


def test_comparison__draws_both_on_the_same_axes(places):
    by_name = {place.name: place for place in places}
    view = page(places, "overlaps", view="compare").view
    assert list(view.offered) == ["toy/overlaps-LB"]
    view.panel()
    assert view.others == ["toy/overlaps-LB"]
    assert view.as_command().count("overlaps") == 2
    results = {name: by_name["toy/overlaps"].result() for name in ("a", "b", "c")}
    (drawn,) = side_by_side(results, view.variable)
    assert len(drawn.object) == 3
    several = [by_name["toy/moments"].result().isel(weight=slice(n)) for n in (15, 12, 4)]
    images = side_by_side(dict(zip("abc", several, strict=True)), "C")
    limits = {one.object.opts.get("plot").kwargs["clim"] for one in images}
    assert len(images) == 3
    assert len(limits) == 1


def test_what_is_compared__is_one_or_more_of_its_kind(places):
    more = [place._replace(name=f"copy {n}") for n in range(9) for place in places
            if place.name == "toy/overlaps"]  # fmt: skip
    everything = [*places, *more]
    names = ["copy 0", "copy 4", "toy/moments", HOSTILE]
    view = Page(everything, {"place": "toy/overlaps", "view": "compare",
                             "others": json.dumps(names)}).view  # fmt: skip
    view.panel()
    assert view.others == ["copy 0", "copy 4"]
    menu = pn.widgets.CheckBoxGroup(options=list(view.offered), value=view.others)
    for wrong in ([], list(view.offered)):
        view._choose(menu, wrong)
        assert menu.value == view.others == ["copy 0", "copy 4"]
    view._choose(menu, ["copy 1"])
    assert list(view.compared) == ["toy/overlaps", "copy 1"]
    compile(view.as_python(), "copied", "exec")


def test_models__follow_their_sliders(places):
    view = page(places, "model", view="model", x="0.5").view
    assert view.stores
    model = view.load()
    assert view.references is not None
    shown = view._shown(model)
    first = view.solution()
    way = [first, first._replace(stable=False), first._replace(converged=False)]
    assert np.isnan(possible(way)).tolist() == [False, True, True]
    view.x = -1.5
    assert view.solution().d > first.d
    assert any("distance d" in one for one in texts(shown))


def test_restore__names_what_it_did_not_understand(places):
    view = page(places, "ensemble").view
    assert restore(view, {"section": "Nowhere", "where": "trial == 0", "points": "3"}) == [
        "section", "points",
    ]  # fmt: skip
    assert view.where == "trial == 0"
    assert isinstance(pn.Row(view.param.where), pn.Row)
