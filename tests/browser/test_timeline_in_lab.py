"""The timeline under a person's hands: keys, wheel, cursor, narrow windows, both themes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import Notebook, settled
from tests.install.lab import run_cell

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

HANDLER = """%%handler
import time
def handler(job):
    time.sleep(0.05)
    if job["input"] == 2:
        raise ValueError("two")
    return {"n": job["input"]}"""
CELLS = """() => {
    const content = window.jupyterapp.shell.currentWidget.content;
    return [content.widgets.length, content.activeCellIndex, content.mode,
        document.querySelectorAll(".jp-DocumentSearch-overlay, .jp-Dialog").length];
}"""
#: text of the card that is drawn by the page itself: colour, and the first ground behind it
TEXTS = """card => [...card.querySelectorAll("*")].filter(
    e => e.checkVisibility() && !e.closest(".kit-unseen") && !e.disabled && !e.closest(".kit-none")
        && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()),
).map(e => {
    let ground = e;
    while (ground && getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)")
        ground = ground.parentElement;
    return [e.className + ": " + e.textContent.slice(0, 30), getComputedStyle(e).color,
        ground ? getComputedStyle(ground).backgroundColor : "rgb(255, 255, 255)"];
})"""


def jobs_of(book: Notebook, page: Page, count: int = 5) -> Any:
    """The card of a handler that has run some jobs."""
    for cell in range(3):
        run_cell(page, cell)
    card = book.card(1)
    card.locator(".kit-counts", has_text=f"{count - 1} completed").wait_for()
    return card


@pytest.fixture
def card(notebook: Callable[..., Notebook], page: Page) -> Any:
    book = notebook("%load_ext kit", HANDLER, "[kit.run(n).state for n in range(5)]; None", "1")
    found = jobs_of(book, page)
    found.book = book
    return found


def shown(card: Any) -> str:
    return str(card.locator(".kit-job-id").inner_text())


def keys_move_between_jobs_and_stay_in_the_timeline(card: Any, page: Page) -> None:
    plot = card.locator(".kit-plot")
    plot.focus()
    before = page.evaluate(CELLS)
    page.keyboard.press("End")
    last = shown(card)
    names = [last]
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
        names.append(shown(card))
    assert len(set(names)) == 5
    page.keyboard.press("ArrowRight")
    assert shown(card) == names[3]
    page.keyboard.press("Home")
    assert shown(card) == names[4]
    assert card.locator(".kit-unseen[aria-live]").inner_text().startswith(names[4])
    # single keys that are commands of JupyterLab elsewhere: find, line numbers, cut, delete, edit
    for key in ("f", "l", "x", "d", "d", "Enter"):
        plot.focus()
        page.keyboard.press(key)
    assert page.evaluate("() => document.activeElement.className") == "kit-tab-body"
    plot.focus()
    page.keyboard.press("Escape")
    page.wait_for_function("([e, t]) => e.innerText === t", arg=[
        card.locator(".kit-job-id").element_handle(), last])  # fmt: skip
    assert card.locator(".kit-link").is_hidden()
    after = page.evaluate(CELLS)
    assert [after[0], after[2], after[3]] == [before[0], before[2], before[3]]


def the_wheel_scrolls_the_notebook_until_the_timeline_is_used(card: Any, page: Page) -> None:
    plot = card.locator(".kit-plot")
    live = card.locator(".kit-tool", has_text="Live")
    free = card.locator('.kit-tool[aria-pressed="false"]', has_text="Live")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 90)
    page.mouse.wheel(0, -120)
    page.wait_for_timeout(300)
    assert live.get_attribute("aria-pressed") == "true"
    plot.click(position={"x": box["width"] / 2, "y": 90})
    page.mouse.wheel(0, -120)
    free.wait_for()
    live.click()
    card.locator('.kit-tool[aria-pressed="true"]', has_text="Live").wait_for()


def the_cursor_reads_job_neighbours_and_memory(card: Any, page: Page) -> None:
    plot = card.locator(".kit-plot")
    box = plot.bounding_box()
    label = card.locator(".kit-label")
    found = ""
    deadline = time.monotonic() + 30  # samples are stored about once a second
    while "RSS" not in found and time.monotonic() < deadline:
        for x in range(80, int(box["width"]) - 10, 6):
            page.mouse.move(box["x"] + x, box["y"] + 40)
            found = label.inner_text() if label.is_visible() else ""
            if found.startswith("job "):
                break
    assert re.match(r"job \w+ +\d", found), found
    for part in (r"(completed|failed), v1", r"queued .*, alone", r"RSS \d+ MiB", r"peak \d+ MiB"):
        assert re.search(part, found), found
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] - 200)
    assert label.is_hidden()


def test_under_a_person_s_hands(card: Any, page: Page) -> None:
    the_wheel_scrolls_the_notebook_until_the_timeline_is_used(card, page)
    keys_move_between_jobs_and_stay_in_the_timeline(card, page)
    the_cursor_reads_job_neighbours_and_memory(card, page)


def test_nothing_sticks_out_and_every_text_can_be_read(card: Any, page: Page) -> None:
    def poor() -> list[str]:
        ratios = [
            (name, contrast(colour(ink), colour(ground)), ink, ground)
            for name, ink, ground in card.evaluate(TEXTS)
        ]
        return [
            f"{name}: {r:.2f} ({ink} on {ground})" for name, r, ink, ground in ratios if r < 4.5
        ]

    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        card.book.theme(theme)
        for tab in ("Output", "Logs", "Wire"):
            card.locator(".kit-tab", has_text=tab).click()
            page.wait_for_timeout(200)
            settled(page, poor)

    def askew() -> str:
        inner = card.evaluate("c => [c.scrollWidth, c.clientWidth]")
        pane = card.locator(".kit-pane").bounding_box()
        plot = card.locator(".kit-plot").bounding_box()
        if inner[0] > inner[1]:
            return f"{inner[0]} px in {inner[1]}"
        if inner[1] <= 760:
            return "" if pane["y"] >= plot["y"] + plot["height"] else f"{pane} not below {plot}"
        return "" if pane["x"] >= plot["x"] + plot["width"] else f"{pane} not beside {plot}"

    for width in (1280, 900, 560):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(300)
        settled(page, askew)


def colour(css: str) -> tuple[float, float, float, float]:
    """A computed colour as red, green, blue and opacity, 0 to 1."""
    numbers = [float(n) for n in re.findall(r"[\d.]+", css)]
    scale = 1 if css.startswith("color(") else 255
    red, green, blue = (n / scale for n in numbers[:3])
    return red, green, blue, numbers[3] if len(numbers) > 3 else 1.0


def contrast(
    ink: tuple[float, float, float, float], ground: tuple[float, float, float, float]
) -> float:
    mixed = [i * ink[3] + g * (1 - ink[3]) for i, g in zip(ink[:3], ground[:3], strict=True)]

    def light(rgb: Any) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(mixed), light(ground[:3])), reverse=True)
    return (high + 0.05) / (low + 0.05)
