"""A person writes an input, drops a file, runs, retries and exports, all in the card of one notebook."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import Notebook, settled
from tests.install.lab import DONE, RUN_CELL, outputs, run_cell

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

HANDLER = """%%handler --no-run
import base64
def handler(job):
    given = job["input"]
    if given["prompt"] == "fail":
        raise ValueError("as asked")
    image = given.get("image", "")
    return {"prompt": given["prompt"][:40], "seed": given.get("seed", 0), "size": len(image),
            "head": image[:20]}"""
#: a sync cell that ends when its page has run, retried and exported meanwhile; else at its own limit
BUSY = """import pathlib, time
from kit.api import session
def rows(): return session().store.rows()
before, limit = len(rows()), time.monotonic() + 60
def done():
    return (len(rows()) > before and all(r.state.final for r in rows())
            and any(r.attempt == 2 for r in rows()) and pathlib.Path("busy/handler.py").exists())
while not done() and time.monotonic() < limit:
    time.sleep(0.05)
print(done())"""
CANARY = "a canary that sings at dawn"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
DROP = """([area, data]) => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    const files = new DataTransfer();
    files.items.add(new File([bytes], "cat.png", {type: "image/png"}));
    files.items.add(new File([bytes], "dog.png", {type: "image/png"}));
    const options = {dataTransfer: files, bubbles: true, cancelable: true};
    area.dispatchEvent(new DragEvent("dragover", options));
    area.dispatchEvent(new DragEvent("drop", options));
}"""
#: paste 10 MB over all of the text; returns the longest time without a frame, in ms
PASTE = """async area => {
    const text = JSON.stringify({prompt: "x".repeat(10_000_000), seed: 5});
    area.select();
    const data = new DataTransfer();
    data.setData("text/plain", text);
    let last = performance.now(), longest = 0, on = true;
    const frame = now => { longest = Math.max(longest, now - last); last = now;
        if (on) requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
    area.dispatchEvent(new ClipboardEvent("paste",
        {clipboardData: data, bubbles: true, cancelable: true}));
    await new Promise(done => setTimeout(done, 300));
    on = false;
    return longest;
}"""
#: texts of the open band under 4.5:1, on the ground as it is mixed
POOR = """card => {
    const numbers = css => (css.match(/[\\d.]+/g) ?? []).map(Number);
    const parts = css => {
        const [r, g, b, a = 1] = numbers(css), k = css.startsWith("color(") ? 1 : 255;
        return [r / k, g / k, b / k, a];
    };
    const over = (top, under) => under.slice(0, 3).map((u, i) => top[i] * top[3] + u * (1 - top[3]));
    const light = rgb => rgb.map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = e => {
        const stack = [];
        for (let one = e; one; one = one.parentElement) stack.push(parts(getComputedStyle(one).backgroundColor));
        return stack.reverse().reduce((under, top) => over(top, under), [1, 1, 1]);
    };
    return [...card.querySelectorAll(".kit-editor *, .kit-export *")].filter(
        e => e.checkVisibility() && !e.disabled && e.tagName !== "TEXTAREA" && e.tagName !== "OPTION"
            && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()),
    ).map(e => {
        const below = ground(e), ink = over(parts(getComputedStyle(e).color), below);
        const [high, low] = [light(ink), light(below)].sort((a, b) => b - a);
        return [(high + 0.05) / (low + 0.05), `${e.className}: ${e.textContent.slice(0, 30)}`];
    }).filter(([ratio]) => ratio < 4.5).map(([ratio, what]) => `${what} ${ratio.toFixed(2)}`);
}"""
STATE = """() => {
    const content = window.jupyterapp.shell.currentWidget.content;
    return JSON.stringify([content.widgets.map(w => w.model.executionCount), content.widgets.length,
        document.querySelectorAll(".jp-Dialog, .jp-DocumentSearch-overlay").length]);
}"""


#: what is wider than the card, if anything is
ASKEW = """card => card.scrollWidth <= card.clientWidth ? "" : [card.clientWidth, card.scrollWidth,
    ...[...card.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right
        > card.getBoundingClientRect().right + 0.5).map(e => `${e.tagName}.${e.className}`)].join(" ")"""


class Hands:
    """What a person does with one card."""

    def __init__(self, book: Notebook, page: Page) -> None:
        self.book, self.page = book, page
        self.card = book.card(1)

    @property
    def area(self) -> Any:
        return self.card.locator(".kit-json")

    def write(self, text: str) -> None:
        self.area.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def button(self, text: str) -> Any:
        return self.card.get_by_role("button", name=text, exact=True)

    def ended(self, count: int, word: str = "completed") -> None:
        self.card.locator(".kit-counts", has_text=f"{count} {word}").wait_for()

    def status(self, text: str) -> None:
        self.card.locator(".kit-status", has_text=text).wait_for()

    def readable(self) -> None:
        """Every text of the open band can be read in both themes, and nothing sticks out at 800 px."""
        for theme, width in (("JupyterLab Dark", 800), ("JupyterLab Light", 1280)):
            self.book.theme(theme)
            self.page.set_viewport_size({"width": width, "height": 1000})
            name = theme.split()[1].lower()
            self.card.locator(f'xpath=self::*[@data-kit-theme="{name}"]').wait_for()
            settled(self.page, lambda: self.card.evaluate(POOR))
            settled(self.page, lambda: self.card.evaluate(ASKEW))

    def output(self, key: str, value: str) -> None:
        self.card.locator(".kit-tab-body .kit-entry", has_text=key).filter(
            has_text=value
        ).wait_for()


def test_from_a_mistyped_input_to_an_export(
    notebook: Callable[..., Notebook], page: Page
) -> None:  # fmt: skip
    book = notebook("%load_ext kit", HANDLER, BUSY, "1")
    run_cell(page, 0)
    run_cell(page, 1)
    hands = Hands(book, page)

    # an empty card offers what the handler reads
    hands.area.wait_for()
    page.wait_for_function("a => a.value !== ''", arg=hands.area.element_handle())
    assert json.loads(hands.area.input_value()) == {"prompt": "", "image": "", "seed": 0}
    assert "required" in hands.card.locator(".kit-field", has_text="prompt").inner_text()

    # faults have their place, and what is missing is said; JupyterLab's commands keep quiet
    hands.area.click()
    before = page.evaluate(STATE)
    page.keyboard.press("Control+A")
    page.keyboard.type('{"seed": NaN, ddxablf}')
    hands.status("Line 1, column 10: NaN is not JSON")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Shift+Enter")
    assert page.evaluate(STATE) == before
    hands.write('{"seed": 3}')
    hands.status("prompt is missing; the handler reads it.")
    hands.readable()
    hands.write(json.dumps({"prompt": CANARY, "seed": 3}))
    hands.status("Valid")
    page.keyboard.press("Control+Enter")
    hands.ended(1)
    hands.output("prompt", CANARY)
    assert page.evaluate(STATE) == before
    page.keyboard.press("Escape")
    assert page.evaluate("() => document.activeElement.textContent") == "Input"

    # a dropped file, and two clicks that are one
    hands.card.locator(".kit-field", has_text="image").click()
    hands.area.evaluate("(area, data) => (" + DROP + ")([area, data])", PNG)
    page.wait_for_function("a => a.value.includes('cat.png')", arg=hands.area.element_handle())
    assert PNG not in hands.area.input_value()
    assert f"{len(base64.b64decode(PNG))} B" in hands.area.input_value()
    hands.status("cat.png is in, dog.png was left out")
    hands.button("Run").dblclick()
    hands.ended(2)
    hands.output("size", str(len(PNG)))
    # a picked one, as a data: URI
    hands.card.locator(".kit-select").nth(1).select_option("uri")
    with page.expect_file_chooser() as chooser:
        hands.button("Add a file").click()
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": b"12345"})
    page.wait_for_function("a => a.value.includes('a.png')", arg=hands.area.element_handle())
    hands.area.press("Control+Enter")
    hands.ended(3)
    hands.output("head", "data:image/png")

    # ten megabytes: one name in the text, and all of them at the handler
    pause_ms = hands.area.evaluate(PASTE)
    assert pause_ms < 3_000  # 0.2 s on a quiet machine
    assert len(hands.area.input_value()) < 200
    hands.status("Valid")
    assert "over the limit of /run" in hands.card.locator(".kit-editor-size").inner_text()
    hands.button("Run").click()
    hands.ended(4)

    hands.write('{"prompt": "fail"}')
    hands.area.press("Control+Enter")
    hands.ended(1, "failed")
    hands.button("Retry").wait_for()
    hands.write(json.dumps({"prompt": CANARY, "seed": 8}))
    hands.area.press("Control+Enter")
    hands.ended(5)

    # nothing of it is in the notebook; after a reload the last input is there again
    book.save()
    saved = book.path.read_text(encoding="utf-8")
    assert "%%handler" in saved
    for text in (CANARY, PNG, "cat.png", "xxxxxxxx"):
        assert text not in saved, text
    page.reload()
    book.lab.settle(page)
    hands = Hands(book, page)
    hands.ended(5)

    # while a sync cell runs, every button does what it says
    page.evaluate(RUN_CELL, 2)
    page.wait_for_timeout(700)
    hands = Hands(book, page)
    hands.card.locator(".kit-head button", has_text="Input").click()
    page.wait_for_function("a => a.value !== ''", arg=hands.area.element_handle())
    assert json.loads(hands.area.input_value()) == {"prompt": CANARY, "seed": 8}
    hands.button("Run").click()
    hands.ended(6)
    plot = hands.card.locator(".kit-plot")
    plot.focus()
    for _ in range(6):
        if hands.button("Retry").is_visible():
            break
        page.keyboard.press("ArrowLeft")
    hands.button("Retry").click()
    hands.card.locator(".kit-facts", has_text="attempt 2").wait_for()
    hands.button("Export handler.py").click()
    folder = hands.card.locator(".kit-path")
    folder.fill("busy")
    folder.press("Enter")
    hands.card.locator(".kit-finding", has_text="A cell is running").wait_for()
    hands.button("Write and verify").click()
    page.wait_for_function(DONE, arg=2, timeout=90_000)
    # the cell saw all of it: clicks that wait for its end would find nothing here
    assert outputs(page, 2)[0]["text"].split() == ["True"]

    # the export: what, why, how it differs; written, proven
    hands = Hands(book, page)
    hands.card.locator('.kit-outcome[data-verdict]:not([data-verdict=""])').wait_for(timeout=90_000)
    folder = hands.card.locator(".kit-path")
    folder.fill("worker")
    folder.press("Enter")
    hands.card.locator(".kit-file-list li", has_text="handler.py").filter(has_text="new").wait_for()
    assert "def handler(job):" in hands.card.locator(".kit-code-lines").inner_text()
    assert not (book.path.parent / "worker").exists()
    hands.card.locator(".kit-tab", has_text="Why").click()
    assert "defines handler, which start() reads" in hands.card.locator(".kit-why").inner_text()
    hands.button("Write and verify").click()
    hands.card.locator(".kit-outcome", has_text="equal:").wait_for(timeout=90_000)
    hands.card.locator(".kit-file-list li", has_text="handler.py").filter(
        has_text="unchanged"
    ).wait_for()
    assert "def handler(job):" in (book.path.parent / "worker" / "handler.py").read_text()

    # edited by hand: refused by name, shown as a change, replaced only when told to
    (book.path.parent / "worker" / "handler.py").write_text("# mine\n")
    hands.button("Export handler.py").click()
    hands.button("Export handler.py").click()
    hands.card.locator(".kit-refused", has_text="handler.py (edited)").wait_for()
    assert hands.button("Write and verify").is_disabled()
    hands.card.locator(".kit-tab", has_text="Changes").click()
    hands.card.locator(".kit-diff-minus", has_text="# mine").wait_for()
    hands.readable()
    hands.card.locator(".kit-refused input").check()
    hands.button("Write and verify").click()
    hands.card.locator(".kit-outcome", has_text="equal:").wait_for(timeout=90_000)
    assert "# mine" not in (book.path.parent / "worker" / "handler.py").read_text()
