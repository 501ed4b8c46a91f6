"""The page: head, figures in numbers, timeline, findings, jobs. No script, no address, no font to fetch."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.absence import Absence
from kit.events import Finding, JobState, JobView
from kit.rows import JobRow
from kit.views import codec
from kit.views.report.jobs import details_html, table_html
from kit.views.report.markup import line
from kit.views.report.media import Budget
from kit.views.words import STATE_WORDS, duration, memory, percentile, plural

#: what a report begins with: how the next one knows that it may take its place
MARK = b'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="generator" content="handler-kit report">'
#: so many of the newest jobs, and of the newest that failed, are unfolded
_OPEN, _OPEN_WRONG = 5, 3
#: nothing may be fetched or run, whatever stands in the page
_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is said of the whole.

    Attributes
    ----------
    version : str
        Of the kit.
    session : str
        Id of the session, or what stands for several.
    more : int
        Jobs that are not in the report.
    absences : sequence of Absence
        Memory figures that are missing, and why.
    devices : sequence of str
        Names of GPUs.
    """

    version: str
    session: str
    more: int
    absences: Sequence[Absence]
    devices: Sequence[str]


def anchors_of(rows: Sequence[JobRow]) -> dict[str, str]:
    """Where on the page each job is, by key. Made here: a job's own id is whatever a client sent."""
    return {row.key: f"job-{number}" for number, row in enumerate(rows, 1)}


def page_html(rows: Sequence[JobRow], views: Sequence[JobView], figure: str, facts: Facts) -> str:
    """The whole file as text.

    Parameters
    ----------
    rows, views
        The jobs, newest first; the same ones.
    figure : str
        HTML of the timeline.
    facts : Facts
    """
    anchors, budget = anchors_of(rows), Budget()
    css = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    title = _title(rows)
    # a first look is at the newest and at what went wrong; the rest is folded
    wrong = [n for n, view in enumerate(views) if view.error is not None][:_OPEN_WRONG]
    shown = {*range(_OPEN), *wrong}
    details = [
        details_html(view, anchors[view.key], budget, shown=n in shown)
        for n, view in enumerate(views)
    ]
    parts = [
        MARK.decode(),
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{line(title, 120)}</title><style>{css}</style></head><body><main>",
        f"<header><h1>{line(title, 120)}</h1><p class='about'>{_about(rows)}</p></header>",
        _tiles(rows),
        f"<section><h2>Timeline</h2>{figure}</section>",
        _findings(views, anchors),
        "<section><h2>Jobs</h2>",
        table_html(rows, views, anchors, _clocks(rows)) if rows else "<p>No jobs yet.</p>",
        f'<p class="soft">{facts.more:,} older not shown</p>' if facts.more else "",
        "</section>",
        f"<section><h2>Inputs and outputs</h2>{''.join(details)}</section>" if details else "",
        _foot(facts),
        "</main></body></html>\n",
    ]
    return "".join(parts)


def _title(rows: Sequence[JobRow]) -> str:
    names = list(dict.fromkeys(row.handler for row in rows))
    if not names:
        return "Report"
    if len(names) == 1:
        versions = sorted({row.version for row in rows})
        which = f"v{versions[0]}" if len(versions) == 1 else f"v{versions[0]} to v{versions[-1]}"
        return f"{names[0]} {which}"
    return f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''}"


def _about(rows: Sequence[JobRow]) -> str:
    written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    parts = [plural(len(rows), "job")]
    if rows:
        first = min(row.submitted_at for row in rows)
        last = max(row.ended_at or row.submitted_at for row in rows)
        parts.append(f"from {_stamp(first)} to {_stamp(last)} UTC")
        parts.append("on " + ", ".join(sorted({row.target for row in rows})))
    return line(f"{', '.join(parts)}. Written {written}.", 400)


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def _clocks(rows: Sequence[JobRow]) -> list[str]:
    days = {time.strftime("%Y-%m-%d", time.gmtime(row.submitted_at)) for row in rows}
    form = "%H:%M:%S" if len(days) < 2 else "%m-%d %H:%M:%S"
    return [time.strftime(form, time.gmtime(row.submitted_at)) for row in rows]


def _tiles(rows: Sequence[JobRow]) -> str:
    counts = Counter(row.state for row in rows)
    tiles = [
        (f"{counts[state]:,}", STATE_WORDS[state]) for state in STATE_WORDS if counts.get(state)
    ]
    took = [
        row.execution_ms
        for row in rows
        if row.state is JobState.COMPLETED and row.execution_ms is not None
    ]
    if took:
        tiles.append((duration(percentile(took, 0.5)), "median run"))
        tiles.append((duration(percentile(took, 0.95)), "p95 run"))
    peaks = [codec.peak_of(row.memory) for row in rows]
    if known := [peak for peak, _ in peaks if peak == peak]:
        vram = any(flags & codec.MEMORY_VRAM for _, flags in peaks)
        tiles.append((memory(max(known)), f"highest peak, {'VRAM' if vram else 'RSS'}"))
    cells = "".join(
        f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for value, name in tiles
    )
    return f'<div class="tiles">{cells}</div>' if cells else ""


def _findings(views: Sequence[JobView], anchors: dict[str, str]) -> str:
    """Each finding once, with how often and where it was first seen."""
    first: dict[tuple[str, str], tuple[Finding, JobView]] = {}
    count: Counter[tuple[str, str]] = Counter()
    for view in reversed(views):
        for one in view.findings:
            at = (one.code, one.place or one.sentence)
            first.setdefault(at, (one, view))
            count[at] += 1
    if not first:
        return ""
    items = []
    for at, (one, view) in sorted(first.items()):
        rest = ": ".join(part for part in (one.place, one.remedy) if part)
        times = f" {count[at]:,} times, first in" if count[at] > 1 else " In"
        job = line(codec.short_id(view.id).decode("utf-8", "replace"), 24)
        items.append(
            f'<div class="finding"><b>{line(one.code, 12)}</b><div><p>{line(one.sentence, 500)}</p>'
            f'<p class="soft">{line(rest, 500)}{times} <a href="#{anchors[view.key]}">job {job}</a>.'
            "</p></div></div>"
        )
    return f"<section><h2>Findings</h2>{''.join(items)}</section>"


def _foot(facts: Facts) -> str:
    words = [f"handler-kit {facts.version}, Python {platform.python_version()}, {facts.session}"]
    words += [f"GPU {n}: {name}" for n, name in enumerate(facts.devices)]
    words += [one.reason for one in facts.absences]
    return "<footer>" + "".join(f"<p>{line(text, 400)}</p>" for text in words) + "</footer>"
