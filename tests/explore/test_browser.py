"""The page in a real browser: Chromium, headless, where there is one.

Nothing may be asked of another host, no script of a stranger may run, and what is chosen, linked
and copied must be what is seen.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("no Chromium is found; install it to run these tests", allow_module_level=True)
playwright = pytest.importorskip(
    "playwright.sync_api", reason="no Playwright is found; pip install playwright"
)

#: Milliseconds that anything may take on a busy machine.
PATIENCE = 120_000


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="module")
def server(run_folder):
    """Address of a page over the run, served by the command as users start it."""
    words = [sys.executable, "-m", "lsg_ray.cli", "explore", str(run_folder), "--json"]
    with subprocess.Popen([*words, "--no-browser"], stdout=subprocess.PIPE, text=True) as run:
        yield json.loads(run.stdout.readline())["url"]
        run.terminate()


@pytest.fixture
def opened(browser, server):
    """Function that opens a view; at the end, nothing must have gone wrong in the browser."""
    faults, pages = [], []

    def open_view(query, width=1280, until="link"):
        page = browser.new_page(viewport={"width": width, "height": 1600})
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda m: m.type == "error" and faults.append(m.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        page.on("requestfailed", lambda request: faults.append(request.url))
        pages.append(page)
        page.goto(f"{server}&{query}")
        shown = page.get_by_text("Copy link") if until == "link" else page.get_by_role(until)
        shown.first.wait_for()
        return page

    yield open_view
    for page in pages:
        page.close()
    assert not faults


def test_the_ensemble__its_query_and_its_links(opened):
    page = opened("")
    assert "token" not in page.url
    page.get_by_text("content_hash").wait_for()
    page.get_by_role("button", name="Query").click()
    where = page.get_by_label("Condition")
    where.fill("accuracy > 0.8 and nothing")
    where.press("Enter")
    page.get_by_role("alert").wait_for()
    assert "^^^^" in page.get_by_role("alert").inner_text()
    where.fill("accuracy > 0.8")
    where.press("Enter")
    page.get_by_text("6 configurations.").wait_for()
    page.wait_for_url(re.compile(r"section=Query.*where=accuracy"))
    again = opened(page.url.partition("?")[2])
    again.get_by_text("6 configurations.").wait_for()
    assert again.get_by_label("Condition").input_value() == "accuracy > 0.8"
    again.get_by_text("lsg query").wait_for()


def test_a_box_on_the_map__chooses(opened):
    page = opened("place=toy/ensemble&section=Map&colour=accuracy")
    page.get_by_text("60 configurations. Choose some").wait_for()
    page.locator(".bk-tool-icon-box-select").first.click()
    area = page.locator("canvas").first.bounding_box()
    x, y = area["x"], area["y"]
    chosen = page.get_by_text("configurations chosen")
    for _ in range(5):  # on a busy machine, a pause in between makes it another gesture
        page.mouse.move(x + 0.2 * area["width"], y + 0.2 * area["height"])
        page.mouse.down()
        page.mouse.move(x + 0.8 * area["width"], y + 0.8 * area["height"], steps=20)
        page.mouse.up()
        with contextlib.suppress(playwright.TimeoutError):
            chosen.wait_for(timeout=15_000)
            break
    assert chosen.is_visible()
    page.get_by_text("Weights by layer").wait_for()
    page.wait_for_url(re.compile("box="))
    page.get_by_text("Nearest configurations").wait_for()
    with page.expect_download(timeout=PATIENCE) as download:
        page.get_by_text("Save .npz").first.click()
    with np.load(download.value.path()) as arrays:
        assert "configuration" in arrays


def test_strangers_results__are_text(opened):
    page = opened("place=toy/stranger")
    page.get_by_text("<img src=x onerror=alert(1)>").first.wait_for()
    page.get_by_text("How it was made").wait_for()
    box = page.locator("canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(1000)  # for the tooltip of the curve
    assert page.locator("img[src=x]").count() == 0


def test_damaged_results__say_so_and_others_are_still_there(opened):
    page = opened("place=toy/damaged", until="alert")
    assert "damaged.zarr" in page.get_by_role("alert").inner_text()
    page.get_by_label("Store or result").select_option("toy/overlaps")
    page.get_by_role("img").first.wait_for()


@pytest.mark.parametrize(("theme", "width"), [("default", 1280), ("dark", 400)])
def test_a_model__in_both_themes_and_widths(opened, theme, width):
    page = opened(f"place=toy/model&view=model&x=0.5&theme={theme}", width)
    page.get_by_text("Nearest stored configurations").wait_for()
    energy = page.get_by_role("row").filter(has_text="energy e (nat)")
    before = energy.inner_text()
    page.locator(".noUi-handle").first.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(r"x=0\.[67]"))
    deadline = time.monotonic() + PATIENCE / 1000
    while energy.inner_text() == before and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    assert energy.inner_text() != before
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", colour)[:3])) > 380
    assert light == (theme == "default")


def test_a_store_that_grows__is_followed(browser, ensemble_of, tmp_path):
    url = str(tmp_path / "growing.zarr")
    weights = np.ones((40, 4))
    ensemble_of(weights, url=url, block_size=10, blocks=[0])
    words = [sys.executable, "-m", "lsg_ray.cli", "explore", url, "--json", "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as run:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(json.loads(run.stdout.readline())["url"])
        page.get_by_text("10 of 40").wait_for()
        time.sleep(1)
        ensemble_of(weights, url=url, block_size=10, blocks=[1, 2])
        page.get_by_text("30 of 40").wait_for()
        page.get_by_text("configurations a second").wait_for()
        ensemble_of(weights, url=url, block_size=10, blocks=[3])
        page.get_by_text("complete", exact=True).first.wait_for()
        page.close()
        run.terminate()
