"""Tables of figures: what was drawn is what is written."""

import csv
import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from lsg_ray.errors import InputError
from lsg_ray.report import style
from lsg_ray.report.figure_data import COLUMNS, figure_data
from lsg_ray.report.section import FORMATS, chosen_formats, section, typeset, with_files


def rows_of(table):
    header, *rows = csv.reader(io.StringIO(table.decode()))
    assert tuple(header) == COLUMNS
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def drawn():
    figure, (left, right) = style.panels(2.0, 2)
    left.plot([1, 2], [3.5, np.nan], label="a curve")
    left.errorbar([1, 2], [5, 6], [0.5, 0.25], fmt="o", label="points")
    left.axhline(0.25)
    left.fill_between([0, 1], [0, 0], [1, 1])
    right.stairs([2, 3], [0, 1, 3])
    right.scatter([7], [8], c=[9.5])
    style.panel(left, "a", "title")
    return figure


def test_table__has_curves_errors_levels_and_histograms():
    (table,) = figure_data(drawn()).values()
    rows = rows_of(table)
    curve = [row for row in rows if row["series"] == "a curve"]
    assert [(row["panel"], row["kind"], row["x"], row["y"]) for row in curve] == [
        ("a: title", "line", "1", "3.5"), ("a: title", "line", "2", ""),
    ]  # fmt: skip
    points = [row for row in rows if row["series"] == "points"]
    assert [(row["y"], row["y_error"], row["x_error"]) for row in points] == [
        ("5", "0.5", ""), ("6", "0.25", ""),
    ]  # fmt: skip
    assert [row["y"] for row in rows if row["kind"] == "level"] == ["0.25"]
    bins = [row for row in rows if row["kind"] == "histogram"]
    assert [(row["x"], row["y"], row["x_error"]) for row in bins] == [
        ("0.5", "2", "0.5"), ("2", "3", "1"),
    ]  # fmt: skip
    (dot,) = [row for row in rows if row["value"]]
    assert (dot["x"], dot["y"], dot["value"]) == ("7", "8", "9.5")
    assert any(row["kind"] == "outline" for row in rows)


def test_images__are_tables_with_their_axes():
    figure = Figure()
    image = figure.subplots().imshow([[1, 2], [3, np.nan]], extent=(0, 4, 2, 0))
    figure.colorbar(image)
    tables = figure_data(figure)
    assert list(tables) == ["-image-1"]
    assert tables["-image-1"] == b",1,3\n0.5,1,2\n1.5,3,nan\n"


def test_many_images__are_rows_of_one_table():
    figure = Figure()
    for axes in figure.subplots(2, 3).ravel():
        axes.imshow([[0.5]])
    (table,) = figure_data(figure).values()
    rows = rows_of(table)
    assert [row["series"] for row in rows] == [f"image {n}" for n in range(1, 7)]
    assert {row["value"] for row in rows} == {"0.5"}


def test_meshes_and_contours__have_their_values():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    left.pcolormesh([0, 2, 4], [0, 1], [[5, 6]])
    right.contourf([0, 1], [0, 1], [[0, 1], [1, 2]], levels=[0.5, 1.5], extend="both")
    right.contour([0, 1], [0, 1], [[0, 1], [1, 2]], levels=[0.75])
    tables = figure_data(figure)
    assert tables["-image-1"] == b",1,3\n0.5,5,6\n"
    rows = rows_of(tables[""])
    assert {row["kind"] for row in rows} == {"contour"}
    levels = {name: {row["value"] for row in rows if row["series"] == name}
              for name in ("contours 1", "contours 2")}  # fmt: skip
    assert levels == {"contours 1": {"", "1"}, "contours 2": {"0.75"}}


def test_names_that_are_formulas_elsewhere__are_text():
    figure = Figure()
    figure.subplots().plot([1], [2], label="=1+2")
    (table,) = figure_data(figure).values()
    assert rows_of(table)[0]["series"] == "'=1+2"


def test_files__are_the_same_twice_and_have_no_dates():
    first, second = (with_files(section("k", "T", drawn(), "c", "a")).files for _ in range(2))
    assert list(first) == [".png", ".pdf", ".svg", ".csv"]
    assert first == second
    assert first[".pdf"].startswith(b"%PDF")
    assert b"CreationDate" not in first[".pdf"]
    assert b"<svg" in first[".svg"]
    assert b"<dc:date>" not in first[".svg"]


def test_files_that_cannot_be_made__are_said_to_be_missing(monkeypatch):
    def failing(_figure, kind):
        if kind == "pdf":
            raise ValueError("no such\nglyph")
        return b"svg"

    monkeypatch.setattr("lsg_ray.report.section.render_vector", failing)
    result = with_files(section("k", "T", drawn(), "c", "a"))
    assert list(result.files) == [".png", ".svg", ".csv"]
    assert result.missing == "no PDF: ValueError: no such glyph"
    assert result.figure is None

    def lacking(*_):
        raise MemoryError

    monkeypatch.setattr("lsg_ray.report.section.figure_data", lacking)
    with pytest.raises(MemoryError):
        with_files(section("k", "T", drawn(), "c", "a"), ["csv"])


def test_formats__are_known_or_refused():
    assert chosen_formats(["CSV", " png", "png", ""]) == ("png", "csv")
    assert chosen_formats(FORMATS) == FORMATS
    with pytest.raises(InputError, match="gif given; there are png, pdf, svg, csv"):
        chosen_formats(["gif"])


def test_texts__have_minus_signs_and_keep_errors_on_a_line():
    assert typeset("-0.5 ± 0.1 of a-1") == "−0.5\xa0±\xa00.1 of a-1"
