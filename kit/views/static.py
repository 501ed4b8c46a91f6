"""What is left in a saved notebook: a table with bars, as escaped HTML, and the same as text.

Written in under 2 ms without matplotlib, since it is part of every handler cell. Everything that
comes from a handler, an input or an output is masked for keys and escaped; there is no script and no
address in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from kit.events import JobState
from kit.secret import redact
from kit.views import codec
from kit.views.outputs import STATIC_CSS
from kit.views.words import (
    STATE_COLOURS,
    STATE_WORDS,
    clock,
    duration,
    memory,
    percentile,
    plural,
)

if TYPE_CHECKING:
    from kit.rows import JobRow

#: jobs in the table
SHOWN = 12
_ORDER = (
    JobState.COMPLETED,
    JobState.FAILED,
    JobState.TIMED_OUT,
    JobState.CANCELLED,
    JobState.LOST,
    JobState.IN_PROGRESS,
    JobState.IN_QUEUE,
)
_FONT = "font-variant-numeric:tabular-nums;font-size:13px;line-height:20px"
_SOFT = "opacity:.7"
_COLUMNS = ("Job", "Version", "State", "Time", "Took", "Peak", "Findings")
_TABLE_CSS = (
    # twice the class: front ends align tables of their own accord
    ".kit-static.kit-static table{border-collapse:collapse;width:100%;max-width:900px;margin:4px 0;"
    "table-layout:auto}"
    ".kit-static.kit-static :is(th,td){text-align:left;padding:1px 12px 1px 0;max-width:none}"
    ".kit-static.kit-static th:nth-child(4){width:40%}"
    ".kit-static.kit-static :is(th,td):not([colspan]){white-space:nowrap}"
    ".kit-static.kit-static :is(th,td):nth-child(n+5){text-align:right}"
)


@dataclass(frozen=True, slots=True)
class Picture:
    """What a static card says.

    Attributes
    ----------
    title : str
        Handler, kind, version; or what the panel shows.
    rows : sequence of JobRow
        The latest jobs, newest first, at most ``SHOWN``.
    counts : dict of JobState to int
        Of all jobs of this view.
    times_ms : sequence of float
        Execution times of completed jobs, for the percentiles.
    note : str or None
        One sentence at the head.
    call : str
        What to type in the empty state, ``kit.run({...})``.
    """

    title: str
    rows: Sequence[JobRow]
    counts: dict[JobState, int]
    times_ms: Sequence[float]
    note: str | None
    call: str


def safe(text: str) -> str:
    """Text from anywhere as HTML text: keys masked, escaped, no control or direction characters."""
    masked = redact(text)
    if not masked.isprintable():
        masked = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in masked)
    return escape(masked, quote=True)


def picture_html(picture: Picture) -> str:
    """The table, in a ``div`` that a live card beside it hides."""
    parts = [
        f'<div class="kit-static" style="{_FONT}"><style>{STATIC_CSS}{_TABLE_CSS}</style>',
        f"<div><b>{safe(picture.title)}</b></div>",
    ]
    if picture.note:
        parts.append(f"<div>{safe(picture.note)}</div>")
    if picture.rows:
        parts.append(f'<div style="{_SOFT}">{escape(summary(picture))}</div>')
        parts.append(_table(picture.rows))
        if left := _left(picture):
            parts.append(f'<div style="{_SOFT}">{left}</div>')
    else:
        parts.append(f"<div>No jobs yet. Run one: <code>{safe(picture.call)}</code></div>")
    parts.append("</div>")
    return "".join(parts)


def picture_text(picture: Picture) -> str:
    """The same for a terminal, and for front ends without HTML."""
    lines = [redact(picture.title)]
    if picture.note:
        lines.append(redact(picture.note))
    if not picture.rows:
        lines.append(f"No jobs yet. Run one: {redact(picture.call)}")
        return "\n".join(lines)
    lines.append(summary(picture))
    for row in picture.rows:
        error = f"  {_one_line(row.error_message)}" if row.error_message else ""
        lines.append(
            f"  {clock(row.submitted_at)}  {redact(_id(row)):<20} v{row.version:<4}"
            f"{STATE_WORDS[row.state]:<10} {duration(row.execution_ms):>9}{error}"
        )
    if left := _left(picture):
        lines.append(f"  {left}")
    return "\n".join(lines)


def _left(picture: Picture) -> str:
    """How many jobs are counted and have no row."""
    left = sum(picture.counts.values()) - len(picture.rows)
    return f"{left:,} older not shown" if left > 0 else ""


def summary(picture: Picture) -> str:
    """``17 completed, 2 failed; p50 1.62 s, p95 2.90 s; peak 19.8 GiB``."""
    counts = [
        f"{picture.counts[state]:,} {STATE_WORDS[state]}"
        for state in _ORDER
        if picture.counts.get(state)
    ]
    parts = [", ".join(counts)]
    if picture.times_ms:
        p50, p95 = (percentile(picture.times_ms, share) for share in (0.5, 0.95))
        parts.append(f"p50 {duration(p50)}, p95 {duration(p95)}")
    peaks = [
        peak for peak, _ in (codec.peak_of(row.memory) for row in picture.rows) if peak == peak
    ]
    if peaks:
        parts.append(f"peak {memory(max(peaks))}{_kind(picture.rows)}")
    return "; ".join(parts)


def _kind(rows: Sequence[JobRow]) -> str:
    return "" if any(use.kind == "vram" for row in rows for use in row.memory) else " (RSS)"


def _table(rows: Sequence[JobRow]) -> str:
    start, span = _window(rows)
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    body = "".join(_row(row, start, span) for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(row: JobRow, start: float, span: float) -> str:
    peak, _ = codec.peak_of(row.memory)
    left, wait, wide = _bar(row, start, span)
    # the geometry is inline: it survives where a front end strips the style element
    bar = (
        '<div style="position:relative;height:12px">'
        f'<div style="position:absolute;left:{left:.2f}%;width:{wait:.2f}%;top:5px;height:2px;'
        f'background:{STATE_COLOURS[JobState.IN_QUEUE]}"></div>'
        f'<div style="position:absolute;left:{left + wait:.2f}%;width:{wide:.2f}%;min-width:3px;'
        f'height:12px;border-radius:3px;background:{STATE_COLOURS[row.state]}"></div></div>'
    )
    cells = (
        safe(_id(row)),
        f"v{row.version}",
        STATE_WORDS[row.state],
        bar,
        duration(row.execution_ms),
        memory(peak),
        str(row.n_findings) if row.n_findings else "",
    )
    line = f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    if row.error_message:
        why = safe(_one_line(row.error_message))
        line += f'<tr><td></td><td colspan="6" style="{_SOFT}">{why}</td></tr>'
    return line


def _window(rows: Sequence[JobRow]) -> tuple[float, float]:
    """Beginning and length of the time the bars share: the latest jobs without a pause over 60 s."""
    newest_first = sorted(rows, key=lambda row: row.submitted_at, reverse=True)
    start = newest_first[0].submitted_at
    for row in newest_first[1:]:
        if start - (row.ended_at or row.submitted_at) > 60:
            break
        start = min(start, row.submitted_at)
    end = max((row.ended_at or row.started_at or row.submitted_at) for row in rows)
    return start, max(end - start, 1e-6)


def _bar(row: JobRow, start: float, span: float) -> tuple[float, float, float]:
    """Left edge, wait and run of a job in percent of the window, kept inside it."""
    submitted = row.submitted_at
    started = row.started_at if row.started_at is not None else row.ended_at
    end = row.ended_at if row.ended_at is not None else start + span
    points = [submitted, end if started is None else started, end]
    shares = [min(100.0, max(0.0, (p - start) / span * 100)) for p in points]
    return shares[0], max(0.0, shares[1] - shares[0]), max(0.0, shares[2] - shares[1])


def _id(row: JobRow) -> str:
    return codec.short_id(row.id).decode("utf-8", "replace")


def _one_line(text: str, limit: int = 160) -> str:
    line = " ".join(redact(text[:4000]).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def title_of(
    name: str, kind: str, version: int, lines_changed: int | None, cell: int | None
) -> str:
    """``classify · sync · v3, 2 lines changed · In [12]``."""
    changed = ""
    if lines_changed is not None:
        changed = f", {plural(lines_changed, 'line')} changed" if lines_changed else ", unchanged"
    place = f" · In [{cell}]" if cell is not None else ""
    return f"{name} · {kind} · v{version}{changed}{place}"
