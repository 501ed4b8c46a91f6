"""What client and worker routes share: who may ask, bodies of bounded size, answers."""

from __future__ import annotations

import asyncio
import hmac
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web

_DRAIN_S = 30.0
_dumps = json.JSONEncoder(ensure_ascii=False).encode


class Refusal(Exception):
    """A request that gets a defined answer instead of a result."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


def answer(body: Any, status: int = 200) -> web.Response:
    """A JSON answer."""
    from aiohttp import web

    return web.Response(text=_dumps(body), status=status, content_type="application/json")


def bearer(request: web.Request, key: str) -> bool:
    """Whether a request carries the key; compared in constant time."""
    given = request.headers.get("Authorization", "")
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(token.strip().encode(), key.encode())


def same(given: str, token: str) -> bool:
    """Constant-time comparison of a worker's token."""
    return hmac.compare_digest(given.encode(), token.encode())


async def body_of(request: web.Request, limit: int, what: str) -> bytes:
    """The body of a request.

    Raises
    ------
    Refusal
        413, after the rest was read and dropped: a client that is still sending would otherwise
        see a broken connection instead of the answer.
    """
    length = request.content_length
    if length is not None and length <= limit:
        data = await request.content.read(length) if length else b""
        while len(data) < length and not request.content.at_eof():
            data += await request.content.read(length - len(data))
        return data
    parts: list[bytes] = []
    size = 0
    drop_until = asyncio.get_running_loop().time() + _DRAIN_S
    async for part in request.content.iter_any():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif asyncio.get_running_loop().time() > drop_until:
            break
        else:
            parts.clear()
    if size > limit:
        raise Refusal(413, f"the body is over {limit:,} bytes, the limit of {what}")
    return b"".join(parts)
