"""How bundles, reports and explanations look: plain text, and escaped HTML in the theme's colours."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from kit.export.diff import summary
from kit.export.place import plain
from kit.secret import redact
from kit.source.commands import named

if TYPE_CHECKING:
    from kit.export.diff import Diff
    from kit.export.report import Bundle, Explanation, Report
    from kit.source.slice import Decision

# Jupyter's variables with fallbacks for where there are none (VS Code, static HTML)
_FONT = "font:13px/1.5 var(--jp-ui-font-family,system-ui,sans-serif);"
_TEXT = "color:var(--jp-ui-font-color1,inherit);"
_FAINT = "color:var(--jp-ui-font-color2,#666);"
_CODE = "font:12px/1.5 var(--jp-code-font-family,ui-monospace,monospace);"
_LINE = "1px solid var(--jp-border-color2,#8884)"
_CELL = "padding:2px 12px 2px 0;text-align:left;vertical-align:top;"
_COLOURS = {
    "equal": "var(--jp-success-color1,#0b8f6a)",
    "completed": "var(--jp-success-color1,#0b8f6a)",
    "different": "var(--jp-error-color1,#d1491f)",
    "not verified": "var(--jp-warn-color1,#b8860b)",
}
_MANY = 30  # files that are named one by one
_MARKS = {
    "equal": "✓", "completed": "✓", "different": "≠", "failed": "✗", "not verified": "?",
    "not run": "-",
}  # fmt: skip


def report_text(report: Report) -> str:
    """A report in plain text."""
    lines = [f"{_MARKS[report.verdict]} {report.sentence()}"]
    for row in report.rows:
        if row.result == "equal":
            continue  # counted above; the others are what a person looks for
        lines.append(f"  {_MARKS[row.result]} job {row.job_id} {row.state}: {row.result}")
        if row.path:
            lines += [
                f"      at {row.path}",
                f"      notebook: {_one_line(row.notebook)}",
                f"      worker:   {_one_line(row.worker)}",
            ]
        if row.reason:
            lines.append(f"      {_one_line(row.reason)}")
    lines += [f"  ! {_one_line(found.sentence())}" for found in report.drift]
    if report.not_compared:
        lines.append(f"  constants were not compared: {_one_line(report.not_compared)}")
    normalised = _normalised(report)
    if normalised:
        lines.append("  left out of the comparison: " + "; ".join(normalised))
    return "\n".join(lines)


def bundle_text(bundle: Bundle) -> str:
    """A bundle in plain text."""
    lines = [f"{bundle.handler} exported to {bundle.path}", "  " + _files(bundle)]
    lines += [f"  {line}" for line in _changed(bundle)]
    lines += ["  " + line for line in report_text(bundle.report).split("\n")]
    lines.append(f"  {_counts(bundle)}; bundle.explain() says why")
    lines += [f"  ! {_one_line(note)}" for note in bundle.notes]
    lines += [f"  ? {_place(d)} {_one_line(d.reason)}" for d in bundle.questions]
    return "\n".join(lines)


def explanation_text(explanation: Explanation) -> str:
    """Every statement with its fate, in plain text."""
    rows = _explained(explanation)
    widths = [max((len(r[i]) for r in rows), default=0) for i in range(3)]
    lines = [
        f"{fate:<{widths[0]}}  {place:<{widths[1]}}  {code:<{widths[2]}}  {reason}"
        for fate, place, code, reason in rows
    ]
    return "\n".join([*lines, *_counted(explanation)])


def _explained(explanation: Explanation) -> list[tuple[str, str, str, str]]:
    shown = explanation.listed
    codes = redact("\n".join(map(_code_line, shown))).split("\n")
    return [
        (
            ("kept" if d.kept else "dropped") + ("?" if d.question else ""),
            d.statement.place,
            code,
            d.reason,
        )
        for d, code in zip(shown, codes)
    ]


def _counted(explanation: Explanation) -> list[str]:
    counts = explanation.counted
    if not counts:
        return []
    told = ", ".join(f"{number} x {reason!r}" for reason, number in sorted(counts.items()))
    return [f"dropped and not listed: {told}; explain(all=True) lists them"]


def report_html(report: Report) -> str:
    """A report as HTML; every text in it escaped."""
    return _frame(_report_parts(report))


def bundle_html(bundle: Bundle) -> str:
    """A bundle as HTML; every text in it escaped."""
    name = f'<b style="font-weight:600">{escape(bundle.handler)}</b>'
    why = f'<code style="{_CODE}">bundle.explain()</code> says why'
    parts = [
        f'<div>{name} exported to <code style="{_CODE}">{escape(str(bundle.path))}</code></div>',
        f'<div style="{_FAINT}{_CODE}">{escape(_files(bundle))}</div>',
        *(f'<div style="{_FAINT}">{_words(line)}</div>' for line in _changed(bundle)),
        *_report_parts(bundle.report),
        f'<div style="{_FAINT}">{escape(_counts(bundle))}; {why}</div>',
    ]
    notes = [*bundle.notes, *(f"{_place(d)} {d.reason}" for d in bundle.questions)]
    if notes:
        items = "".join(f"<li>{_words(note)}</li>" for note in notes)
        parts.append(f'<ul style="margin:4px 0 0;padding-left:20px">{items}</ul>')
    return _frame(parts)


def explanation_html(explanation: Explanation) -> str:
    """Every statement with its fate, as a table; every text in it escaped."""
    table = _table(["", "where", "statement", "because"], _explained(explanation), code=(2,))
    rest = [f'<div style="{_FAINT}">{escape(line)}</div>' for line in _counted(explanation)]
    return _frame([table, *rest])


def diff_text(diff: Diff) -> str:
    """A diff in plain text; nothing in it moves a cursor."""
    text = "".join(c if c.isprintable() or c in "\n\t" else "?" for c in str(diff))
    return text.rstrip("\n") or "nothing changed"


def diff_html(diff: Diff) -> str:
    """A diff as HTML; every text in it escaped, lines that came and went in the theme's colours."""
    lines = []
    for line in diff_text(diff).split("\n"):
        colour = ""
        if line.startswith(("+", "-")) and not line.startswith(("+++ ", "--- ")):
            colour = f"color:{_COLOURS['equal' if line[0] == '+' else 'different']};"
        elif line.startswith("@@"):
            colour = _FAINT
        lines.append(f'<div style="{colour}white-space:pre-wrap">{escape(line) or "&nbsp;"}</div>')
    return _frame([f'<div style="{_CODE}">{"".join(lines)}</div>'])


def _files(bundle: Bundle) -> str:
    """The bundle's files; of the copied ones only so many that a person still reads them."""
    names = [plain(name) for name in bundle.files]
    shown = names if len(names) <= _MANY else [*names[:_MANY], f"and {len(names) - _MANY} more"]
    return "  ".join(shown)


def _changed(bundle: Bundle) -> list[str]:
    told = summary(bundle.changes)
    return [f"since the last export here: {told}; `bundle.diff()` shows it"] if told else []


def _report_parts(report: Report) -> list[str]:
    style = f"color:{_COLOURS[report.verdict]};font-weight:600"
    word = f'<span style="{style}">{_MARKS[report.verdict]} {escape(report.verdict)}</span>'
    rest = escape(report.sentence()[len(report.verdict) :])
    parts = [f'<div style="margin-top:4px">{word}{rest}</div>']
    rows = [
        [f"{_MARKS[r.result]} {r.result}", r.job_id, r.state, r.path, r.notebook, r.worker]
        for r in report.rows
        if r.path
    ]
    if rows:
        parts.append(_table(["", "job", "state", "at", "notebook", "worker"], rows, code=(3, 4, 5)))
    reasons = [f"job {r.job_id}: {r.reason}" for r in report.rows if r.reason]
    parts += [f'<div style="{_FAINT}">{escape(text)}</div>' for text in reasons]
    if report.drift:
        items = "".join(f"<li>{_words(found.sentence())}</li>" for found in report.drift)
        parts.append(f'<ul style="margin:4px 0 0;padding-left:20px">{items}</ul>')
    if report.not_compared:
        text = f"constants were not compared: {report.not_compared}"
        parts.append(f'<div style="{_FAINT}">{escape(text)}</div>')
    normalised = _normalised(report)
    if normalised:
        text = "left out of the comparison: " + "; ".join(normalised)
        parts.append(f'<div style="{_FAINT}">{escape(text)}</div>')
    return parts


def _frame(parts: Iterable[str]) -> str:
    return f'<div style="{_FONT}{_TEXT}font-variant-numeric:tabular-nums">{"".join(parts)}</div>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, code: Collection[int]) -> str:
    """An HTML table; the columns in ``code`` are set in the code font."""
    top = "".join(
        f'<th style="{_CELL}{_FAINT}font:inherit;border-bottom:{_LINE}">{escape(h)}</th>'
        for h in head
    )
    body = ""
    for row in rows:
        cells = ""
        for i, text in enumerate(row):
            body_text = (
                f'<span style="{_CODE}">{escape(text)}</span>' if i in code else _words(text)
            )
            cells += f'<td style="{_CELL}font:inherit;overflow-wrap:anywhere">{body_text}</td>'
        body += f"<tr>{cells}</tr>"
    return (
        f'<table style="border-collapse:collapse;margin:4px 0;font:inherit;{_TEXT}"><thead><tr>{top}</tr>'
        f"</thead><tbody>{body}</tbody></table>"
    )


def _words(text: str) -> str:
    """A sentence, escaped; what stands in backquotes in the code font."""
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:  # a backquote of somebody else's
        return escape(text)
    coded = (f'<code style="{_CODE}">{p}</code>' if i % 2 else p for i, p in enumerate(parts))
    return "".join(coded)


def _counts(bundle: Bundle) -> str:
    kept, dropped = len(bundle.kept), len(bundle.dropped)
    quiet = sum(d.quiet for d in bundle.decisions)
    own = f" ({quiet} of them display lines, magics or the kit's own)" if quiet else ""
    return f"{kept} statement{'s' * (kept != 1)} kept, {dropped} dropped{own}"


def _place(decision: Decision) -> str:
    word = "kept" if decision.kept else "dropped"
    return f"{decision.statement.place} ({word}):"


def _code_line(decision: Decision, limit: int = 60) -> str:
    statement = decision.statement
    magic = statement.magic
    if magic is not None and not statement.facts.binds:
        return _one_line(named(magic), limit)
    code = [line for line in statement.text.split("\n") if not line.lstrip().startswith("#")]
    more = " ..." if len(code) > 1 else ""
    return _one_line((code[0] if code else "") + more, limit)


def _one_line(text: str, limit: int = 400) -> str:
    plain = " ".join(text.split())
    plain = "".join(c if c.isprintable() else "?" for c in plain)
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."


def _normalised(report: Report) -> list[str]:
    return list(dict.fromkeys(n for row in report.rows for n in row.normalised))
