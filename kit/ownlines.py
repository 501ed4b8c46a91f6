"""The kit's own lines on top of a cell: found, checked, and blanked before Python sees the cell."""

from __future__ import annotations

import re

from kit import remotecell
from kit.errors import UsageError
from kit.line import HelpAsked, parse, parse_load
from kit.source.record import handler_line, load_line

_OWN = re.compile(r"%%(handler|kit_load|kit_remote)(?=[\s?]|$)")
_MAGIC = re.compile(r"\s*%%handler(?=\s|$)(.*)", re.DOTALL)


def line_of(source: str) -> str | None:
    """What stands after ``%%handler`` in a cell; None if it is no handler cell."""
    lines = source.splitlines(keepends=True)
    index = handler_line(lines)
    if index is None:
        return None
    found = _MAGIC.match(lines[index])
    return found[1].strip() if found else None


def load_of(source: str) -> str | None:
    """What stands after ``%%kit_load`` in a cell; None if it is not there."""
    lines = source.splitlines()
    index = load_line(lines)
    return None if index is None else lines[index].partition("%%kit_load")[2].strip()


def transform(lines: list[str]) -> list[str]:
    """Blank the kit's own lines that parse; otherwise put one first, so that its magic speaks.

    Pure: IPython calls it twice a cell and again to check completeness.
    """
    remote = remotecell.marked(lines)
    if remote is not None:
        return remote
    for find, text_of, check in (
        (load_line, load_of, parse_load),
        (handler_line, line_of, parse),
    ):
        index = find(lines)
        if index is None:
            continue
        try:
            check(text_of("".join(lines)) or "")
        except (UsageError, HelpAsked):
            rest = [*lines[:index], *lines[index + 1 :]]
            # IPython refuses a cell magic without a body before it would run it
            return [lines[index].rstrip("\n") + "\n", *(rest or ["\n"])]
        lines = [*lines[:index], "\n", *lines[index + 1 :]]
    return lines


def only_spoke(source: str) -> bool:
    """Whether one of the kit's magics gave its help in the place of the cell."""
    first = transform(source.splitlines(keepends=True))[:1]
    return any(_OWN.match(line) for line in first)
