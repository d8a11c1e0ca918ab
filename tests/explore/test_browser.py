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
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from urllib.parse import quote

import numpy as np
import pytest

from .conftest import HOSTILE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("no Chromium is found; install it to run these tests", allow_module_level=True)
playwright = pytest.importorskip(
    "playwright.sync_api", reason="no Playwright is found; pip install playwright"
)

#: Milliseconds that anything may take on a busy machine.
PATIENCE = 60_000
#: Defines _ranges(): of each image with two axes of numbers, where its x-axis starts and ends.
RANGES = """
window._ranges = () => Bokeh.documents.flatMap((d) => Array.from(d._all_models.values()))
  .filter((m) => m.type === 'Figure' && m.renderers.some((r) => r.glyph?.type === 'Image'))
  .map((m) => [m.x_range.start, m.x_range.end].map((x) => x.toFixed(3)).join())
"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


class _JobServer(BaseHTTPRequestHandler):
    """Answers as the job server of a Ray cluster that has one job, with a hostile log."""

    def do_GET(self):
        job = {
            "type": "SUBMISSION", "submission_id": "lsg-of-tests", "status": "SUCCEEDED",
            "entrypoint": "lsg sample", "message": "", "start_time": 1000, "end_time": 13000,
            "metadata": {"lsg_stage": "sample", "lsg_out": HOSTILE}, "driver_exit_code": 0,
        }  # fmt: skip
        answers = {
            "/api/version": {
                "version": "4",
                "ray_version": "2",
                "ray_commit": "",
                "session_name": "",
            },
            "/api/jobs/": [job],
            "/api/jobs/lsg-of-tests": job,
            "/api/jobs/lsg-of-tests/logs": {"logs": f"a line\n{HOSTILE}\n"},
        }
        body = json.dumps(answers.get(self.path, {})).encode()
        self.send_response(200 if self.path in answers else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def job_server():
    """Address of a job server."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), _JobServer)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()


@pytest.fixture(scope="module")
def server(run_folder, relu_store, job_server):
    """Address of a page over the run, served by the command as users start it."""
    words = [sys.executable, "-m", "lsg_ray.cli", "explore", str(run_folder), relu_store.url]
    words += ["--address", job_server, "--json", "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as run:
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
        page.add_init_script(RANGES)
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
    where.press_sequentially("acc")
    page.get_by_role("button", name="accuracy", exact=True).click()
    page.wait_for_function("e => e.value === 'accuracy'", arg=where.element_handle())
    where.press("End")
    where.press_sequentially(" > 0.8 and nothing")
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


def test_inputs_are_seen_through_the_first_layer(opened):
    page = opened("place=ensemble.zarr&section=Map&box=[-1e9,-1e9,1e9,1e9]")
    page.get_by_role("img", name="Weights of 12 units of the first layer").wait_for()
    page.get_by_text("Weights by layer").wait_for()


def drag(page, canvas, start, end):
    """Drag on a plot, between two places given as shares of its canvas."""
    area = canvas.bounding_box()
    (x0, y0), (x1, y1) = (
        (area["x"] + x * area["width"], area["y"] + y * area["height"]) for x, y in (start, end)
    )
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=20)
    page.mouse.up()


def test_several_are_compared__and_their_axes_move_together(opened):
    names = ["toy/moments-2", "toy/moments-3"]
    page = opened(f"place=toy/moments&view=compare&variable=C&others={quote(json.dumps(names))}")
    page.wait_for_function("() => Bokeh.documents.length && _ranges().length >= 3", arg=None)
    before = page.evaluate("_ranges()")
    assert len(before) == 3
    for name in names:
        assert page.get_by_label(name, exact=True).is_checked()
    drag(page, page.locator("canvas").first, (0.3, 0.3), (0.5, 0.5))  # the tool is a box that zooms
    page.wait_for_function("before => _ranges()[0] !== before", arg=before[0])
    page.wait_for_function("() => new Set(_ranges()).size === 1")
    page.get_by_label(names[1], exact=True).uncheck()
    page.wait_for_url(re.compile("others=.*moments-2.*"))
    page.wait_for_function("() => _ranges().length === 2")


def test_branches_are_chosen__in_the_tree_and_by_keyboard(opened):
    page = opened("place=toy/cluster&view=tree")
    page.get_by_text("Choose a branch").wait_for()
    canvas = page.locator("canvas").first
    canvas.wait_for()
    area = canvas.bounding_box()
    chosen = page.get_by_text("of 60 configurations")
    for _ in range(5):
        page.mouse.click(area["x"] + area["width"] / 2, area["y"] + 0.15 * area["height"])
        with contextlib.suppress(playwright.TimeoutError):
            chosen.wait_for(timeout=15_000)
            break
    page.wait_for_url(re.compile(r"branch=\d+"))
    page.get_by_text("Configurations of the branch").wait_for()
    page.get_by_text("Weights by layer").wait_for()
    menu = page.get_by_label("Branch", exact=True)
    menu.select_option(index=1)
    page.get_by_text(re.compile(r"^\d+ of 60 configurations")).wait_for()


def test_a_loss_plane__turns_with_its_slider(opened):
    page = opened("place=ensemble.zarr&view=plane&first=1&second=2&third=3")
    highest = page.get_by_role("row").filter(has_text="highest on the plane")
    highest.wait_for()
    before = highest.inner_text()
    handle = page.locator(".noUi-handle").first
    for _ in range(20):
        handle.press("ArrowRight")
    page.wait_for_url(re.compile(r"angle=\d+"))
    deadline = time.monotonic() + PATIENCE / 1000
    while highest.inner_text() == before and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    assert highest.inner_text() != before


def test_clusters_colour_the_map(opened):
    page = opened("place=toy/ensemble&section=Map&colour=clusters of toy/cluster")
    page.get_by_text("60 configurations. Choose some").wait_for()
    page.get_by_label("Clusters").or_(page.get_by_text("Clusters: 4")).first.wait_for()


def test_jobs_and_their_logs__are_text(opened, job_server):
    page = opened(f"place=jobs of {job_server}")
    page.get_by_text("lsg-of-tests").first.wait_for()
    page.get_by_label("Log of").select_option("lsg-of-tests")
    page.get_by_text("a line").wait_for()
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("theme", ["default", "dark"])
@pytest.mark.parametrize(
    ("query", "until"),
    [
        ("place=toy/ensemble&section=Query", "6 configurations."),
        ("place=toy/ensemble&section=Map&box=[-9,-9,9,9]", "Nearest configurations"),
        ("place=toy/overlaps", "How it was made"),
        ("place=toy/cluster&view=tree&branch=118", "Configurations of the branch"),
        ("place=toy/model&view=model", "Nearest stored configurations"),
        ("place=toy/overlaps&view=compare", "toy/overlaps-LB"),
        ("place=ensemble.zarr&view=plane", "lowest on the plane"),
    ],
)
def test_views__have_no_faults_that_axe_finds(opened, query, until, theme):
    axe = pytest.importorskip(
        "axe_playwright_python", reason="no axe is found; pip install axe-playwright-python"
    )
    where = "&where=accuracy > 0.8" if "Query" in query else ""
    page = opened(f"{query}{where}&theme={theme}")
    page.get_by_text(until).locator("visible=true").first.wait_for()
    page.evaluate((files(axe) / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})"
        ".then(r => r.violations.map(v => [v.id, ...v.nodes.map(n => n.html.slice(0, 200))]))"
    )
    assert found == []


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
    page.get_by_label("Store, result or cluster").select_option("toy/overlaps")
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
