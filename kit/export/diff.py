"""What an export changes in the folder it goes to."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.export.place import manifest

_LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """One file.

    Attributes
    ----------
    name : str
    kind : str
        ``"new"``, ``"changed"`` or ``"gone"``.
    text : str
        Unified diff; a sentence for what is no text.
    added, removed : int
        Lines.
    """

    name: str
    kind: str
    text: str
    added: int = 0
    removed: int = 0


def old_files(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """What lies in a folder under the names of an earlier export and of this one; links are not read."""
    found: dict[str, bytes] = {}
    for name in dict.fromkeys([*(manifest(folder) or ()), *names]):
        if any(part in ("", ".", "..") for part in name.split("/")):
            continue  # of a manifest that is not ours
        path = folder / name
        if path.resolve() != folder.resolve() / name:
            continue
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(fd, "rb") as file:
                found[name] = file.read()
        except (OSError, ValueError):
            continue
    return found


def changes_of(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> tuple[Change, ...]:
    """What becomes of each file, in the order of the names; empty if nothing was there."""
    if not old:
        return ()
    return tuple(
        _change(name, old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


def _change(name: str, before: bytes | None, after: bytes | None) -> Change:
    kind = "new" if before is None else "gone" if after is None else "changed"
    one, other = _lines(before or b""), _lines(after or b"")
    if one is None or other is None:
        return Change(
            name,
            kind,
            f"{name} is {kind} ({len(before or b''):,} to {len(after or b''):,} bytes)\n",
        )
    start = "/dev/null" if before is None else f"a/{name}"
    end = "/dev/null" if after is None else f"b/{name}"
    lines = list(difflib.unified_diff(one, other, start, end))
    text = "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )
    added = sum(line.startswith("+") for line in lines[2:])
    removed = sum(line.startswith("-") for line in lines[2:])
    return Change(name, kind, text, added, removed)


def _lines(data: bytes) -> list[str] | None:
    if len(data) > _LARGEST or b"\0" in data:
        return None
    try:
        return data.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return None


def summary(changes: Iterable[Change]) -> str:
    """All changes on one line: ``handler.py +3 -1, new README.md``; ``""`` if there are none."""
    words = []
    for change in changes:
        if change.kind == "changed":
            counts = f" +{change.added} -{change.removed}" if change.added or change.removed else ""
            words.append(f"{change.name}{counts}")
        else:
            words.append(f"{change.kind} {change.name}")
    return ", ".join(words)


@dataclass(frozen=True, slots=True, repr=False)
class Diff:
    """What an export has changed, as a unified diff; ``str()`` gives its text.

    Attributes
    ----------
    changes : tuple of Change
    """

    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        return "".join(change.text for change in self.changes)

    def __repr__(self) -> str:
        from kit.export import show

        return show.diff_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from kit.export import show

        return {"text/plain": repr(self), "text/html": show.diff_html(self)}
