"""The style of pages: text can be read in light, in dark and in print."""

import re

import pytest

from lsg_ray.report.page import template

CSS = template("style.css.j2").render()
#: Least contrast of text, by WCAG 2 (AA).
LEAST = 4.5


def variables(block):
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6});", block))


LIGHT = variables(CSS[: CSS.index("@media")])
DARK = LIGHT | variables(CSS[CSS.index("prefers-color-scheme: dark") : CSS.index("* { box-sizing")])
PRINT = LIGHT | variables(CSS[CSS.index("@media print") :])


def luminance(colour):
    digits = colour[1:]
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    shares = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast__of_black_on_white_is_21():
    assert contrast("#000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
@pytest.mark.parametrize("text", ["ink", "soft", "accent", "good", "bad"])
@pytest.mark.parametrize("behind", ["paper", "panel"])
def test_text__has_enough_contrast(scheme, text, behind):
    assert contrast(scheme[text], scheme[behind]) >= LEAST


def test_schemes__differ():
    assert LIGHT["paper"] == PRINT["paper"] == "#fff"
    assert luminance(DARK["paper"]) < 0.05


def test_print__has_no_links_and_keeps_figures_whole():
    printed = CSS[CSS.index("@media print") :]
    assert re.search(r"nav, \.files \{ display: none; \}", printed)
    assert re.search(r"section\.figure[^{]*\{ break-inside: avoid; \}", printed)


def test_keyboard__shows_where_it_is():
    assert "a:focus-visible { outline: 2px solid" in CSS
