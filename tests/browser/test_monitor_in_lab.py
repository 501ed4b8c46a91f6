"""The monitor's filter, legend, table and setup lane in a real JupyterLab, and what must not break it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import Notebook
from tests.install.lab import RUN_CELL, run_cell

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

HANDLER = """%%handler paint --no-run
import asyncio, runpod
async def paint(job):
    x = job["input"]
    if x.get("slow"):
        for k in range(600):
            runpod.serverless.progress_update(job, {"progress": 40})
            await asyncio.sleep(0.1)
    if x["n"] == 2:
        raise ValueError("no such style: oil")
    await asyncio.sleep(0.02)
    return {"prompt": x.get("prompt"), "n": x["n"]}
runpod.serverless.start({"handler": paint, "concurrency_modifier": lambda n: 3})
"""
OTHER = "%%handler other --no-run\ndef other(job):\n    return 'a lighthouse'"
LOADS = """import time
from kit.api import session
from kit.span import Span
session().spans.put(Span("m", "load sdxl", "load", time.time() - 0.4, time.time(), "6.9 GiB more"))
"""
JOBS = """for n in range(8):
    kit.run({"n": n, "prompt": f"a {'lighthouse' if n % 2 else 'dog'}"}, handler="paint").state
kit.run({}, handler="other")
time.sleep(1)"""
SLOW = 'slow = [kit.run({"n": 9, "slow": 1}, handler="paint") for _ in range(2)]; None'
COUNT_SAVES = """() => {
    window.__kit_saves = 0;
    window.jupyterapp.shell.currentWidget.context.saveState.connect((_, state) => {
        if (state === "completed") window.__kit_saves += 1;
    });
}"""
#: what JupyterLab's keys dd, a, b, x and 0 0 would change
CELLS = """() => [window.jupyterapp.shell.currentWidget.content.widgets.length,
    document.querySelectorAll(".jp-Dialog").length]"""
#: colours of all pixels in the picture's plot, most frequent first, as "r,g,b"
INK = """canvas => {
    const g = canvas.getContext("2d");
    const data = g.getImageData(70, 0, canvas.width - 70, canvas.height).data;
    const found = {};
    for (let k = 0; k < data.length; k += 4) {
        if (data[k + 3] < 255) continue;
        const name = `${data[k]},${data[k + 1]},${data[k + 2]}`;
        found[name] = (found[name] || 0) + 1;
    }
    return found;
}"""
#: how often a card paints within so many ms: every painting begins with a cleared canvas
PAINTS = """ms => new Promise(done => {
    const clear = CanvasRenderingContext2D.prototype.clearRect;
    let count = 0;
    CanvasRenderingContext2D.prototype.clearRect = function (...box) {
        if (!this.canvas.classList.contains("kit-over")) count += 1;
        return clear.apply(this, box);
    };
    setTimeout(() => {
        CanvasRenderingContext2D.prototype.clearRect = clear;
        done(count);
    }, ms);
})"""
FAILED, COMPLETED, RUNNING = "209,73,31", "10,133,96", "58,142,224"


def inked(card: Any) -> dict[str, int]:
    told: dict[str, int] = card.locator(".kit-canvas").first.evaluate(INK)
    return told


def shown(card: Any) -> str:
    return str(card.locator(".kit-filter-count").inner_text())


def until_shown(card: Any, text: str) -> None:
    card.locator(".kit-filter-count", has_text=text).wait_for()


def test_a_person_finds_the_job_they_look_for(
    notebook: Callable[..., Notebook], page: Page
) -> None:
    book = notebook("%load_ext kit", "kit.panel()", HANDLER, OTHER, LOADS + JOBS, "1")
    run_cell(page, 0)
    run_cell(page, 1)

    # nothing yet: it says what to do next, and then what comes after that
    card = book.card(1)
    assert "%%handler on the first line" in card.locator(".kit-empty").inner_text()
    for cell in (2, 3):
        run_cell(page, cell)
    card = book.card(1)
    card.locator(".kit-empty", has_text="kit.run(").wait_for()
    run_cell(page, 4)

    card = book.card(1)
    card.locator(".kit-counts", has_text="8 completed").wait_for()
    assert card.locator(".kit-filter").is_hidden()
    page.wait_for_timeout(500)
    before = inked(card)
    assert before[COMPLETED] > 200

    # by a click on a count: the others go faint, and figures are of those shown
    card.locator(".kit-count", has_text="failed").click()
    until_shown(card, "1 of 9 shown")
    page.wait_for_function(
        f"c => ({INK})(c)['{FAILED}'] > 20 && !(({INK})(c)['{COMPLETED}'] > 20)",
        arg=card.locator(".kit-canvas").first.element_handle(),
    )
    card.locator(".kit-pill", has_text="FAILED").wait_for()

    # by keys alone: slash, a text that only a payload holds, escape
    plot = card.locator(".kit-plot")
    card.locator(".kit-filter .kit-tool").click()
    plot.focus()
    page.keyboard.press("/")
    assert page.evaluate("() => document.activeElement.type") == "search"
    cells = page.evaluate(CELLS)
    page.keyboard.type("dd0 0abx")
    card.locator(".kit-filter-text").fill("")
    assert page.evaluate(CELLS) == cells
    page.keyboard.type("LIGHTHOUSE")
    until_shown(card, "5 of 9 shown")
    card.locator("select[aria-label='Only this handler']").select_option("paint")
    until_shown(card, "4 of 9 shown")
    card.locator("select[aria-label='Only this state']").select_option("completed")
    card.locator("select[aria-label='Only this version']").select_option("v1")
    card.locator("select[aria-label='Only this target']").select_option("local")
    until_shown(card, "4 of 9 shown")
    # counts and figures are of those that the rest of the filter lets through
    assert card.locator(".kit-count:visible b").all_inner_texts() == ["4", "0", "0", "0", "0"]
    card.locator(".kit-figures", has_text="of those shown").wait_for()
    # nothing of another job stays when nothing matches
    card.locator(".kit-filter-text").fill("no job holds this")
    until_shown(card, "0 of 9 shown")
    card.locator(".kit-no-match", has_text="No job matches the filter.").wait_for()
    assert card.locator(".kit-job-head").is_hidden()
    card.locator(".kit-filter-text").fill("LIGHTHOUSE")
    until_shown(card, "4 of 9 shown")
    card.locator(".kit-job-head").wait_for()
    # keys move over what is shown only
    plot.focus()
    page.keyboard.press("End")
    names = {card.locator(".kit-job-id").inner_text()}
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
        names.add(card.locator(".kit-job-id").inner_text())
    for _ in range(4):
        page.keyboard.press("ArrowDown")
        names.add(card.locator(".kit-job-id").inner_text())
    assert len(names) <= 4

    # it survives a re-run of the cell, it is not in the notebook, and escape ends it
    run_cell(page, 1)
    card = book.card(1)
    until_shown(card, "4 of 9 shown")
    page.evaluate(COUNT_SAVES)
    card.locator(".kit-filter-text").press("Control+s")
    page.wait_for_function("() => window.__kit_saves > 0")
    book.save()
    assert "LIGHTHOUSE" not in book.path.read_text(encoding="utf-8")
    card.locator(".kit-filter-text").focus()
    page.keyboard.press("Escape")
    assert shown(card) == "9 of 9 shown"
    page.keyboard.press("Escape")
    assert card.locator(".kit-filter").is_hidden()
    assert page.evaluate("() => document.activeElement.className") == "kit-plot"

    # the legend shows what occurs, and no more
    card.locator(".kit-tool", has_text="Legend").click()
    signs = card.locator(".kit-legend li:visible").all_inner_texts()
    assert "failed" in signs
    assert any("setup" in sign for sign in signs)
    assert not any("cancelled" in sign or "torch" in sign for sign in signs)
    card.locator(".kit-tool", has_text="Legend").click()

    # the cursor reads the setup lane too
    box = plot.bounding_box()
    label = card.locator(".kit-label")
    found = ""
    for x in range(66, int(box["width"]) - 10, 5):
        page.mouse.move(box["x"] + x, box["y"] + 40)
        found = label.inner_text() if label.is_visible() else ""
        if found.startswith("load sdxl"):
            break
    assert "6.9 GiB more" in found, found

    # the table: out of sight, reached by the keyboard, and its buttons choose a job
    page.wait_for_timeout(1_200)
    table = card.locator(".kit-joblist")
    assert table.bounding_box()["height"] <= 1
    assert table.locator("tbody tr").count() == 9
    assert "9 jobs, newest first" in table.locator("caption").inner_text()
    pick = table.locator(".kit-joblist-pick").nth(3)
    pick.focus()
    assert table.bounding_box()["height"] > 100
    page.keyboard.press("Enter")
    assert card.locator(".kit-job-id").inner_text() == f"job {pick.inner_text()}"


def test_what_people_do_to_a_page(notebook: Callable[..., Notebook], page: Page) -> None:
    book = notebook("%load_ext kit", HANDLER, JOBS.replace("kit.run({}", "0 and kit.run({}"),
                    *["1"] * 25, 'session().cards["paint"].show()', SLOW)  # fmt: skip
    page.evaluate(RUN_CELL, 0)
    run_cell(page, 0)
    run_cell(page, 1)
    source = "import time\nfrom kit.api import session\n"
    page.evaluate("([n, text]) => window.jupyterapp.shell.currentWidget.content.widgets[n]"
                  ".model.sharedModel.setSource(text)", [2, source + JOBS.replace(
                      'kit.run({}, handler="other")', "1")])  # fmt: skip
    run_cell(page, 2)
    run_cell(page, 28)
    run_cell(page, 29)

    # two views of one card: both live, each with a timeline of its own
    below = book.card(28)
    below.locator(".kit-counts", has_text="2 running").wait_for()
    page.wait_for_timeout(400)
    assert inked(below)[RUNNING] > 50
    below.locator(".kit-tool", has_text="Fit").click()

    # an impatient double click selects once, and does not run, cancel or mark text
    plot = below.locator(".kit-plot")
    box = plot.bounding_box()
    page.mouse.dblclick(box["x"] + 75, box["y"] + 40)
    assert page.evaluate("() => String(getSelection())") == ""
    below.locator(".kit-counts", has_text="2 running").wait_for()

    # out of view and back, at another width: drawn anew, at the new size
    above = book.card(1)
    page.wait_for_timeout(300)
    assert inked(above)[COMPLETED] > 50
    page.set_viewport_size({"width": 800, "height": 1000})
    below = book.card(28)
    page.wait_for_timeout(600)
    sizes = below.locator(".kit-canvas").first.evaluate(
        "c => [c.getBoundingClientRect().width, c.parentElement.clientWidth, c.width]"
    )
    assert abs(sizes[0] - sizes[1]) <= 1
    assert inked(below)[RUNNING] > 50
    page.set_viewport_size({"width": 1280, "height": 1000})

    # a reload: the whole history is there again, with what runs and how far it is
    book.reload()
    below = book.card(28)
    below.locator(".kit-counts", has_text="7 completed").wait_for()
    below.locator(".kit-counts", has_text="2 running").wait_for()
    page.wait_for_timeout(600)
    assert inked(below)[RUNNING] > 50

    # motion: while jobs run the picture moves, and much less for those who ask for calm
    below.locator(".kit-tool", has_text="Live").click()
    moving = page.evaluate(PAINTS, 2_000)
    page.emulate_media(reduced_motion="reduce")
    page.wait_for_timeout(600)
    still = page.evaluate(PAINTS, 2_000)
    page.emulate_media(reduced_motion="no-preference")
    assert still <= 12, (moving, still)
    assert moving >= 2 * still, (moving, still)

    # a restart: no live view is left that pretends, and a new one is whole
    page.evaluate(
        "() => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
    )
    page.wait_for_function(
        "() => document.querySelectorAll('.jp-Notebook .kit-card').length === 0", timeout=60_000
    )
    book.lab.settle(page)
    book.show(0)
    run_cell(page, 0)
    run_cell(page, 1)
    assert "kit.run(" in book.card(1).locator(".kit-empty").inner_text()
