"""Buttons do what they say: while a cell runs, after a reload, when clicked twice, after a restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Notebook
from tests.install.lab import DONE, RUN_CELL, outputs, run_cell

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SLOW = """%%handler
import asyncio
async def handler(job):
    await asyncio.sleep(job["input"]["s"])
    return job["input"]["s"]"""
#: a sync cell that ends when the job has ended, and says whether that was before its own limit
BUSY = """import time
limit = time.monotonic() + 45
while not job.state.final and time.monotonic() < limit:
    time.sleep(0.01)
print(job.state)"""
HAS_PICTURE = """n => {
    const outputs = window.jupyterapp.shell.currentWidget.content.widgets[n].model.outputs;
    for (let i = 0; i < outputs.length; i++) if ("image/png" in outputs.get(i).data) return true;
    return false;
}"""
STATES = "print(*[str(j) for j in kit.jobs(this_session=True)['state']])"


def states(page: Page, cell: int) -> list[str]:
    (told,) = run_cell(page, cell)
    return "".join(told["text"]).split()


@pytest.mark.parametrize("reload", [False, True], ids=["at once", "after a reload"])
def test_cancel_acts_while_a_sync_cell_runs(
    notebook: Callable[..., Notebook], page: Page, reload: bool
) -> None:
    book = notebook("%load_ext kit", SLOW, "job = kit.run({'s': 120})", BUSY)
    for cell in range(3):
        run_cell(page, cell)
    if reload:
        book.reload()
    card = book.card(1)
    card.locator(".kit-counts", has_text="1 running").wait_for()
    page.evaluate(RUN_CELL, 3)
    page.wait_for_timeout(700)
    card = book.card(1)
    card.get_by_role("button", name="Cancel", exact=True).click()
    page.wait_for_function(DONE, arg=3, timeout=60_000)
    # the cell saw it happen: a click that waits for the cell would find IN_PROGRESS here
    assert outputs(page, 3)[0]["text"].split() == ["CANCELLED"]
    card.locator(".kit-counts", has_text="1 cancelled").wait_for()


def test_an_impatient_double_click_runs_once(notebook: Callable[..., Notebook], page: Page) -> None:
    quick = '%%handler --input {"a": 1}\ndef handler(job):\n    return job["input"]'
    book = notebook("%load_ext kit", quick, STATES)
    run_cell(page, 0)
    run_cell(page, 1)
    card = book.card(1)
    card.locator(".kit-counts", has_text="1 completed").wait_for()
    card.get_by_role("button", name="Run", exact=True).dblclick()
    card.locator(".kit-counts", has_text="2 completed").wait_for()
    page.wait_for_timeout(800)
    assert states(page, 2) == ["COMPLETED"] * 2


def test_history_is_there_after_a_reload(notebook: Callable[..., Notebook], page: Page) -> None:
    quick = "%%handler\ndef handler(job):\n    return {'answer': job['input'] * 2}"
    book = notebook("%load_ext kit", quick, "kit.map(range(30)).result()[-1]")
    for cell in range(3):
        run_cell(page, cell)
    book.card(1).locator(".kit-counts", has_text="30 completed").wait_for()
    book.reload()
    card = book.card(1)
    card.locator(".kit-counts", has_text="30 completed").wait_for()
    card.locator(".kit-pane", has_text="answer").wait_for()


def test_without_its_kernel_a_picture_stays_and_no_error(
    notebook: Callable[..., Notebook], page: Page
) -> None:
    quick = '%%handler --input {"a": 1}\ndef handler(job):\n    return "kept for later"'
    book = notebook("%load_ext kit", quick, "import time; time.sleep(2.5)", "1")
    for cell in range(2):
        run_cell(page, cell)
    # the picture is drawn when no cell has run for a second
    page.wait_for_function(HAS_PICTURE, arg=1, timeout=60_000)
    book.save()
    kinds = [set(output.get("data", {})) for output in outputs(page, 1)]
    assert any("application/vnd.jupyter.widget-view+json" in kind for kind in kinds)
    assert any("image/png" in kind for kind in kinds)
    page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel().then(() => true)"""
    )
    page.reload()
    book.lab.settle(page)
    book.show(1)
    page.wait_for_timeout(1_500)
    cell = page.locator('.jp-Notebook-cell[data-windowed-list-index="1"]')
    assert cell.locator("img").first.is_visible()
    table = cell.locator(".kit-static")
    assert table.first.is_visible()
    assert "completed" in table.first.inner_text().lower()
    visible = "n => n.innerText"
    assert "not found" not in cell.evaluate(visible).lower()
    assert "error" not in cell.evaluate(visible).lower()
    book.shot("without_kernel_light_1280")
