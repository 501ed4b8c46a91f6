"""Finds in a text what is shaped like a key, and is quick where there is none.

Every pattern has a piece of plain text without which it cannot match; those are looked for first,
with ``str.find``, and the patterns of :mod:`kit.shapes` see only what lies around them.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

from kit.shapes import (
    LONGEST,
    PASSWORD_IN_URL,
    PRIVATE_KEY,
    SHAPES,
    Shape,
    assigned_in,
    is_meant,
    is_random,
)

#: shapes that are one run of letters, digits, `-` and `_` of at least as many characters
_RUN = b"x" * 19
_OTHER_KINDS = (PRIVATE_KEY, PASSWORD_IN_URL, "JSON web token", "bearer token", "Slack token")
_OTHERS = tuple(shape for shape in SHAPES if shape.kind in _OTHER_KINDS)
_BY_NEEDLE = {
    needle.encode(): shape for shape in SHAPES if shape not in _OTHERS for needle in shape.needles
}
_BEGIN = re.compile(b"|".join(map(re.escape, _BY_NEEDLE)))
_FLAT = bytes(
    ord("x") if chr(byte) in string.ascii_letters + string.digits + "+/_-" else ord(" ")
    for byte in range(256)
)
#: a run may be random from so many characters on
_SHORTEST_RUN = 32

#: lower case; a name that is given keys ends with one of these, and digits at most
_NAMES = (b"key", b"token", b"secret", b"passw", b"passphrase", b"credential")
_BEFORE_KEY = re.compile(rb"[a-z0-9_-]")
_AFTER_NAME = re.compile(rb"(?:or)?[ds]?[0-9_-]*[\"'\]\s:=?]")
#: longer lines are looked at in pieces of this much on both sides of a name
_LINE = 2_000
_AROUND = 400

_URL = re.compile(r"[a-z][a-z0-9+.-]{1,20}://|data:[a-z]+/")
_URL_BACK = 2_000
#: a line that is nothing but a piece of data; a comma after the quote makes it one of a list of
#: strings, unless the string ends its line, as in a notebook's JSON
_DATA_LINE = re.compile(
    r"""^[\s(]*(?:b?["'])?[A-Za-z0-9+/_-]{60,}={0,2}(?:\\n["'],?|["']?)[\s)+\\]*$"""
)
_DATA_END = re.compile(r"""^[\s(]*(?:b?["'])?[A-Za-z0-9+/_-]*={0,2}(?:\\n)?["']?[\s)+\\,]*$""")


def shapes_in(text: str) -> Iterator[tuple[int, str]]:
    """Line (from 1) and kind of everything that looks like a key, in order of the lines."""
    # a byte for each character, whatever it is: places are the same, and bytes are quicker to search
    raw = text.encode("ascii", "replace")
    found = {*_shaped(text, raw), *_assigned(text, raw.lower()), *_in_runs(text, raw)}
    lines = _Lines(text)
    for at, kind in sorted(found):
        yield lines.number(at), kind


class _Lines:
    """Numbers of lines at rising places of a text."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._number = text, 0, 1

    def number(self, at: int) -> int:
        self._number += self._text.count("\n", self._at, at)
        self._at = at
        return self._number


def _places(raw: bytes, needle: bytes) -> Iterator[int]:
    at = raw.find(needle)
    while at >= 0:
        yield at
        at = raw.find(needle, at + len(needle))


def _shaped(text: str, raw: bytes) -> Iterator[tuple[int, str]]:
    """Keys that are known by how they begin, and need not be one run of letters and digits."""
    for shape in _OTHERS:
        for needle in shape.needles:
            end = 0
            for at in _places(raw, needle.encode()):
                if at >= end:
                    match = _match(shape, text, at)
                    if match is not None:
                        end = match.end()
                        yield match.start(), shape.kind


def _match(shape: Shape, text: str, at: int) -> re.Match[str] | None:
    begin = max(0, at - shape.back)
    if shape.kind == PASSWORD_IN_URL:
        stop = text.find("@", at, at + 310)
        match = None if stop < 0 else shape.pattern.search(text, begin, stop + 1)
    else:
        match = shape.pattern.match(text, begin)
    return match if match is not None and is_meant(shape.kind, match, text) else None


def _assigned(text: str, small: bytes) -> Iterator[tuple[int, str]]:
    seen: set[tuple[int, int]] = set()
    for needle in _NAMES:
        for at in _places(small, needle):
            behind = small[at + len(needle) : at + len(needle) + 40]
            # `key` alone is the key of a dict
            if needle == b"key" and not _BEFORE_KEY.match(small[at - 1 : at]):
                continue
            if _AFTER_NAME.match(behind) is None:
                continue
            begin, end = _around(text, at)
            if (begin, end) in seen:
                continue
            seen.add((begin, end))
            for name in assigned_in(text[begin:end]):
                yield begin, f"value given to {name[:40]}"


def _around(text: str, at: int) -> tuple[int, int]:
    """The line of a place without its end, or the piece of it around the place if it is long."""
    begin = text.rfind("\n", max(0, at - _LINE), at) + 1
    end = text.find("\n", at, at + _LINE)
    if (begin or at <= _LINE) and (end >= 0 or len(text) - at <= _LINE):
        return begin, end if end >= 0 else len(text)
    # pieces have fixed places, so that a line full of names is looked at three times and no more
    piece = at // _AROUND
    return max(begin, (piece - 1) * _AROUND), min(end % (len(text) + 1), (piece + 2) * _AROUND)


def _in_runs(text: str, raw: bytes) -> Iterator[tuple[int, str]]:
    """Keys in a run of letters, digits and ``+/_-``: by their beginning, or by being random."""
    flat = raw.translate(_FLAT)
    data = _Data(text)
    at = flat.find(_RUN)
    while at >= 0:
        end = flat.find(b" ", at + len(_RUN))
        end = len(flat) if end < 0 else end
        for begin in _BEGIN.finditer(raw, at, end):
            shape = _BY_NEEDLE[begin[0]]
            match = _match(shape, text, begin.start())
            if match is not None:
                yield match.start(), shape.kind
        if _SHORTEST_RUN <= end - at <= LONGEST:
            behind = text[end : end + 3]
            signs = len(behind) - len(behind.lstrip("="))
            run = text[at : end + signs]
            # what goes on after `=` is a name and its value
            alone = signs < 3 and flat[end + signs : end + signs + 1] in (b"", b" ")
            if alone and len(run) <= LONGEST and is_random(run):
                if not _in_url(text, at, end) and not data.holds(at):
                    yield at, f"random string of {len(run)} characters"
        at = flat.find(_RUN, end)


def _in_url(text: str, at: int, end: int) -> bool:
    back = max(0, at - _URL_BACK)
    begin = max(text.rfind(c, back, at) for c in " \t\r\n\f\v\"'") + 1
    return _URL.search(text, begin or back, end) is not None


class _Data:
    """Which lines belong to base64 that was cut into lines: a picture, not sixty keys.

    Asked with rising places; looks at each line once.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        #: begin of the last line that was asked for, of the line behind it, and the answer
        self._begin, self._next, self._inside = -1, 0, False

    def holds(self, at: int) -> bool:
        """Whether the line of a place is one of data."""
        begin = self._text.rfind("\n", max(self._next - 1, 0), at) + 1 if at >= self._next else -1
        if begin < 0:
            return self._inside
        begin = max(begin, self._next)
        for start in self._back_to(begin):
            self._inside = self._step(start)
        return self._inside

    def _back_to(self, begin: int) -> list[int]:
        """Begins of the lines whose state matters for this one, which is the last of them."""
        starts = [begin]
        while starts[-1] > self._next:
            before = self._text.rfind("\n", self._next, starts[-1] - 1) + 1
            before = max(before, self._next)
            line = self._text[before : starts[-1] - 1]
            if not (_DATA_LINE.match(line) or _DATA_END.match(line)):
                self._inside = False
                break
            starts.append(before)
        return starts[::-1]

    def _step(self, begin: int) -> bool:
        line, end = self._line(begin)
        self._begin, self._next = begin, end
        if _DATA_LINE.match(line):
            if self._inside:
                return True
            following = self._line(end)[0] if end <= len(self._text) else ""
            if _DATA_LINE.match(following):
                return True
        return self._inside and bool(_DATA_END.match(line))

    def _line(self, begin: int) -> tuple[str, int]:
        end = self._text.find("\n", begin)
        end = len(self._text) if end < 0 else end
        return self._text[begin:end], end + 1
