"""Nothing in a payload, a log, an error or a name runs in the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Notebook
from tests.install.lab import run_cell

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

_CALL = "window.__kit_canary=1"
VECTORS = [
    f"<script>{_CALL}</script>",
    f"<img src=x onerror={_CALL}>",
    f"<svg onload={_CALL}>",
    f'<a href="javascript:{_CALL}">x</a>',
    f'<iframe srcdoc="<script>parent.{_CALL}</script>"></iframe>',
    f"</script><script>{_CALL}</script>",
    f"<math><mtext><img src=x onerror={_CALL}></mtext></math>",
    f'"><details open ontoggle={_CALL}>',
    "<style>@import 'http://canary.invalid/x'</style><div style=\"background:url(http://canary.invalid/y)\">",
    '<button data-commandlinker-command="notebook:run-all-cells" data-commandlinker-args="{}">x</button>',
    '<form id="attributes"><input name="nodeName"></form>',
    "data:text/html,<script>" + _CALL + "</script>",
    "javascript:" + _CALL,
    "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9IndpbmRvdy5fX2tpdF9jYW5hcnk9MSIvPg==",
    "http://canary.invalid/picture.png",
    "\u202egpj.exe\u202c" + "e\u0301" * 2_000,
    "\x1b]8;;http://canary.invalid\x07x\x1b]8;;\x07",
    "__proto__",
]
CELL = f"""%%handler --no-run
VECTORS = {VECTORS!r}
def handler(job):
    for v in VECTORS:
        print(v)
    if job["input"].get("fail"):
        raise ValueError(" ".join(VECTORS))
    return {{"all": VECTORS, **{{v: v for v in VECTORS}}, "nested": [[v] for v in VECTORS]}}"""


def test_vectors_in_every_sink_stay_text(notebook: Callable[..., Notebook], page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "canary" in r.url else None)
    dialogs: list[str] = []
    page.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
    run = (
        "ids = " + json.dumps(VECTORS[:4]) + "\n"
        "jobs = [kit.run(request={'id': i, 'input': {'v': VECTORS}}) for i in ids]\n"
        "[j.result() for j in jobs]\n"
        "bad = kit.run({'fail': True, 'v': VECTORS})\n"
        "bad.state; None"
    )
    book = notebook("%load_ext kit", CELL, run, "jobs[0]", "bad", "kit.panel()", "kit.jobs()")
    for cell in range(7):
        run_cell(page, cell)
    card = book.card(1)
    for tab in ("Output", "Input", "Logs", "Wire"):
        card.locator(f".kit-tabs >> text={tab}").click()
        page.wait_for_timeout(250)
    for cell in (3, 4, 5, 6):
        book.show(cell)
        page.wait_for_timeout(300)
    assert page.evaluate("() => window.__kit_canary === undefined")
    assert page.evaluate("() => ({}).polluted === undefined")
    assert not asked
    assert not dialogs
