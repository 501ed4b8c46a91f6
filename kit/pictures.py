"""Headers of pictures: PNG, JPEG, GIF and WebP."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

#: blocks looked at before giving up: a header lies near the start or nowhere
MAX_BLOCKS = 4_000


class Header(NamedTuple):
    """What a header says. None where it says nothing (or nothing possible)."""

    mime: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None


def little(data: bytes, at: int, size: int) -> int:
    """An unsigned little-endian integer; IndexError if the data ends before it does."""
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "little")


def big(data: bytes, at: int, size: int) -> int:
    """An unsigned big-endian integer; IndexError if the data ends before it does."""
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "big")


def _png(data: bytes) -> Header | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        return None
    return Header("image/png", big(data, 16, 4) or None, big(data, 20, 4) or None)


#: segments that may stand before the size: tables, restart interval, application data, comment
_JPEG_SKIPPED = frozenset({0xC4, 0xCC, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE})


def _jpeg(data: bytes) -> Header | None:
    if data[:3] != b"\xff\xd8\xff":
        return None
    at = 2
    for _ in range(MAX_BLOCKS):
        # any number of fill bytes may stand before a marker
        if at + 4 > len(data) or data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xD0 <= marker <= 0xD8 or marker == 0x01:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = big(data, at + 5, 2), big(data, at + 7, 2)
            return Header("image/jpeg", width or None, height or None)
        elif marker in _JPEG_SKIPPED:
            at += 2 + max(2, big(data, at + 2, 2))
        else:
            # a decoder would search on from here and may find another size: not known, not shown
            break
    return Header("image/jpeg")


def _gif(data: bytes) -> Header | None:
    if data[:6] not in (b"GIF87a", b"GIF89a"):
        return None
    width, height = little(data, 6, 2), little(data, 8, 2)
    at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    # browsers grow the canvas to the first frame, so a small screen with a huge frame is a bomb
    for _ in range(MAX_BLOCKS):
        block = data[at : at + 1]
        if block == b",":
            width = max(width, little(data, at + 1, 2) + little(data, at + 5, 2))
            height = max(height, little(data, at + 3, 2) + little(data, at + 7, 2))
            return Header("image/gif", width or None, height or None)
        if block != b"!":
            break
        at += 2
        for _ in range(MAX_BLOCKS):
            size = data[at] if at < len(data) else 0
            at += 1 + size
            if not size:
                break
    return Header("image/gif")


def _webp(data: bytes) -> Header | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    chunk = data[12:16]
    width = height = 0
    if chunk == b"VP8X":
        width, height = little(data, 24, 3) + 1, little(data, 27, 3) + 1
    elif chunk == b"VP8L" and data[20:21] == b"\x2f":
        bits = little(data, 21, 4)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = little(data, 26, 2) & 0x3FFF, little(data, 28, 2) & 0x3FFF
    return Header("image/webp", width or None, height or None)


PICTURES: tuple[Callable[[bytes], Header | None], ...] = (_png, _jpeg, _gif, _webp)
