"""What changes on its way through JSON (K101 to K105), and how places in a value are written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kit.events import Finding

_quote = json.JSONEncoder().encode
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SAME = "so that the notebook sees what a client will see."


@dataclass(slots=True)
class _Change:
    """The first change of a kind, and how many there are."""

    place: str
    detail: str
    count: int = 0


class Changes:
    """Collects changes; of each code the first place is kept and the rest are counted."""

    def __init__(self) -> None:
        self._changes: dict[str, _Change] = {}
        #: levels of nesting, where K104 was noted
        self.deepest = 0

    def add(self, code: str, place: Callable[[], str], detail: str = "") -> None:
        """Note one; ``place`` is called for the first of its code only."""
        change = self._changes.get(code)
        if change is None:
            change = self._changes[code] = _Change(place(), detail)
        change.count += 1

    def findings(self) -> tuple[Finding, ...]:
        """As findings, ordered by code."""
        return tuple(
            Finding(code, *self._words(code, change))
            for code, change in sorted(self._changes.items())
        )

    def _words(self, code: str, change: _Change) -> tuple[str, str, str]:
        what, more = change.detail, f" ({change.count} of them)" if change.count > 1 else ""
        if code == "K101" and what:
            sentence = f"A named tuple becomes a list on the way and loses its names{more}."
            remedy = f"Send {what} to keep them."
        elif code == "K101":
            sentence, remedy = f"A tuple becomes a list on the way{more}.", f"Send a list, {_SAME}"
        elif code == "K102":
            sentence = f"The {what} becomes a string on the way{more}."
            remedy = f"Use string keys, {_SAME}"
        elif code == "K103":
            sentence = f"Two keys become the same string {what}; a client keeps the last{more}."
            remedy = "Use string keys that differ."
        elif code == "K104":
            sentence = (
                f"The value is nested {self.deepest} levels deep; some JSON readers stop at 64."
            )
            remedy = "Flatten it."
        else:
            number = what if len(what) < 30 else f"{what[:12]}…{what[-4:]}"
            sentence = f"The integer {number} is beyond 2**53, and JavaScript rounds it{more}."
            remedy = "Send it as a string."
        return sentence, change.place, remedy


def path_of(root: str, labels: Sequence[str | int]) -> str:
    """A JSON path such as ``$.images[3]["a b"]``; the middle of a very long one is left out."""
    if len(labels) <= 40:
        return root + "".join(map(label_of, labels))
    return f"{root}{''.join(map(label_of, labels[:12]))}…{''.join(map(label_of, labels[-4:]))}"


def label_of(label: str | int) -> str:
    """One step of a path: an index, or a key."""
    if isinstance(label, int):
        return f"[{label}]"
    return f".{label}" if len(label) <= 40 and _NAME.fullmatch(label) else f"[{quoted(label)}]"


def quoted(key: str) -> str:
    """A key in double quotes: ASCII only, at most 40 characters of it."""
    return _quote(key if len(key) <= 40 else f"{key[:28]}...{key[-9:]}")
