"""Messages of a Jupyter kernel as frames of a websocket: both protocols that servers speak."""

from __future__ import annotations

import datetime
import itertools
import json
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: of jupyter_server 2; older ones speak the unnamed one
V1 = "v1.kernel.websocket.jupyter.org"


@dataclass(frozen=True, slots=True)
class Message:
    """A kernel message, as far as it matters here."""

    channel: str
    type: str
    content: dict[str, Any]
    buffers: tuple[bytes, ...] = ()
    parent: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


def encode(message: Message, session: str, protocol: str | None) -> str | bytes:
    """A frame to the server."""
    header = {
        "msg_id": message.id,
        "msg_type": message.type,
        "username": "kit",
        "session": session,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "version": "5.3",
    }
    if protocol == V1:
        parts = [json.dumps(p).encode() for p in (header, {}, {}, message.content)]
        return _join_v1(message.channel, [*parts, *message.buffers])
    whole = {
        "header": header, "parent_header": {}, "metadata": {}, "content": message.content,
        "channel": message.channel,
    }  # fmt: skip
    if not message.buffers:
        return json.dumps(whole)
    pieces = [json.dumps(whole).encode(), *message.buffers]
    offsets = [4 * (len(pieces) + 1)]
    for piece in pieces[:-1]:
        offsets.append(offsets[-1] + len(piece))
    return b"".join([struct.pack(f"!{len(pieces) + 1}I", len(pieces), *offsets), *pieces])


def _join_v1(channel: str, parts: Sequence[bytes]) -> bytes:
    name = channel.encode()
    offsets = [8 * (len(parts) + 3)]
    offsets.append(offsets[0] + len(name))
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return b"".join([struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets), name, *parts])


def decode(frame: str | bytes, protocol: str | None) -> Message:
    """A message from a frame of the server.

    Raises
    ------
    ValueError
        It is none.
    """
    try:
        if protocol == V1 and isinstance(frame, bytes):
            (count,) = struct.unpack_from("<Q", frame)
            offsets = struct.unpack_from(f"<{count}Q", frame, 8)
            channel = frame[offsets[0] : offsets[1]].decode()
            parts = [frame[a:b] for a, b in itertools.pairwise(offsets[1:])]
            header, parent, content = (json.loads(parts[i]) for i in (0, 1, 3))
            buffers = tuple(parts[4:])
        else:
            if isinstance(frame, str):
                whole, buffers = json.loads(frame), ()
            else:
                (count,) = struct.unpack_from("!I", frame)
                starts = struct.unpack_from(f"!{count}I", frame, 4)
                pieces = [frame[a:b] for a, b in zip(starts, (*starts[1:], len(frame)))]
                whole, buffers = json.loads(pieces[0]), tuple(pieces[1:])
            header, parent, content = whole["header"], whole["parent_header"], whole["content"]
            channel = whole.get("channel") or ""
        return Message(
            channel,
            header["msg_type"],
            content,
            buffers,
            parent.get("msg_id", ""),
            header["msg_id"],
        )
    except (KeyError, IndexError, TypeError, struct.error, UnicodeDecodeError) as exc:
        raise ValueError(f"not a kernel message: {type(exc).__name__}: {exc}") from None
