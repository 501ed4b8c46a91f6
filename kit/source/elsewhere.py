"""What a handler uses and only a pod makes: names of cells that stand under ``%%kit_remote``."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from kit import findings
from kit.events import Finding
from kit.source.edited import names_used, namespace_of
from kit.source.record import Cell, Record


class Elsewhere:
    """Tells before a job runs in this kernel that it will miss a name, and which cell makes it.

    Parameters
    ----------
    record : Record
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._seen: dict[tuple[str, int], tuple[int, dict[str, str]]] = {}

    def missing(self, name: str, version: int, function: Callable[..., Any]) -> tuple[Finding, ...]:
        """One finding if something is missing; microseconds if no cell has run meanwhile."""
        at, revision = (name, version), self._record.revision
        seen = self._seen.get(at)
        if seen is None or seen[0] != revision:
            seen = self._seen[at] = (revision, self._made_there(function))
        namespace = namespace_of(function)
        absent = {n: cell for n, cell in seen[1].items() if n not in namespace}
        if not absent:
            return ()
        return (findings.made_on_pod(list(absent), list(dict.fromkeys(absent.values()))),)

    def _made_there(self, function: Callable[..., Any]) -> dict[str, str]:
        cells = [cell for cell in self._record.cells() if cell.remote and cell.ok]
        used = names_used(function) - set(dir(builtins)) if cells else set()
        return {name: cell.label for cell in cells for name in sorted(_binds(cell)) if name in used}


def _binds(cell: Cell) -> set[str]:
    from kit.source.statements import Unreadable, split

    found = split(cell, 0)
    if isinstance(found, Unreadable):
        return set()
    return {name for statement in found for name in statement.facts.binds}
