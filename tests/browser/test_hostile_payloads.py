"""Nothing in a payload, a log, an error or a name runs in the page; not in the saved notebook either.

Each vector is a payload, a result, a log, an error text, a job's id and a handler's name.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Notebook
from tests.install.lab import outputs, run_cell

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

#: no letters of the address in a folder's name: every request that has them is one too many
HOST = "canary.invalid"
CALLS = (
    "window.__kit_canary=1",
    "alert(`kit`)",
    f"new Image().src=`http://{HOST}/i`",
    f"location=`http://{HOST}/l`",
)
#: X is the call
TEMPLATES = (
    "<script>X</script>",
    "<ScRiPt src=data:text/javascript,X></sCrIpT>",
    "</script><script>X</script>",
    "</pre></code></div><script>X</script>",
    "--><script>X</script><!--",
    "]]><script>X</script>",
    "<img src=x onerror=X>",
    "<img src=x onerror='X'//",
    "<svg onload=X>",
    "<svg><script>X</script></svg>",
    "<svg><use href='data:image/svg+xml,<svg id=x onload=X></svg>#x'></svg>",
    "<svg><animate onbegin=X attributeName=x dur=1s>",
    "<body onload=X>",
    '"><details open ontoggle=X>',
    "<input autofocus onfocus=X>",
    "<video><source onerror=X></video>",
    "<audio src=x onerror=X>",
    "<iframe src='javascript:X'></iframe>",
    '<iframe srcdoc="<script>parent.X</script>"></iframe>',
    "<object data='javascript:X'></object>",
    "<embed src='javascript:X'>",
    "<a href='javascript:X' autofocus onfocus=X>x</a>",
    "<form action='javascript:X'><input type=submit autofocus></form>",
    "<math><mtext><table><mglyph><style><img src=x onerror=X></style></mglyph></table></mtext></math>",
    "<noscript><p title='</noscript><img src=x onerror=X>'>",
    "<template><script>X</script></template><img src=x onerror=X>",
    "<marquee onstart=X>x</marquee>",
    "<style>@keyframes k{}</style><p style='animation-name:k' onanimationstart=X>",
    "javascript:X",
    "data:text/html,<script>X</script>",
    "$(X)",
    "{{constructor.constructor('X')()}}",
    "\\u003cscript\\u003eX\\u003c/script\\u003e",
)
OTHERS = (
    f"<link rel=stylesheet href=http://{HOST}/s.css>",
    f"<style>@import 'http://{HOST}/x';*{{background:url(http://{HOST}/y)}}</style>",
    f'<p style="background:url(http://{HOST}/b)">x</p>',
    f"<img src=http://{HOST}/p.png><img srcset=http://{HOST}/q.png>",
    f"<meta http-equiv=refresh content='0;url=http://{HOST}/r'>",
    f"<base href=http://{HOST}/>",
    f"http://{HOST}/picture.png",
    f"//{HOST}/x.png",
    f"![x](http://{HOST}/m.png)",
    '<button data-commandlinker-command="notebook:run-all-cells" data-commandlinker-args="{}">x</button>',
    '<form id="attributes"><input name="nodeName"></form><img name=currentScript>',
    "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9IndpbmRvdy5fX2tpdF9jYW5hcnk9MSIvPg==",
    "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIG9ubG9hZD0id2luZG93Ll9fa2l0X2NhbmFyeT0xIi8+",
    "\u202egpj.exe\u202c" + "e\u0301" * 2_000,
    "e" + "\u0301" * 10_000,
    f"\x1b]8;;http://{HOST}\x07x\x1b]8;;\x07\x1b[31m",
    "__proto__",
    "constructor",
    "\u2028\u2029\x00\ufeff\ud800",
    "$$\\href{javascript:window.__kit_canary=1}{x}$$ \\(\\unicode{x}\\)",
)
VECTORS = [
    *(template.replace("X", call) for template in TEMPLATES for call in CALLS),
    *OTHERS,
]
assert len(VECTORS) >= 150

CELL = f"""%%handler --no-run
VECTORS = {VECTORS!r}
def handler(job):
    for v in VECTORS:
        print(v)
    if job["input"].get("fail"):
        raise ValueError(" ".join(VECTORS))
    plain = [v for v in VECTORS if chr(0xd800) not in v]
    return {{"all": plain, **{{v: v for v in plain}}, "nested": [[v] for v in plain]}}"""
RUN = """plain = [v for v in VECTORS if chr(0xd800) not in v]
job = kit.run({'v': plain}); job.result()
bad = kit.run({'fail': True}); bad.state; None"""
# what another kernel could have written: ids and names that this one would refuse
STRANGERS = """import importlib, time
E = importlib.import_module("kit.events")
from kit.api import session
from kit.store import Store
from kit.views.jobstatic import job_html
from IPython.display import HTML
store = Store.open(session().store.path)
j = __import__("json").dumps
keys = []
for k, v in enumerate(plain):
    key, now = E.JobKey(f"{store.session_id}-{k}"), time.time()
    keys.append(key)
    store.append([
        E.Event(key, 1, E.EventKind.QUEUED, now, E.Queued(v, v, 1, v), j({"input": {v: v}})),
        E.Event(key, 1, E.EventKind.STARTED, now, E.Started(1, 0.0)),
        E.Event(key, 1, E.EventKind.CHUNK, now, E.Chunk(0), j(v)),
        E.Event(key, 1, E.EventKind.LOG, now, E.Log("stdout", v)),
        E.Event(key, 1, E.EventKind.FINDING, now, E.Found(E.Finding("K101", v, v, v))),
        E.Event(key, 1, E.EventKind.FAILED, now,
                E.Ended(1.0, error=E.ErrorInfo(v, v, v)), j({"error": v})),
    ])
views = store.views(keys)
store.close()
len(views)"""
#: one key after another, each job drawn before the next
STEP = """async ([card, n]) => {
    const plot = card.querySelector('[aria-label^="Timeline"]');
    const seen = new Set();
    plot.focus();
    for (let k = 0; k < n; k += 1) {
        const before = card.querySelector(".kit-job-id").title;
        plot.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft", bubbles: true}));
        const until = performance.now() + 5000;
        while (performance.now() < until) {
            await new Promise((done) => setTimeout(done, 4));
            const now = card.querySelector(".kit-job-id").title;
            if (now !== before && card.querySelector(".kit-tab-body .kit-error-head")) break;
        }
        seen.add(card.querySelector(".kit-tab-body").textContent);
    }
    return seen.size;
}"""


def test_vectors_in_every_sink_stay_text(notebook: Callable[..., Notebook], page: Page) -> None:
    asked: list[str] = []
    dialogs: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if HOST in r.url else None)
    page.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
    shown = "from IPython.display import display\nfor view in views: display(HTML(job_html(view)))"
    book = notebook(
        "%load_ext kit", CELL, RUN, "job", "bad", STRANGERS, "kit.panel(all_sessions=True)",
        "kit.jobs()", shown, "for v in plain:\n    try: get_ipython().run_cell_magic('handler', v, 'def f(job): pass')\n    except BaseException as e: print(e)",
    )  # fmt: skip
    for cell in range(10):
        run_cell(page, cell)
    assert not [o for o in outputs(page, 5) if o["output_type"] == "error"], outputs(page, 5)
    (told,) = [o for o in outputs(page, 5) if o["output_type"] == "execute_result"]
    assert int(told["data"]["text/plain"]) == len(VECTORS) - 1
    card = book.card(1)
    for tab in ("Output", "Input", "Logs", "Wire", "Compare"):
        card.locator(".kit-tabs >> text=" + tab).click()
        card.locator(".kit-tab-body > *").first.wait_for()
        page.wait_for_timeout(200)
    panel = book.card(6)
    seen = page.evaluate(STEP, [panel.element_handle(), len(VECTORS)])
    assert seen > len(VECTORS) * 0.9
    for cell in (3, 4, 7, 8, 9):
        book.show(cell)
        page.wait_for_timeout(200)

    def unharmed() -> None:
        assert page.evaluate("() => window.__kit_canary === undefined")
        assert page.evaluate("() => ({}).polluted === undefined")
        assert not asked
        assert not dialogs

    unharmed()
    page.evaluate(
        "async () => { await window.jupyterapp.shell.currentWidget.context.save(); return true; }"
    )
    saved = export(book.path)
    text = saved.read_text(encoding="utf-8")
    assert text.count("canary") > len(VECTORS)  # they are all there
    page.goto(saved.as_uri(), wait_until="domcontentloaded")
    page.wait_for_timeout(500)
    assert page.locator("pre").count() > len(VECTORS)
    unharmed()


def export(path: Path) -> Path:
    """The notebook as nbconvert writes it, without what it would load from elsewhere."""
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--template", "lab"]
    subprocess.run([*command, path.name], cwd=path.parent, check=True, capture_output=True)
    return path.with_suffix(".html")
