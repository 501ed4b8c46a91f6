"""The jobs of a report: one table of all, and for each what went in, what came out and what was said."""

from __future__ import annotations

from collections.abc import Sequence

from kit.events import ErrorInfo, JobState, JobView
from kit.job import reason_of
from kit.payload import RUN_LIMIT_BYTES
from kit.rows import JobRow
from kit.views import codec
from kit.views.detail import key_at
from kit.views.jobstatic import (
    error_lines,
    lines_of,
    log_tail,
    media_in,
    output_of,
    tree_of,
)
from kit.views.report.markup import line, swatch
from kit.views.report.media import Budget, media_html
from kit.views.static import safe
from kit.views.words import STATE_WORDS, duration, memory, plural, size

#: findings shown under one job
_FINDINGS = 12


def table_html(
    rows: Sequence[JobRow],
    views: Sequence[JobView],
    anchors: dict[str, str],
    clock_of: Sequence[str],
) -> str:
    """All jobs, a row each.

    Parameters
    ----------
    rows, views
        The jobs, the same ones.
    anchors : dict of str to str
        Where a job's details are, by key.
    clock_of : sequence of str
        When each was submitted, as text.
    """
    head = "".join(
        f'<th class="{kind}">{name}</th>'
        for name, kind in (
            ("Job", ""), ("Handler", ""), ("State", ""), ("Submitted", "narrow w"), ("Queue", "n narrow"),
            ("Ran", "n"), ("Peak", "n"), ("Findings", "n"), ("What went wrong", ""),
        )
    )  # fmt: skip
    errors = {view.key: view.error for view in views}
    lines = [
        _row(row, anchors.get(row.key), at, errors.get(row.key))
        for row, at in zip(rows, clock_of, strict=True)
    ]
    note = '<p class="soft">≤: other jobs ran beside it.</p>' if any(map(_is_shared, rows)) else ""
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{note}"
    )


def _row(row: JobRow, anchor: str | None, at: str, error: ErrorInfo | None) -> str:
    name = line(_short(row.id), 24)
    peak, _ = codec.peak_of(row.memory)
    # a figure that is another job's too must not look like this one's
    shared = "≤ " if _is_shared(row) else ""
    wrong = row.lost if error is None else reason_of(error)
    found = f'<span class="mark">{row.n_findings}</span>' if row.n_findings else ""
    linked = f'<a href="#{anchor}">{name}</a>' if anchor else name
    return (
        f'<tr><td class="w">{linked}</td><td>{line(row.handler, 60)} '
        f'<span class="soft">v{row.version}</span></td>'
        f'<td class="w">{swatch(row.state)}{STATE_WORDS[row.state]}</td>'
        f'<td class="w narrow">{at}</td><td class="n narrow">{duration(row.delay_ms)}</td>'
        f'<td class="n">{duration(row.execution_ms)}</td><td class="n">{shared}{memory(peak)}</td>'
        f'<td class="n">{found}</td><td>{line(wrong, 160) if wrong else ""}</td></tr>'
    )


def _is_shared(row: JobRow) -> bool:
    peak, flags = codec.peak_of(row.memory)
    return peak == peak and not flags & codec.MEMORY_OWN


def _short(id: str) -> str:
    return codec.short_id(id).decode("utf-8", "replace")


def details_html(view: JobView, anchor: str, budget: Budget, *, shown: bool) -> str:
    """One job, folded or open: output with its media, input, error, log and findings."""
    left = [_output(view, budget)]
    error = error_lines(view)
    if error and error[0]:
        trace = f"<pre>{safe(error[1])}</pre>" if error[1] else ""
        kind = "soft" if view.state is JobState.IN_QUEUE else "error"
        left.insert(0, f'<p class="{kind}">{line(error[0], 600)}</p>{trace}')
    right = [_input(view, budget)]
    if logs := log_tail(view):
        right.append(f"<h3>Printed</h3><pre>{safe(logs)}</pre>")
    notes = [_finding(view, n) for n in range(min(len(view.findings), _FINDINGS))]
    if len(view.findings) > _FINDINGS:
        notes.append(f'<p class="soft">{len(view.findings) - _FINDINGS} more</p>')
    below = f'<div class="wide"><h3>Findings</h3>{"".join(notes)}</div>' if notes else ""
    facts = [f"{view.handler} v{view.version}", duration(view.execution_ms)]
    if view.delay_ms is not None:
        facts.append(f"queued {duration(view.delay_ms)}")
    peak, flags = codec.peak_of(view.memory)
    if peak == peak:
        whose = "its own" if flags & codec.MEMORY_OWN else "shared"
        how = "exact" if flags & codec.MEMORY_EXACT else "sampled"
        facts.append(f"peak {memory(peak)}, {whose}, {how}")
    if view.stream:
        facts.append(plural(len(view.stream), "chunk"))
    return (
        f'<details id="{anchor}"{" open" if shown else ""}><summary><b>{line(_short(view.id), 24)}</b>'
        f"<span>{swatch(view.state)}{STATE_WORDS[view.state]}</span>"
        f'<span class="soft">{line(" · ".join(facts), 300)}</span></summary>'
        f'<div class="body"><div>{"".join(left)}</div><div>{"".join(right)}</div>{below}</div></details>'
    )


def _output(view: JobView, budget: Budget) -> str:
    text, at = output_of(view)
    if text is None:
        return ""
    tree = tree_of(text, at)
    count = len(text.encode("utf-8", "replace"))
    name = "Output" if view.done is not None and text == view.done else "Stream"
    full = ""
    if name == "Output" and count > RUN_LIMIT_BYTES // 20:
        full = f", {count / RUN_LIMIT_BYTES:.0%} of what /run takes"
    return (
        f'<h3>{name} <span class="soft">{size(count)}{full}</span></h3>'
        f"{media_html(text, list(media_in(tree)), budget)}<pre>{safe(lines_of(tree))}</pre>"
    )


def _input(view: JobView, budget: Budget) -> str:
    if view.request is None:
        return '<h3>Input</h3><p class="soft">no longer stored</p>'
    tree = tree_of(view.request, key_at(view.request, "input") or [])
    count = len(view.request.encode("utf-8", "replace"))
    return (
        f'<h3>Input <span class="soft">{size(count)}</span></h3>'
        f"{media_html(view.request, list(media_in(tree)), budget)}<pre>{safe(lines_of(tree))}</pre>"
    )


def _finding(view: JobView, index: int) -> str:
    one = view.findings[index]
    rest = ": ".join(part for part in (one.place, one.remedy) if part)
    return (
        f'<div class="finding"><b>{line(one.code, 12)}</b><p>{line(one.sentence, 500)} '
        f'<span class="soft">{line(rest, 500)}</span></p></div>'
    )
