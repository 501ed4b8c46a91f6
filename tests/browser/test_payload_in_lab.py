"""Payloads in a real JupyterLab: found, copied, read raw, saved, compared; and nothing freezes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import Notebook, settled
from tests.install.lab import run_cell

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
#: an entry changed and numbers scaled in the second version
CELL = """%%handler scale
def scale(job):
    return {
        "picture": PICTURE, "address": job["input"]["address"], "word": WORD,
        "rows": [{"id": k, "name": f"n{k}"} for k in range(500)], "numbers": [k * SCALE for k in range(900)],
    }""".replace("PICTURE", repr(PIXEL))
VERSIONS = [
    CELL.replace("SCALE", "0.5").replace("WORD", "'calm'"),
    CELL.replace("SCALE", "2").replace("WORD", "'storm'"),
]
FLOOD = r"""%%handler flood
import base64, struct, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
def flood(job):
    size = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"x" * 40)
    deep = "bottom"
    for _ in range(800):
        deep = [deep]
    print("\x1b[31m" * 20_000 + "the end of a flood" + "\x1b[0m")
    return {
        "picture": PICTURE, "huge": base64.b64encode(huge).decode(), "broken": "iVBORw0KGgo*" * 9,
        "deep": deep, "tag": "</script>", "long": "lorem ipsum " * 833_334 + "needle",
        "keys": {f"key {k}": k for k in range(1_000_000)},
    }""".replace("PICTURE", repr(PIXEL))
#: deeper than the real worker can say: its error is what a client gets
DEEP = """%%handler deeper --no-run
def deeper(job):
    deep = 1
    for _ in range(10_000):
        deep = [deep]
    return deep"""
RUN = "job = kit.run({'address': ADDRESS}, handler='scale'); job.result(60); None"
FLOODED = "job = kit.run({}, handler='flood', timeout_s=120); job.result(120); None"
DEEPER = "job = kit.run({}, handler='deeper'); job.state; None"
WATCH = """() => {
    window.__kit_longest = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) window.__kit_longest = Math.max(window.__kit_longest, entry.duration);
    }).observe({type: "longtask"});
}"""


@pytest.fixture
def pictures() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server of one picture; and the headers of everything that it was asked."""
    import base64

    asked: list[dict[str, str]] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append({**{k.lower(): v for k, v in self.headers.items()}, "path": self.path})
            body = base64.b64decode(PIXEL)
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing on the test's own output."""

    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/picture.png", asked
    server.shutdown()
    thread.join()
    server.server_close()


def word(card: Locator, text: str) -> Locator:
    return card.locator(f".kit-text-button:text-is('{text}')")


def saved(page: Page, click: Callable[[], Any]) -> tuple[str, bytes]:
    """Name and content of what a click makes the browser save."""
    with page.expect_download(timeout=90_000) as waiting:
        click()
    file = waiting.value
    return file.suggested_filename, Path(file.path()).read_bytes()


def find(card: Locator, text: str, told: str) -> None:
    card.locator(".kit-search-field").fill(text)
    card.locator(f".kit-search-count:text-is('{told}')").wait_for(timeout=60_000)


def test_a_person_loads_copies_and_compares(
    notebook: Callable[..., Notebook], page: Page, pictures: tuple[str, list[dict[str, str]]]
) -> None:
    address, asked = pictures
    run = RUN.replace("ADDRESS", repr(address))
    book = notebook("%load_ext kit", VERSIONS[0], run, VERSIONS[1], run)
    for cell in range(5):
        run_cell(page, cell)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    card = book.card(3)
    body = card.locator(".kit-tab-body")
    # the cell may have ended before the page heard of its job
    card.locator(".kit-count:has-text('3 completed')").wait_for()
    card.locator(".kit-facts:has-text('v2')").wait_for()
    body.locator(".kit-gallery img").wait_for()
    # an address is text until it is clicked
    assert not asked
    word(card, "Load picture").click()
    body.locator(".kit-from-address figcaption:has-text('1 x 1')").wait_for()
    assert [request["path"] for request in asked] == ["/picture.png"]
    assert "referer" not in asked[0]
    assert asked[0]["sec-fetch-dest"] == "image"
    # what was loaded stays while another job comes and goes
    shown = card.locator(".kit-job-id").inner_text()
    run_cell(page, 4)
    card.locator(".kit-count:has-text('4 completed')").wait_for()
    card.locator(".kit-link:text-is('Latest')").wait_for()
    assert card.locator(".kit-job-id").inner_text() == shown
    body.locator(".kit-from-address figcaption:has-text('1 x 1')").wait_for()
    # found where it lies in a table, and copied
    word(card, "Find").click()
    find(card, "n499", "1 of 1")
    card.locator(".kit-current .kit-key").last.click()
    path = "$.rows[499].name"
    assert card.locator(".kit-picked-path").inner_text() == path
    for what, text in (("path", path), ("value", "n499")):
        word(card, f"Copy {what}").click()
        word(card, "Copied").first.wait_for()
        page.wait_for_function(
            "text => navigator.clipboard.readText().then((t) => t === text)", arg=text
        )
    find(card, "nowhere at all", "Not found")
    card.locator(".kit-search-field").press("Escape")
    body.locator(".kit-entry:has-text('numbers') .kit-spark").first.wait_for()
    name, content = saved(page, lambda: body.locator(".kit-gallery .kit-text-button").click())
    assert (name, content[:4]) == ("picture.png", b"\x89PNG")
    # the previous version, with the same input
    card.locator(".kit-tab:text-is('Compare')").click()
    card.locator(".kit-compare-sum").wait_for()
    told = card.locator(".kit-compare").inner_text()
    for text in (
        "v1 → v2",
        "same input",
        "$.numbers[1]",
        "+1.5, +300 %",
        "900 changed",
        "calm",
        "storm",
    ):
        assert text in told, (text, told[:2000])


def test_nothing_freezes_and_everything_is_named(
    notebook: Callable[..., Notebook], page: Page
) -> None:
    book = notebook("%load_ext kit", FLOOD, FLOODED, DEEP, DEEPER)
    page.evaluate(WATCH)
    for cell in range(5):
        run_cell(page, cell, 150)
    card = book.card(1)
    body = card.locator(".kit-tab-body")
    body.locator("text={1,000,000}").wait_for(timeout=60_000)
    assert body.locator(".kit-hidden-media").inner_text() == "image 30000 x 30000, not shown"
    shown = body.inner_text()
    for text in (
        '"</script>"',
        "iVBORw0KGgo*",
        "of 10,000,014 characters",
        "over the limit of /runsync",
    ):
        assert text in shown, (text, shown[:2000])
    # a payload larger than /run takes: its pictures wait for a click
    assert body.locator(".kit-gallery img").count() == 0
    body.locator("button:has-text('Show picture')").click()
    body.locator(".kit-gallery img").wait_for()
    # found wherever it lies, and the way to it opened
    word(card, "Find").click()
    for text, where in (("key 999999", '$.keys["key 999999"]'), ("needle", "$.long")):
        find(card, text, "1 of 1")
        card.locator(".kit-current .kit-key").last.click()
        card.locator(f".kit-picked-path:text-is('{where}')").wait_for()
    find(card, "bottom", "1 of 1, 801 levels down: too deep to show")
    word(card, "Raw").click()
    card.locator(".kit-raw-foot:has-text('20,000 of')").wait_for()
    word(card, "Show 200,000 more").click()
    card.locator(".kit-raw-foot:has-text('220,000 of')").wait_for()
    # what is saved is what was posted
    name, content = saved(page, word(card, "Download output.json").click)
    value = json.loads(content)
    assert (name, len(value["keys"]), value["long"][-6:]) == ("output.json", 1_000_000, "needle")
    word(card, "Tree").click()
    name, content = saved(
        page, lambda: body.locator("figure:has-text('huge') .kit-text-button").click()
    )
    assert (name, content[:4]) == ("huge.png", b"\x89PNG")
    card.locator(".kit-tab:has-text('Logs')").click()
    # what was shown before may stay for a moment
    settled(page, lambda: "" if body.inner_text().strip().endswith("the end of a flood") else "log")
    deeper = book.card(3).locator(".kit-tab-body")
    deeper.locator(".kit-error-head:has-text('RecursionError')").first.wait_for()
    # 150 ms on a quiet machine with two cores
    longest = page.evaluate("() => window.__kit_longest")
    print(f"longest task of the page: {longest:.0f} ms")
    assert longest < 3_000
