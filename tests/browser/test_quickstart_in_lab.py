"""A person opens the quickstart, runs it, looks at a job, exports, and finds the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import ROOT, Notebook
from tests.install.lab import outputs

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

QUICKSTART = ROOT / "notebooks" / "01_quickstart.ipynb"
ALL_RAN = """() => {
    const panel = window.jupyterapp.shell.currentWidget;
    const code = panel.content.widgets.filter(w => w.model.type === "code");
    return panel.sessionContext.session.kernel.status === "idle"
        && code.every(w => w.model.executionCount !== null);
}"""
#: where the canvas has a run of the given colour: the middle of the widest one in its first lane
BAR = """([canvas, rgb]) => {
    const ctx = canvas.getContext("2d"), w = canvas.width, h = canvas.height;
    const data = ctx.getImageData(0, 0, w, h).data;
    let best = null;
    for (let y = 0; y < h; y += 2) {
        let start = -1;
        for (let x = 0; x <= w; x++) {
            const i = 4 * (y * w + x);
            const hit = x < w && Math.abs(data[i] - rgb[0]) + Math.abs(data[i + 1] - rgb[1])
                + Math.abs(data[i + 2] - rgb[2]) < 24 && data[i + 3] > 200;
            if (hit && start < 0) start = x;
            if (!hit && start >= 0) {
                if (x - start > 3 && (!best || x - start > best.run))
                    best = {x: (start + x) / 2 / w, y: y / h, run: x - start};
                start = -1;
            }
        }
    }
    return best;
}"""
COMPLETED = [0x0B, 0x8F, 0x6A]
FAILED = [0xD1, 0x49, 0x1F]


def click_bar(page: Page, card: Any, rgb: list[int]) -> None:
    """Click the middle of a bar of this colour in the card's timeline."""
    canvas = card.locator("canvas.kit-canvas").first
    drawn = page.wait_for_function(BAR, arg=[canvas.element_handle(), rgb], timeout=30_000)
    place = drawn.json_value()
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + place["x"] * box["width"], box["y"] + place["y"] * box["height"])


def cell_with(page: Page, text: str) -> int:
    found: int = page.evaluate(
        """text => window.jupyterapp.shell.currentWidget.content.widgets.findIndex(
            w => w.model.type === "code" && w.model.sharedModel.source.startsWith(text))""",
        text,
    )
    assert found >= 0, text
    return found


def test_run_all_look_at_a_job_export(notebook: Callable[..., Notebook], page: Page) -> None:
    book = notebook(copy=QUICKSTART)
    book.execute("notebook:run-all-cells")
    page.wait_for_function(ALL_RAN, timeout=150_000)
    for index in range(
        page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length")
    ):
        kind = page.evaluate(
            "n => window.jupyterapp.shell.currentWidget.content.widgets[n].model.type", index
        )
        if kind == "code":
            errors = [o for o in outputs(page, index) if o["output_type"] == "error"]
            assert not errors, errors

    at = cell_with(page, "%%handler classify")
    card = book.card(at)
    assert card.locator(".kit-name").inner_text() == "classify"
    card.locator(".kit-counts", has_text="25 completed").wait_for()
    page.wait_for_timeout(600)
    book.shot("quickstart_light_1280")

    # the one job that failed: its error, at its line in the cell
    click_bar(page, card, FAILED)
    card.locator(".kit-failure").first.wait_for()
    shown = card.locator(".kit-pane").inner_text()
    assert "FAILED" in shown
    assert "UnidentifiedImageError" in shown
    assert "In [" in shown

    # one that went well: its picture, a real one
    click_bar(page, card, COMPLETED)
    picture = card.locator(".kit-media img, .kit-gallery img").first
    picture.wait_for()
    size = picture.evaluate(
        "async i => { await i.decode(); return [i.naturalWidth, i.naturalHeight]; }"
    )
    assert size == [420, 200]
    assert picture.get_attribute("src").startswith(("blob:", "data:image/png"))
    card.locator("text=Logs").click()
    assert "picture" in card.locator(".kit-log").inner_text()
    card.locator("text=Output").first.click()
    book.shot("quickstart_job_light_1280")

    # the notebook has exported already; the button writes the same place again
    worker = book.path.parent / "worker"
    before = (worker / "handler.py").stat().st_mtime_ns
    card.locator("button", has_text="Export").click()
    card.locator("button", has_text="Write and verify").click()
    card.locator('.kit-outcome[data-verdict="equal"]').wait_for(timeout=90_000)
    card.locator(".kit-export >> text=Close").click()
    assert (worker / "handler.py").stat().st_mtime_ns != before
    assert "def classify(job):" in (worker / "handler.py").read_text()
    assert json.loads((worker / "test_input.json").read_text())["input"]["image"]

    for theme, width in (
        ("JupyterLab Dark", 1280),
        ("JupyterLab Dark", 800),
        ("JupyterLab Light", 800),
    ):
        book.theme(theme)
        page.set_viewport_size({"width": width, "height": 1100})
        page.wait_for_timeout(800)
        card = book.card(at)
        box = card.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width, "the card is wider than the window"
        book.shot(f"quickstart_{theme.split()[1].lower()}_{width}")
