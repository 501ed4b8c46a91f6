"""The live monitor in a real JupyterLab: frames while panning, first paint, what it costs the kernel.

Measured beside an empty frame loop of the same page, since a busy machine misses frames by itself, and
beside what one would use without the kit: a matplotlib figure redrawn into an output, and a plotly
``FigureWidget`` where plotly is installed. ``KIT_SHOTS=folder`` keeps pictures of the 10,000 jobs.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.lab import Frames, Notebook, notebook
from benchmarks.measure import Figure

#: seconds of frames for each figure
WATCH_S = 6.0
SETUP = """
%load_ext kit
import json, random, threading, time
from pathlib import Path
from kit.api import session
from kit.events import Chunk, Ended, Event, EventKind, JobKey, MemoryUse, Queued, Sample, Started
from kit.events import ErrorInfo, Finding, Found

def noop(job):
    return None

SLOTS = 4
MIB = 1 << 20

def history(count, done=0):
    # what `count` jobs on four slots leave in the journal: waits, streams, failures, findings
    store, chance = session().store, random.Random(done)
    end = time.time() - 5
    free = [end - count * 0.28 / SLOTS] * SLOTS
    events, samples = [], []
    for number in range(done, done + count):
        slot = free.index(min(free))
        began = free[slot] + chance.random() * 0.05
        took = chance.lognormvariate(-1.6, 0.6)
        free[slot] = began + took
        wait = chance.random() * 0.4
        key = JobKey(f"{store.session_id}-h{number}")
        queued = Queued(f"job-{number:06d}", "noop", 1 + number // 4000, "local")
        events.append(Event(key, 1, EventKind.QUEUED, began - wait, queued, '{"input":null}'))
        events.append(Event(key, 1, EventKind.STARTED, began, Started(slot, wait * 1000)))
        if number % 50 == 0:
            for n in range(8):
                at = began + took * n / 9
                events.append(Event(key, 1, EventKind.CHUNK, at, Chunk(n), '"x"'))
        if number % 90 == 7:
            events.append(Event(key, 1, EventKind.FINDING, began, Found(Finding("K226", "s"))))
        failed = number % 40 == 3
        kind = EventKind.FAILED if failed else EventKind.COMPLETED
        if number % 333 == 1:
            kind = EventKind.CANCELLED
        use = (MemoryUse("rss", -1, 300 * MIB, (300 + number % 70) * MIB, 300 * MIB, True, True),)
        error = ErrorInfo("<class 'ValueError'>", "no") if failed else None
        payload = '{"output":null}' if kind is EventKind.COMPLETED else '{"error":"no"}'
        if kind is EventKind.CANCELLED:
            payload = None
        events.append(Event(key, 1, kind, began + took, Ended(took * 1000, error, None, use), payload))
        if len(events) > 4000:
            store.append(events)
            events = []
    store.append(events)
    first = end - count * 0.28 / SLOTS
    step = max(0.1, (end - first) / 10000)
    at = first
    while at < end:
        samples.append(Sample(at, "rss", -1, int((300 + 60 * chance.random()) * MIB)))
        at += step
    store.append_samples(samples)

def view_cpu_s():
    # time on a processor of the thread that feeds the views, from the Linux scheduler
    ids = [thread.native_id for thread in threading.enumerate() if thread.name == "kit-view"]
    return sum(int(Path(f"/proc/self/task/{i}/schedstat").read_text().split()[0]) for i in ids) / 1e9

class Busy:
    # ten updates a second from jobs that really run, five each, on a thread of the kernel
    def __init__(self):
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
    def run(self):
        while not self.stop.wait(0.1):
            kit.map([None] * 5, handler="noop")
    def end(self):
        self.stop.set()
        self.thread.join()

sizes = []
def count_messages():
    # every message that goes to the page, as it is sent
    live = session().cards["noop"]._live
    send = live._send
    def counted(message):
        if message.content["t"] == "delta":
            sizes.append(message.size)
        send(message)
    live.connect(counted)
"""
HANDLER = "%%handler noop --no-run\ndef noop(job):\n    return None\n"
BARE = """
import anywidget
class Bare(anywidget.AnyWidget):
    _esm = "export default {render({el}) { el.className = 'bare-widget'; }}"
Bare()
"""
BARE_DRAWN = "document.querySelector('.bare-widget') !== null"
AGAIN = 'session().cards["noop"].show()'
BUSY = "busy = Busy()"
REST = "busy.end()"
COUNT = """
count_messages()
time.sleep(1)
before, began = view_cpu_s(), len(sizes)
time.sleep(8)
told = sizes[began:]
spent = view_cpu_s() - before
print(json.dumps({"ms": spent / len(told) * 1e3, "bytes": sum(told) / len(told), "n": len(told)}))
"""
DRAWN = """(() => {
    const card = document.querySelector('[data-windowed-list-index="3"] .kit-card');
    return card && card.isConnected && card.querySelector(".kit-canvas")?.style.width
        && card.querySelector(".kit-count b").textContent !== "0";
})()"""
#: a hand on the plot that goes to and fro, 8 px a frame
PAN = """
    const plot = [...document.querySelectorAll(".kit-plot")].at(-1);
    const box = plot.getBoundingClientRect();
    const x = box.left + 300 + 200 * Math.sin(k / 25);
    plot.dispatchEvent(new PointerEvent("pointermove", {clientX: x, clientY: box.top + 50, bubbles: true}));
"""
MATPLOTLIB = """
import io
import ipywidgets, matplotlib
matplotlib.use("Agg")
from matplotlib.figure import Figure
rows = session().store.rows(limit=10_000, session=session().session_id)
image = ipywidgets.Image(format="png")
display(image)
stop, took = threading.Event(), []
def redraw():
    while not stop.wait(0.1):
        begin = time.perf_counter()
        figure = Figure((8, 3))
        axes = figure.subplots()
        axes.hlines([r.slot or 0 for r in rows], [r.submitted_at for r in rows],
                    [(r.ended_at or r.submitted_at) for r in rows], linewidth=8)
        held = io.BytesIO()
        figure.savefig(held, format="png")
        image.value = held.getvalue()
        took.append((time.perf_counter() - begin, len(held.getvalue())))
thread = threading.Thread(target=redraw, daemon=True)
thread.start()
"""
PEER_END = """
stop.set()
thread.join()
kept = took[1:] or took
print(json.dumps({"ms": sum(t for t, _ in kept) / len(kept) * 1e3,
                  "bytes": sum(n for _, n in kept) / len(kept), "n": len(took)}))
"""
PLOTLY = """
import plotly.graph_objects as go
rows = session().store.rows(limit=10_000, session=session().session_id, newest_first=False)
zero = rows[0].submitted_at
figure = go.FigureWidget(go.Bar(
    orientation="h", base=[r.submitted_at - zero for r in rows],
    x=[(r.ended_at or r.submitted_at) - r.submitted_at for r in rows], y=[r.slot or 0 for r in rows]))
figure.update_layout(height=320, dragmode="pan", width=900)
display(figure)
stop, took = threading.Event(), []
def extend():
    bar = figure.data[0]
    while not stop.wait(0.1):
        begin = time.perf_counter()
        base, x, y = list(bar.base), list(bar.x), list(bar.y)
        for n in range(5):
            base.append(base[-1] + 0.1); x.append(0.1); y.append(n % 4)
        with figure.batch_update():
            bar.base, bar.x, bar.y = base, x, y
        took.append((time.perf_counter() - begin, 8 * 3 * len(base)))
thread = threading.Thread(target=extend, daemon=True)
"""
PLOTLY_DRAWN = "document.querySelector('.js-plotly-plot .barlayer .point') !== null"
PLOTLY_PAN = """
    const drag = document.querySelector(".js-plotly-plot .nsewdrag");
    const box = drag.getBoundingClientRect();
    const x = box.left + 300 + 200 * Math.sin(k / 25);
    const to = k === 1 ? drag : document.querySelector(".dragcover") ?? drag;
    to.dispatchEvent(new MouseEvent(k === 1 ? "mousedown" : "mousemove",
        {clientX: x, clientY: box.top + 50, bubbles: true, buttons: 1, button: 0}));
"""


def panned(book: Notebook, cell: int) -> Frames:
    """Frames while a hand drags the timeline to and fro."""
    book.show(cell)
    plot = book.page.locator(".kit-plot").last
    plot.scroll_into_view_if_needed()
    book.page.locator(".kit-tool", has_text="Fit").last.click()
    book.page.wait_for_timeout(800)
    box = plot.bounding_box()
    book.page.mouse.move(box["x"] + 300, box["y"] + 50)
    book.page.mouse.down()
    frames = book.frames(WATCH_S, PAN)
    book.page.mouse.up()
    return frames


def shots(book: Notebook, cell: int) -> None:
    """Pictures of start, pan, zoom and selection, if somebody wants them."""
    folder = os.environ.get("KIT_SHOTS")
    if not folder:
        return
    book.show(cell)
    card, page = book.page.locator(".kit-card").last, book.page
    plot = card.locator(".kit-plot")
    Path(folder).mkdir(parents=True, exist_ok=True)

    def keep(name: str) -> None:
        page.wait_for_timeout(700)
        card.screenshot(path=str(Path(folder) / f"{name}.png"))

    card.locator(".kit-tool", has_text="Fit").click()
    page.mouse.move(10, 10)
    keep("10000-start")
    box = plot.bounding_box()
    plot.click(position={"x": 400, "y": box["height"] - 30})
    page.mouse.move(box["x"] + 400, box["y"] + 50)
    for _ in range(12):
        page.mouse.wheel(0, -200)
        page.wait_for_timeout(60)
    page.mouse.move(10, 10)
    keep("10000-zoom")
    page.mouse.move(box["x"] + 500, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 60, steps=8)
    page.mouse.up()
    page.mouse.move(10, 10)
    keep("10000-pan")
    plot.focus()
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    page.mouse.move(box["x"] + 300, box["y"] + 50)
    keep("10000-selection")


def told(book: Notebook, cell: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(book.text(cell).strip().splitlines()[-1])
    return found


def at_size(count: int, paint_s: float | None, fps: float, p95_ms: float | None) -> list[Figure]:
    """Everything about one number of jobs."""
    loads = f"history({count})"
    # a card that opens reads the latest 10,000; one that was there all the time keeps 100,000
    fresh = count <= 10_000
    cells = (BARE, loads, HANDLER) if fresh else (HANDLER, loads, AGAIN)
    with notebook(SETUP, *cells, BUSY, COUNT, REST) as book:
        book.run(0)
        bare_ms = book.paint_ms(1, BARE_DRAWN) if fresh else float("nan")
        book.run(1)
        book.run(2)
        book.show(3)
        book.page.wait_for_timeout(1500)
        first = book.paint_ms(3, DRAWN)
        figures = [Figure(f"{count:,} jobs: first paint, from Run", first / 1000, "s", paint_s)]
        if fresh:
            figures.append(Figure("  an empty widget", bare_ms / 1000, "s"))
        if count < 10_000:
            return figures
        book.run(4)
        bare = book.frames(WATCH_S)
        seen = panned(book, 3)
        frames_of_bare = Figure(
            "  an empty frame loop, card in the page, updates coming", bare.fps, "fps"
        )
        share = seen.fps / bare.fps
        figures += [
            frames_of_bare,
            Figure(f"{count:,} jobs, 10 updates a second, panning", seen.fps, "fps", fps, False),
            Figure("  share of the empty loop's frames", share, "x"),
            Figure("  p95 between two frames", seen.p95_ms, "ms", p95_ms),
            Figure("    of the empty loop", bare.p95_ms, "ms"),
        ]
        book.run(5)
        cost = told(book, 5)
        figures += [
            Figure(
                f"{count:,} jobs: one update, processor time of the kernel", cost["ms"], "ms", 1
            ),
            Figure(f"{count:,} jobs: one update, bytes", cost["bytes"], "B", 1000),
        ]
        book.run(6)
        if count == 10_000:
            shots(book, 3)
    return figures


def peers() -> list[Figure]:
    """The same 10,000 jobs and the same updates without the kit's view."""
    figures = []
    with notebook(SETUP, HANDLER, "history(10_000)", MATPLOTLIB, PEER_END) as book:
        for cell in range(4):
            book.run(cell)
        book.page.wait_for_timeout(1500)
        seen = book.frames(WATCH_S)
        book.run(4)
        cost = told(book, 4)
        figures += [
            Figure("  matplotlib into an output: one redraw", cost["ms"], "ms"),
            Figure("    bytes", cost["bytes"], "B"),
            Figure("    updates a second (10 asked for)", cost["n"] / (WATCH_S + 2), "/s"),
            Figure("    frames of the page (nothing to pan)", seen.fps, "fps"),
        ]
    if importlib.util.find_spec("plotly") is None:
        figures.append(Figure("  plotly FigureWidget: plotly is not installed", float("nan"), ""))
        return figures
    start = "thread.start()"
    with notebook(SETUP, HANDLER, "history(10_000)", PLOTLY, start, PEER_END) as book:
        for cell in range(3):
            book.run(cell)
        first = book.paint_ms(3, PLOTLY_DRAWN)
        book.page.locator(".js-plotly-plot").first.scroll_into_view_if_needed()
        book.page.wait_for_timeout(500)
        still = book.frames(WATCH_S, PLOTLY_PAN)
        book.page.mouse.up()
        book.run(4)
        seen = book.frames(WATCH_S, PLOTLY_PAN)
        book.run(5)
        cost = told(book, 5)
        figures += [
            Figure("  plotly FigureWidget: first paint", first / 1000, "s"),
            Figure("    frames while panning, without updates", still.fps, "fps"),
            Figure("    frames while panning, with updates", seen.fps, "fps"),
            Figure("    p95 between two frames", seen.p95_ms, "ms"),
            Figure("    one update in the kernel", cost["ms"], "ms"),
            Figure("    bytes, at least", cost["bytes"], "B"),
        ]
    return figures


def main() -> Iterator[Figure]:
    yield from at_size(1_000, 0.3, 0, None)
    yield from at_size(10_000, None, 55, 34)
    # 2,000 more come while it is watched, and a view keeps 100,000
    yield from at_size(97_000, 1.0, 20, None)
    yield from peers()


if __name__ == "__main__":
    for figure in main():
        print(figure, flush=True)
