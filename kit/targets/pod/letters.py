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
    data : bytes or None
        A payload that is no text.
    """

    kind: str
    head: tuple[Any, ...] = ()
    text: str | None = None
    data: bytes | None = None


def pack(letters: Sequence[Letter]) -> bytes:
    """Letters as one message."""
    payloads = [_payload(one) for one in letters]
    index = _dumps(
        [
            [one.kind, one.head, None if payload is None else len(payload), one.data is not None]
            for one, payload in zip(letters, payloads)
        ]
    ).encode("utf-8", "surrogatepass")
    return b"".join(
        [_LENGTH.pack(len(index)), index, *(payload for payload in payloads if payload)]
    )


def _payload(letter: Letter) -> bytes | None:
    if letter.data is not None:
        return letter.data
    return None if letter.text is None else letter.text.encode("utf-8", "surrogatepass")


def unpack(message: bytes) -> list[Letter]:
    """The letters of a message."""
    (size,) = _LENGTH.unpack_from(message)
    at = _LENGTH.size + size
    letters = []
    index = json.loads(message[_LENGTH.size : at].decode("utf-8", "surrogatepass"))
    for kind, head, length, is_data in index:
        payload = None
        if length is not None:
            payload = message[at : at + length]
            at += length
        if is_data or payload is None:
            letters.append(Letter(kind, tuple(head), None, payload))
        else:
            letters.append(Letter(kind, tuple(head), payload.decode("utf-8", "surrogatepass")))
    return letters
