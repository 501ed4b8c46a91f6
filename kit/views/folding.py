"""An input as an editor shows it: long and secret strings stay in the kernel, under a short name.

The page gets ``"image": "‹kept 1: 4.9 MB›"`` and gives it back on Run; here the name is put back
into what it stands for. So the text of a 20 MB input is small, no key ever reaches the page, and
what runs is what ran before, to the letter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.payload import parse
from kit.secret import redact
from kit.views.words import size

#: characters of a string from which on it stays here
LONG = 2_000
#: characters that a page is given to edit; strings that are looked at
EDITED, STRINGS = 200_000, 200_000
#: a string literal of JSON; unrolled, so that a long one is one step
_STRING = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_NAME = re.compile(r"‹kept \d+: [^‹›]{0,60}›")


@dataclass(frozen=True, slots=True)
class Folded:
    """An input to edit.

    Attributes
    ----------
    text : str
        Indented JSON text of at most ``EDITED`` characters; empty if it cannot be made that short.
    kept : dict of str to str
        Name to what it stands for: the inside of a JSON string literal.
    whole : str or None
        All of it, if it is too long to be edited.
    """

    text: str
    kept: dict[str, str] = field(default_factory=dict)
    whole: str | None = None


def fold(text: str, numbers: Iterator[int]) -> Folded:
    """Make an input short enough to be edited, and free of keys.

    Parameters
    ----------
    text : str
        JSON text.
    numbers : iterator of int
        For the names; each is used once.
    """
    kept: dict[str, str] = {}
    pieces, done = [], 0
    for seen, found in enumerate(_STRING.finditer(text)):
        if seen > STRINGS:
            return Folded("", whole=text)
        if len(found[1]) > LONG:
            name = f"‹kept {next(numbers)}: {size(len(found[1]))}›"
            kept[name] = found[1]
            pieces += [text[done : found.start(1)], name]
            done = found.end(1)
    short = "".join((*pieces, text[done:]))
    if len(short) > EDITED:
        return Folded("", whole=text)
    if redact(short) != short:
        short = _without_keys(short, kept, numbers)
    pretty = _indented(short)
    if len(pretty) > EDITED or redact(pretty) != pretty:
        return Folded("", whole=text)
    return Folded(pretty, kept)


def _without_keys(text: str, kept: dict[str, str], numbers: Iterator[int]) -> str:
    """The text with every string that is masked elsewhere under a name."""
    pieces, done, before = [], 0, 0
    for found in _STRING.finditer(text):
        # a value may be told for a key by the name in front of it
        if found[1] not in kept and not redact(text[before : found.end()]).endswith(found[0]):
            name = f"‹kept {next(numbers)}: hidden›"
            kept[name] = found[1]
            pieces += [text[done : found.start(1)], name]
            done = found.end(1)
        before = found.start()
    return "".join((*pieces, text[done:]))


def unfold(text: str, kept: Mapping[str, str]) -> str:
    """Put back what the names in a text stand for; a name that is not known stays."""
    if not kept:
        return text
    return _NAME.sub(lambda found: kept.get(found[0], found[0]), text)


def names_left(text: str, kept: Mapping[str, str]) -> bool:
    """Whether a text has a name that stands for nothing any more."""
    return any(found not in kept for found in _NAME.findall(text))


def _indented(text: str) -> str:
    try:
        value: Any = parse(text)
        return json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):  # not JSON, or nested too deep to be drawn nicely
        return text
