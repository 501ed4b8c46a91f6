"""What a plan came to, for a person: which statements ran on the pod, why, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass

_WIDTH = 52


@dataclass(frozen=True, slots=True)
class Row:
    """One statement.

    Attributes
    ----------
    place : str
        ``In [3], line 7``.
    source : str
        Its first line.
    ran : bool
    why : str
        A phrase.
    took_ms : float or None
        None if it did not run, or not to its end.
    """

    place: str
    source: str
    ran: bool
    why: str
    took_ms: float | None = None


@dataclass(frozen=True)
class Plan:
    """The statements of a handler on a pod; shows itself as a table.

    Attributes
    ----------
    handler : str
    version : int
    rows : tuple of Row
        In the order in which they run.
    notes : tuple of str
        What a person should know, one sentence each.
    error : str or None
        Why it ended early.
    """

    handler: str
    version: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    error: str | None = None

    @property
    def ran(self) -> tuple[Row, ...]:
        """The statements that ran."""
        return tuple(row for row in self.rows if row.ran)

    def __repr__(self) -> str:
        head = f"{self.handler} v{self.version}: {len(self.ran)} of {len(self.rows)} statements ran"
        lines = [head]
        place = max([len(row.place) for row in self.rows], default=0)
        for row in self.rows:
            took = "" if row.took_ms is None else f"{row.took_ms:,.1f} ms"
            mark = "ran " if row.ran else "kept"
            source = row.source if len(row.source) <= _WIDTH else row.source[: _WIDTH - 1] + "…"
            lines.append(
                f"  {mark}  {row.place:<{place}}  {source:<{_WIDTH}}  {took:>12}  {row.why}".rstrip()
            )
        lines += [f"  {note}" for note in self.notes]
        if self.error is not None:
            lines.append(f"  stopped: {self.error}")
        return "\n".join(lines)
