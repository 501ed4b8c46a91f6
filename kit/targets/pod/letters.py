"""Batches of letters as bytes: a JSON head each, payload texts beside it as they are.

A payload is encoded once, where it was made; on its way it is copied, never parsed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LENGTH = struct.Struct("!I")
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Letter:
    """One thing to tell the other side.

    Attributes
    ----------
    kind : str
    head : tuple of JSON values
        Small; by position.
    text : str or None
        The payload.
    """

    kind: str
    head: tuple[Any, ...] = ()
    text: str | None = None


def pack(letters: Sequence[Letter]) -> bytes:
    """Letters as one message."""
    texts = [
        None if one.text is None else one.text.encode("utf-8", "surrogatepass") for one in letters
    ]
    index = _dumps(
        [
            [one.kind, one.head, None if text is None else len(text)]
            for one, text in zip(letters, texts)
        ]
    ).encode("utf-8", "surrogatepass")
    return b"".join([_LENGTH.pack(len(index)), index, *(text for text in texts if text)])


def unpack(message: bytes) -> list[Letter]:
    """The letters of a message."""
    (size,) = _LENGTH.unpack_from(message)
    at = _LENGTH.size + size
    letters = []
    for kind, head, length in json.loads(
        message[_LENGTH.size : at].decode("utf-8", "surrogatepass")
    ):
        text = None
        if length is not None:
            text = message[at : at + length].decode("utf-8", "surrogatepass")
            at += length
        letters.append(Letter(kind, tuple(head), text))
    return letters
