"""Figures of jobs and memory: what they show, that they follow rcParams and leave nothing behind."""

from __future__ import annotations

import dataclasses
import io
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import rc_context, rcParams, style
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from kit.errors import UsageError
from kit.events import (
    Chunk,
    Ended,
    ErrorInfo,
    Event,
    EventKind,
    Finding,
    Found,
    JobKey,
    MemoryUse,
    Queued,
    Sample,
    Started,
)
from kit.handler import HandlerKind, HandlerVersion
from kit.span import Span
from kit.store import Store
from kit.views.plots import memory, timeline
from kit.views.plots.ground import without_ground
from kit.views.plots.timeaxis import TimeAxis, elapsed

MIB, GIB = 2**20, 2**30
GREEN, RED = "#0a8560", "#d1491f"


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = dict(rcParams)
    yield
    assert plt.get_fignums() == []
    assert dict(rcParams) == before


def job(
    key: str,
    at: float,
    *,
    wait: float = 0.1,
    took: float | None = 1.0,
    slot: int | None = 0,
    end: EventKind = EventKind.COMPLETED,
    handler: str = "classify",
    chunks: int = 0,
    finding: bool = False,
    memory: tuple[MemoryUse, ...] = (),
    target: str = "local",
) -> list[Event]:
    """Events of one job. ``slot`` None: it never started; ``took`` None: it has not ended."""
    name = JobKey(key)
    events = [Event(name, 1, EventKind.QUEUED, at, Queued(key, handler, 1, target), "{}")]
    started = at + wait
    if slot is not None:
        events.append(Event(name, 1, EventKind.STARTED, started, Started(slot, wait * 1000)))
    for i in range(chunks):
        moment = started + (took or 1) * (i + 1) / (chunks + 1)
        events.append(Event(name, 1, EventKind.CHUNK, moment, Chunk(i), '"x"'))
    if finding:
        found = Found(Finding("K101", "A fact."))
        events.append(Event(name, 1, EventKind.FINDING, started, found))
    if took is not None:
        ended = Ended(
            execution_ms=took * 1000 if slot is not None else None,
            error=ErrorInfo("", "no") if end is EventKind.FAILED else None,
            memory=memory,
        )
        events.append(Event(name, 1, end, started + took, ended, "{}"))
    return events


def version(number: int, at: float, name: str = "classify") -> HandlerVersion:
    text = "def handler(job): ..."
    return HandlerVersion(name, number, HandlerKind.SYNC, name, (), text, 3, 1, 2, "{}", at)


def drawn(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def bars(figure: Figure) -> dict[str, list[tuple[float, float, float]]]:
    """(left, right, bottom) of every bar by its colour."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for collection in figure.axes[0].collections:
        if isinstance(collection, PolyCollection):
            hatched = collection.get_hatch() is not None
            colour = "hatched" if hatched else to_hex(collection.get_facecolor()[0])
            for path in collection.get_paths():
                box = path.get_extents()
                found.setdefault(colour, []).append((box.x0, box.x1, box.y0))
    return found


def segments(figure: Figure, colour: str) -> list[Any]:
    return [
        segment
        for collection in figure.axes[0].collections
        if isinstance(collection, LineCollection) and len(collection.get_colors())
        if to_hex(collection.get_colors()[0]) == colour
        for segment in collection.get_segments()
    ]


def words(figure: Figure) -> list[str]:
    """Everything that is written in the figure."""
    found = []
    for ax in figure.axes:
        found += [text.get_text() for text in ax.texts]
        found += [ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()]
        found += [label.get_text() for label in (*ax.get_xticklabels(), *ax.get_yticklabels())]
        legend = ax.get_legend()
        if legend is not None:
            found += [text.get_text() for text in legend.get_texts()]
    return [text for text in found if text]


def rss(at: float, seconds: float, mib: float = 200) -> list[Sample]:
    count = int(seconds * 10) + 1
    return [Sample(at + i / 10, "rss", -1, int(mib * MIB)) for i in range(count)]


# -- jobs -----------------------------------------------------------------------------------------


def test_every_run_is_a_bar_in_its_slot_from_its_start_to_its_end(store: Store) -> None:
    now = time.time() - 20
    store.append(job("a", now) + job("b", now + 0.5, slot=1, took=2) + job("c", now + 2, slot=0))
    figure = timeline(store)
    drawn(figure)
    slots = {label.get_text() for label in figure.axes[0].get_yticklabels()}
    assert slots == {"slot 1", "slot 2"}
    found = sorted(bars(figure)[GREEN])
    assert [(round(x0, 3), round(x1, 3)) for x0, x1, _ in found] == [
        (0.1, 1.1),
        (0.6, 2.6),
        (2.1, 3.1),
    ]
    first, second, third = (y for _, _, y in found)
    assert first == third > second


def test_the_wait_in_the_queue_is_a_thin_line_up_to_the_bar(store: Store) -> None:
    now = time.time() - 20
    store.append(job("a", now, wait=0.5))
    (line,) = segments(timeline(store), "#9aa3ad")
    assert [round(x, 3) for x, _ in line] == [0.0, 0.5]


def test_no_state_is_told_by_colour_alone(store: Store) -> None:
    now = time.time() - 30
    for i, end in enumerate(
        [EventKind.COMPLETED, EventKind.FAILED, EventKind.TIMED_OUT, EventKind.CANCELLED]
    ):
        store.append(job(end.value, now + 2 * i, end=end))
    store.append(job("running", now + 29, took=None))
    store.append(job("waiting", now + 29.5, slot=None, took=None))
    figure = timeline(store)
    drawn(figure)
    said = words(figure)
    for sign in ("!", "T", "×"):
        assert said.count(sign) == 1
    assert {"1 completed", "1 failed", "1 timed out", "1 cancelled", "1 running"} <= set(said)
    assert "1 queued" in said
    assert "queue" in said  # a lane of its own
    running = [
        path
        for collection in figure.axes[0].collections
        if isinstance(collection, PolyCollection)
        and len(collection.get_paths())
        and to_hex(collection.get_facecolor()[0]) == "#3a8ee0"
        for path in collection.get_paths()
    ]
    assert len(running[0].vertices) == 6  # closed, with a notch at its right end


def test_a_sign_stays_readable_above_a_bar_that_is_too_narrow_for_it(store: Store) -> None:
    now = time.time() - 30
    store.append(job("wide", now, took=9.0))
    store.append(job("narrow", now + 9.2, took=0.01, end=EventKind.FAILED))
    figure = timeline(store)
    (sign,) = [text for text in figure.axes[0].texts if text.get_text() == "!"]
    assert sign.get_color() == RED
    (left, right, _) = bars(figure)[RED][0]
    points = figure.axes[0].bbox.width / figure.dpi * 72 / (right * 1.03)
    assert (right - left) * points > 1  # and the bar itself can be seen


def test_findings_chunks_and_edits_are_drawn(store: Store) -> None:
    now = time.time() - 30
    store.register(version(1, now - 1))
    store.register(version(2, now + 1.5))
    store.register(version(2, now + 1.5, name="another"))
    store.append(job("a", now, chunks=4) + job("b", now + 2, finding=True))
    figure = timeline(store)
    ax = figure.axes[0]
    (dots,) = [line for line in ax.lines if line.get_marker() == "o"]
    assert len(dots.get_xdata()) == 1
    ticks = segments(figure, "#ffffff")
    assert [round(float(tick[0][0]), 2) for tick in ticks] == [0.3, 0.5, 0.7, 0.9]
    dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert [round(float(line.get_xdata()[0]), 2) for line in dotted] == [1.5]
    assert {"v2", "with findings", "handler edited"} <= set(words(figure))


def test_a_lost_job_is_hatched_and_ends_where_its_kernel_was_last_seen(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    code = (
        "import os, sys, time\n"
        "from kit.store import Store\n"
        "from kit.events import *\n"
        "store, now = Store.open(__import__('pathlib').Path(sys.argv[1])), time.time() - 500\n"
        "store.append([\n"
        "    Event(JobKey('j'), 1, EventKind.QUEUED, now, Queued('j', 'h', 1, 'local'), '{}'),\n"
        "    Event(JobKey('j'), 1, EventKind.STARTED, now, Started(0, 0.0))])\n"
        "store.append_samples([Sample(now + i / 10, 'rss', -1, 1 << 28) for i in range(31)])\n"
        "os._exit(1)\n"
    )
    root = str(Path(__file__).resolve().parent.parent)
    subprocess.run(
        [sys.executable, "-c", code, str(path)], env={"PYTHONPATH": root}, check=False, timeout=60
    )
    store = Store.open(path)
    figure = timeline(store)
    ((left, right, _),) = bars(figure)["hatched"]
    assert right - left == pytest.approx(3.0, abs=0.01)  # not the 500 s until somebody looked
    assert "1 lost" in words(figure)
    store.close()


def test_the_newest_jobs_of_one_handler_since_a_moment(store: Store) -> None:
    now = time.time() - 100
    for i in range(10):
        store.append(job(str(i), now + 2 * i, handler="even" if i % 2 == 0 else "odd"))

    def shown(**kind: Any) -> int:
        return sum(map(len, bars(timeline(store, **kind)).values()))

    assert shown() == 10
    assert shown(limit=3) == 3
    assert shown(handler="odd") == 5
    assert shown(since=now + 15.9) == 2
    assert shown(since=datetime.fromtimestamp(now + 15.9, timezone.utc), handler="odd") == 1
    assert shown(session=store.session_id) == 10
    with pytest.raises(UsageError, match="time zone"):
        timeline(store, since=datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is refused


def test_without_a_job_it_says_what_to_do(store: Store) -> None:
    figure = timeline(store)
    drawn(figure)
    assert words(figure) == ["No jobs yet. Run one: kit.run({...})"]
    assert "No memory was recorded" in words(memory(store))[0]


def test_many_jobs_are_few_artists(store: Store) -> None:
    now = time.time() - 100
    events = []
    for i in range(3000):
        events += job(str(i), now + i * 0.01, took=0.03, slot=i % 40)
    store.append(events)
    begin = time.perf_counter()
    figure = timeline(store, limit=None)
    drawn(figure)
    assert time.perf_counter() - begin < 10
    assert len(figure.axes[0].collections) < 10
    assert len(bars(figure)[GREEN]) == 3000
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(labels) <= 24


# -- memory ---------------------------------------------------------------------------------------


def gpu(at: float, device: int, seconds: float = 3.0) -> list[Sample]:
    samples = []
    for i in range(int(seconds * 10)):
        moment, used = at + i / 10, (8 + i % 3) * GIB
        samples.append(Sample(moment, "vram", device, used, 24 * GIB, 0.5))
        samples.append(Sample(moment, "torch_allocated", device, used - 2 * GIB, 24 * GIB))
        samples.append(Sample(moment, "torch_reserved", device, used - GIB, 24 * GIB))
    return samples


def test_memory_stands_below_on_the_same_axis(store: Store) -> None:
    now = time.time() - 20
    store.append(job("a", now, took=2.0))
    store.append_samples(gpu(now, 0) + rss(now, 3))
    figure = timeline(store)
    drawn(figure)
    jobs_ax, memory_ax = figure.axes
    assert jobs_ax.get_xlim() == memory_ax.get_xlim()
    assert jobs_ax.get_position().x0 == pytest.approx(memory_ax.get_position().x0)
    names = {line.get_label() for line in memory_ax.lines if line.get_label()[0] != "_"}
    # with a GPU the process's own memory is not the point
    assert names == {"device used", "torch reserved", "torch allocated", "size of the GPU"}
    device = next(line for line in memory_ax.lines if line.get_label() == "device used")
    assert list(device.get_ydata())[:3] == [8 * GIB, 9 * GIB, 10 * GIB]
    assert [round(float(x), 2) for x in device.get_xdata()[:3]] == [0.0, 0.1, 0.2]
    assert "GPU 0 (GiB)" in words(figure)
    assert memory_ax.get_ylim()[0] == 0
    assert [label.get_text() for label in memory_ax.get_yticklabels()] == ["0", "8", "16", "24"]


def test_the_memory_of_a_pod_is_not_that_of_this_kernel(store: Store) -> None:
    now = time.time() - 20
    pod = "pod:gpu.example"
    store.append(job("a", now, took=2.0) + job("b", now, took=2.0, target=pod))
    there = [dataclasses.replace(sample, target=pod) for sample in rss(now, 2, 900)]
    store.append_samples(rss(now, 2, 300) + there)
    for figure in (timeline(store), memory(store)):
        drawn(figure)
        here_ax, there_ax = figure.axes[-2:]
        assert here_ax.get_ylim()[1] < 500 * MIB < there_ax.get_ylim()[0]
        assert here_ax.get_title(loc="left").startswith("Memory of this process. ")
        said = there_ax.get_title(loc="left").replace("\n", " ")
        assert said == f"Memory of the process on {pod}."
    ax = Figure().subplots()
    names = [text.get_text() for text in memory(store, ax=ax).axes[0].get_legend().get_texts()]
    assert names == [f"process memory (RSS), {of}" for of in ("this kernel", pod)]
    # a handler whose jobs never went there
    other = timeline(store, since=now + 5)
    assert len(other.axes) == 1
    store.append_samples([dataclasses.replace(s, kind="vram", device=0) for s in there])
    figure = timeline(store)
    assert [ax.get_ylabel() for ax in figure.axes[1:]] == ["RSS (MiB)", "GPU 0 (MiB)"]
    assert f"GPU 0, {pod}" in words(figure)


def test_without_a_gpu_it_is_the_process_and_the_reason_is_said(store: Store) -> None:
    now = time.time() - 20
    store.append(job("a", now, took=2.0))
    store.append_samples(rss(now, 2, mib=300))
    reason = "No VRAM figure: there is no NVIDIA driver on this machine."
    for figure in (timeline(store, reason=reason), memory(store, reason=reason)):
        drawn(figure)
        said = " ".join(words(figure)).replace("\n", " ")
        assert "Memory of this process. " + reason in said
        assert "RSS (MiB)" in said
        low, high = figure.axes[-1].get_ylim()
        assert low > 0  # from 0 a few MiB of 300 could not be seen
        assert high - low >= 16 * MIB  # and noise does not look like a leak
    assert "No VRAM was recorded." in " ".join(words(memory(store)))


def test_the_picture_of_a_card_is_read_on_any_page(store: Store) -> None:
    now = time.time() - 20
    store.append(job("a", now, took=2.0))
    store.append_samples(rss(now, 2, mib=300))
    for look in ("default", "dark_background"):
        with style.context(look):
            figure = without_ground(timeline(store, reason="no driver"))
            data = plt.imread(io.BytesIO(drawn(figure)))
        assert data[0, 0, 3] == 0
        # neither black on a dark page nor white on a light one
        shown = [text for text in figure.findobj(Text) if text.get_text().strip()]
        assert len(shown) > 5
        assert {to_hex(text.get_color()) for text in shown} == {"#797979"}


def test_each_gpu_has_a_row_and_in_one_axes_its_own_dashes(store: Store) -> None:
    now = time.time() - 20
    store.append(job("a", now, took=2.0))
    store.append_samples(gpu(now, 0) + gpu(now, 1))
    assert len(timeline(store).axes) == 3
    figure = memory(store)
    drawn(figure)
    assert [ax.get_ylabel() for ax in figure.axes] == ["GPU 0 (GiB)", "GPU 1 (GiB)"]
    ax = Figure().subplots()
    drawn(memory(store, ax=ax))
    used = [line for line in ax.lines if "device used" in line.get_label()]
    assert [line.get_label() for line in used] == ["GPU 0 device used", "GPU 1 device used"]
    assert used[0].get_color() == used[1].get_color()
    assert used[0].get_linestyle() != used[1].get_linestyle()


def test_no_line_is_drawn_across_a_rest_of_the_sampler(store: Store) -> None:
    now = time.time() - 100
    store.append_samples(rss(now, 1) + rss(now + 50, 1, mib=210))
    ax = memory(store).axes[0]
    lines = [line for line in ax.lines if line.get_marker() == "" and len(line.get_xdata()) > 1]
    assert [len(line.get_xdata()) for line in lines] == [11, 11]
    assert "idle time folded" in ax.get_xlabel()


def test_a_job_s_own_peak_is_a_cap_over_it_and_a_shared_one_is_not(store: Store) -> None:
    now = time.time() - 20
    own = MemoryUse("rss", -1, 200 * MIB, 450 * MIB, 200 * MIB, own=True, exact=True)
    shared = MemoryUse("rss", -1, 200 * MIB, 900 * MIB, 200 * MIB, own=False, exact=False)
    store.append(job("a", now, memory=(own,)) + job("b", now + 2, memory=(shared,)))
    store.append_samples(rss(now, 4))
    figure = timeline(store)
    (caps,) = [c for c in figure.axes[1].collections if isinstance(c, LineCollection)]
    ((start, end),) = caps.get_segments()
    assert (start[1], end[1]) == (450 * MIB, 450 * MIB)
    assert (round(start[0], 2), round(end[0], 2)) == (0.1, 1.1)
    assert figure.axes[1].get_ylim()[1] > 450 * MIB
    assert "a job's own peak" in words(figure)


# -- rcParams and axes ----------------------------------------------------------------------------


def test_it_follows_rcparams(store: Store) -> None:
    now = time.time() - 20
    store.append(job("a", now, took=2.0))
    store.append_samples(rss(now, 2))
    with rc_context({"figure.figsize": (9.0, 7.0), "font.size": 14.0, "figure.facecolor": "#eef"}):
        figure = timeline(store)
        assert list(figure.get_size_inches()) == [9.0, 7.0]
        assert to_hex(figure.get_facecolor()) == "#eeeeff"
        assert figure.axes[1].xaxis.label.get_size() == 14.0
        drawn(figure)


def test_the_tone_of_the_colours_follows_what_is_behind(store: Store) -> None:
    now = time.time() - 20
    store.append(job("a", now))
    store.append_samples(rss(now, 2))
    assert set(bars(timeline(store))) == {GREEN}
    with style.context("dark_background"):
        figure = timeline(store)
        assert set(bars(figure)) == {"#2fbf8f"}
        drawn(figure)
    with rc_context({"figure.facecolor": "none", "axes.facecolor": "none", "text.color": "white"}):
        with rc_context({"axes.labelcolor": "white"}):
            assert set(bars(timeline(store))) == {"#2fbf8f"}


def test_it_draws_into_axes_that_are_given_and_makes_no_figure(store: Store) -> None:
    now = time.time() - 20
    store.append(job("a", now))
    store.append_samples(rss(now, 2))
    figure = Figure()
    grid = figure.subplots(2, 2)
    assert timeline(store, ax=grid[0, 0]) is figure
    assert timeline(store, ax=grid[:, 1]) is figure
    assert memory(store, ax=grid[1, 0]) is figure
    assert len(figure.axes) == 4
    assert all(ax.has_data() for ax in figure.axes)
    assert grid[0, 1].get_xlim() == grid[1, 1].get_xlim()
    part = Figure().subfigures(1, 2)[0]
    assert timeline(store, ax=part.subplots()) is part.figure
    drawn(figure)


def test_axes_given_to_an_empty_journal_say_so(store: Store) -> None:
    figure = Figure()
    pair = figure.subplots(2)
    assert timeline(store, ax=pair) is figure
    assert "No jobs yet" in pair[0].texts[0].get_text()


def test_wrong_axes_are_refused_with_a_sentence(store: Store) -> None:
    store.append(job("a", time.time() - 20))
    axes = Figure().subplots(3)
    for wrong in (list(axes), [axes[0]], ["a", "b"]):
        with pytest.raises(UsageError, match="one Axes"):
            timeline(store, ax=wrong)
    with pytest.raises(UsageError, match="one Axes"):
        memory(store, ax=axes)  # type: ignore[arg-type]


def test_pyplot_is_not_imported() -> None:
    code = "import sys, kit.views.plots; print('matplotlib.pyplot' in sys.modules)"
    root = str(Path(__file__).resolve().parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "False"


@pytest.mark.kernel
def test_at_the_end_of_a_cell_it_is_shown_once_with_and_without_pyplot(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    now = time.time() - 20
    store.append(job("a", now))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    first = (
        "from pathlib import Path\n"
        "from kit.store import Store\n"
        "from kit.views.plots import timeline\n"
        f"store = Store.open(Path({str(store.path)!r}))\n"
        "timeline(store)"
    )
    cells = [
        first,
        "figure = timeline(store)",
        "import matplotlib.pyplot as plt\ntimeline(store)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    pictures = [
        sum("image/png" in output.get("data", {}) for output in cell.outputs)
        for cell in notebook.cells
    ]
    assert pictures == [1, 0, 1]


# -- the time axis --------------------------------------------------------------------------------

moments = st.floats(1.7e9, 1.7e9 + 1e6)
spans = st.lists(
    st.tuples(moments, st.floats(0, 1e4)).map(lambda s: (s[0], s[0] + s[1])),
    min_size=1,
    max_size=20,
)


@given(spans, st.lists(moments, max_size=20))
def test_positions_keep_the_order_of_time_and_every_job_is_in_a_stretch(
    busy: list[tuple[float, float]], times: list[float]
) -> None:
    axis = TimeAxis(busy)
    ordered = sorted(times + [edge for span in busy for edge in span])
    positions = [axis.x(moment) for moment in ordered]
    assert all(b >= a - 1e-6 for a, b in pairwise(positions))
    assert axis.end > 0
    for start, end in busy:
        assert any(a <= start and end <= b for a, b in axis.stretches)
        # the scale is the same in every stretch
        assert math.isclose(axis.x(end) - axis.x(start), end - start, abs_tol=1e-5)
    breaks = (len(axis.stretches) - 1) * axis.break_width
    assert breaks <= 0.36 * axis.end


def test_runs_minutes_apart_stand_side_by_side() -> None:
    axis = TimeAxis([(1000.0, 1002.0), (1600.0, 1603.0), (1603.5, 1604.0)])
    assert axis.stretches == [(1000.0, 1002.0), (1600.0, 1604.0)]
    assert axis.x(1600.0) < 3.0
    assert axis.end < 7.0


def test_ticks_do_not_lie_on_each_other_and_say_the_time(store: Store) -> None:
    now = 1774747800.0  # 2026-03-29 01:30:00 UTC
    for i in range(12):
        store.append(job(str(i), now + 60 * i, took=0.3))
    figure = timeline(store)
    drawn(figure)
    labels = [t for t in figure.axes[-1].get_xticklabels() if t.get_text()]
    assert labels[0].get_text() == "01:30:00"
    boxes = [label.get_window_extent() for label in labels]
    assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))
    assert figure.axes[-1].get_xlabel() == "UTC on 2026-03-29, idle time folded"
    alone = timeline(store, limit=1)
    assert alone.axes[-1].get_xlabel() == "time since 2026-03-29 01:41:00 UTC"


@pytest.mark.parametrize(
    ("seconds", "step", "text"),
    [
        (0.25, 0.05, "250 ms"),
        (0.0002, 0.0001, "0.2 ms"),
        (4.0, 2.0, "4 s"),
        (1.5, 0.5, "1.5 s"),
        (120.0, 60.0, "2 min"),
        (300.0, 60.0, "5 min"),
        (5400.0, 1800.0, "1 h 30"),
        (7200.0, 3600.0, "2 h"),
    ],
)
def test_a_tick_is_as_precise_as_its_step(seconds: float, step: float, text: str) -> None:
    assert elapsed(seconds, step) == text


# -- model loads ----------------------------------------------------------------------------------


def test_model_loads_have_lanes_of_their_own_above_the_jobs(store: Store) -> None:
    store.append(job("a", 100.0))
    store.put_span(Span("1", "weights $x$ \x07", "load", 90.0, 96.0))
    store.put_span(Span("2", "beside", "load", 91.0, 93.0))
    store.put_span(Span("3", "after", "load", 97.0, 99.0))
    figure = timeline(store)
    figure.canvas.draw()
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["setup", "slot 1"]
    hatched = [c for c in ax.collections if isinstance(c, PolyCollection) and c.get_hatch()]
    (bars,) = hatched
    boxes = [path.get_extents() for path in bars.get_paths()]
    assert [round(box.x1 - box.x0) for box in boxes] == [6, 2, 2]
    assert boxes[0].y0 == boxes[2].y0 > boxes[1].y0 > 1.0, "two lanes, above that of the job"
    assert ax.get_ylim()[1] > 3
    words = [text.get_text() for text in ax.texts]
    assert "weights $x$  , 6.00 s" in words
    assert "load or setup" in [t.get_text() for t in ax.get_legend().get_texts()]


def test_a_load_is_drawn_before_there_is_a_job_and_one_that_lasts_to_now(store: Store) -> None:
    store.put_span(Span("1", "weights", "load", time.time() - 30))
    figure = timeline(store, session=store.session_id)
    figure.canvas.draw()
    (bars,) = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
    box = bars.get_paths()[0].get_extents()
    assert 29 < box.x1 - box.x0 < 90
    assert figure.axes[0].get_title(loc="left") == "no jobs yet"
