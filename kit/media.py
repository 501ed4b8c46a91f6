"""What a run of bytes is, told by its own first bytes: nine kinds of picture, sound and film.

Nothing is decoded: sizes and durations come from headers, a bounded number of them, so a file that
would unpack to gigabytes costs no more than its own bytes. What a payload *says* it is (the type in
a ``data:`` URI) is not asked, and SVG, which can run code, is not among the kinds.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from kit.pictures import PICTURES
from kit.sounds import SOUNDS

#: what a browser is asked to show; Pillow itself warns at 89 million pixels
MAX_PIXELS = 20_000_000
MAX_PICTURE_BYTES = 5_000_000
#: a payload cannot be larger than this anyway
MAX_SOUND_BYTES = 20_000_000

_decode = base64.b64decode
#: how the nine kinds begin in base64 (also in its URL-safe alphabet); MP4 says ftyp at byte 4
_HEAD = re.compile(r"iVBORw|[/_]9j[/_]|R0lGOD|UklGR|T2dnUw|SUQz|[/_][-+/_]|GkXfo|AA")
_LONGEST_S = 1e6
#: shorter base64 than this holds no picture or sound
_SHORTEST = 32
_URLSAFE = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Media:
    """What a picture, sound or film is.

    Attributes
    ----------
    mime : str
        One of image/png image/jpeg image/webp image/gif audio/wav audio/mpeg audio/ogg video/ogg
        audio/mp4 video/mp4 audio/webm video/webm.
    size_bytes : int
    width, height : int or None
        Pixels; None if the header does not say, or for sound.
    duration_s : float or None
        Seconds; None for pictures, or if the header does not say.
    """

    mime: str
    size_bytes: int
    width: int | None
    height: int | None
    duration_s: float | None

    @property
    def hidden(self) -> str | None:
        """Why this should not be shown in a browser, e.g. ``image 30000 x 30000, not shown``.

        None if it may be shown: at most 20 million pixels, and 5 MB of picture or 20 MB of sound.
        """
        kind, _, _ = self.mime.partition("/")
        size = f"{self.width} x {self.height}" if self.width and self.height else None
        if kind == "image" and size is None:
            return "image of unknown size, not shown"
        if self.width and self.height and self.width * self.height > MAX_PIXELS:
            return f"{kind} {size}, not shown"
        if self.size_bytes > (MAX_PICTURE_BYTES if kind == "image" else MAX_SOUND_BYTES):
            return f"{kind} of {self.size_bytes / 1e6:.1f} MB, not shown"
        return None


def sniff(data: bytes) -> Media | None:
    """What the bytes are; None if they are none of the nine kinds.

    Never raises, whatever the bytes.
    """
    for read in (*PICTURES, *SOUNDS):
        try:
            header = read(data)
        except (IndexError, ValueError, OverflowError):
            # cut off in the middle of a header
            continue
        if header is not None:
            seconds = header.duration_s
            # a damaged header may say millions of years
            sane = seconds is not None and 0 <= seconds < _LONGEST_S
            return Media(
                header.mime, len(data), header.width, header.height, seconds if sane else None
            )
    return None


def media_of(text: str) -> tuple[Media, bytes] | None:
    """The picture, sound or film that a string holds in base64, and its bytes; None if none.

    The string may be bare base64 (also URL-safe, unpadded or with line breaks) or a base64 ``data:``
    URI, whose type is ignored. A string that does not begin like one of the nine kinds costs about
    half a microsecond.
    """
    start = 0
    if text[:5].lower() == "data:":
        start = text.find(",", 0, 200) + 1
        if not start or not text[:start].lower().endswith(";base64,"):
            return None
    head = _HEAD.match(text, start)
    if head is None or len(text) - start < _SHORTEST:
        return None
    if head.group() == "AA" and _bytes(text[start : start + 12])[4:8] != b"ftyp":
        return None
    data = _bytes(text[start:] if start else text)
    media = sniff(data) if data else None
    return None if media is None else (media, data)


def _bytes(text: str) -> bytes:
    """Bytes of base64; empty if it is not base64."""
    try:
        return _decode(text, validate=True)
    except ValueError:
        pass
    plain = "".join(text.split()).translate(_URLSAFE).rstrip("=")
    try:
        return _decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return b""
