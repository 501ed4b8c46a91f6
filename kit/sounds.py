"""Headers of sound and film: WAV, MP3, OGG, MP4 and WebM."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from kit.pictures import MAX_BLOCKS, Header, big, little

_MP4_BRANDS = frozenset(
    b"isom iso2 iso3 iso4 iso5 iso6 iso7 iso8 iso9 mp41 mp42 mp71 avc1 dash MSNV M4A M4B M4V f4v F4V".split()
)
#: kbit/s by index, MPEG-1 and MPEG-2/2.5, layer III
_MP3_RATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_MP3_HZ = (44100, 48000, 32000)


def _wav(data: bytes) -> Header | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    at, byte_rate = 12, 0
    for _ in range(MAX_BLOCKS):
        name = data[at : at + 4]
        if len(data) < at + 8:
            break
        size = little(data, at + 4, 4)
        if name == b"fmt ":
            byte_rate = little(data, at + 16, 4)
        elif name == b"data":
            # a stream that was never finished says 0 or 4 GB
            length = min(size or len(data), len(data) - at - 8)
            return Header("audio/wav", duration_s=length / byte_rate if byte_rate else None)
        at += 8 + size + size % 2
    return Header("audio/wav")


def _mp3(data: bytes) -> Header | None:
    start, tagged = 0, data[:3] == b"ID3"
    if tagged:
        sizes = data[6:10]
        if len(sizes) < 4 or max(sizes) > 127 or data[3] > 4:
            return None
        start = 10 + (sizes[0] << 21 | sizes[1] << 14 | sizes[2] << 7 | sizes[3])
        # padding after the tag
        start = max(start, data.find(b"\xff", start, start + 4096))
    frame = _mp3_frame(data, start)
    if frame is None:
        return Header("audio/mpeg") if tagged and data[start : start + 4] != b"fLaC" else None
    length, kbits, hertz, samples, side = frame
    after = _mp3_frame(data, start + length)
    # two bytes of sync are found in noise: a second frame of the same rate must follow
    if not tagged and (after is None or after[2] != hertz):
        return None
    at = start + 4 + side
    frames = 0
    if data[at : at + 4] in (b"Xing", b"Info") and big(data, at + 4, 4) & 1:
        frames = big(data, at + 8, 4)
    elif data[start + 36 : start + 40] == b"VBRI":
        frames = big(data, start + 50, 4)
    if frames:
        return Header("audio/mpeg", duration_s=frames * samples / hertz)
    end = len(data) - (128 if data[-128:-125] == b"TAG" else 0)
    return Header("audio/mpeg", duration_s=(end - start) * 8 / (kbits * 1000))


def _mp3_frame(data: bytes, at: int) -> tuple[int, int, int, int, int] | None:
    """Length in bytes, kbit/s, Hz, samples and bytes of side information of a layer III frame."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3
    rate, hertz = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version == 1 or layer != 1 or rate in (0, 15) or hertz == 3:
        return None
    first = version == 3
    kbits = _MP3_RATES[0 if first else 1][rate]
    hz = _MP3_HZ[hertz] >> (0 if first else 1 if version == 2 else 2)
    samples = 1152 if first else 576
    mono = data[at + 3] >> 6 == 3
    side = (17 if mono else 32) if first else (9 if mono else 17)
    padding = data[at + 2] >> 1 & 1
    return samples // 8 * kbits * 1000 // hz + padding, kbits, hz, samples, side


def _ogg(data: bytes) -> Header | None:
    if data[:5] != b"OggS\x00":
        return None
    at = 27 + data[26]
    packet = data[at : at + 64]
    if packet[:7] == b"\x80theora":
        return Header("video/ogg", big(packet, 14, 3) or None, big(packet, 17, 3) or None)
    hertz = skipped = 0
    if packet[:7] == b"\x01vorbis":
        hertz = little(packet, 12, 4)
    elif packet[:8] == b"OpusHead":
        hertz, skipped = 48000, little(packet, 10, 2)
    elif packet[:5] == b"\x7fFLAC":
        hertz = big(packet, 27, 3) >> 4
    last = _last_granule(data)
    if not hertz or last is None:
        return Header("audio/ogg")
    return Header("audio/ogg", duration_s=max(0, last - skipped) / hertz)


def _last_granule(data: bytes) -> int | None:
    end = len(data)
    for _ in range(64):
        end = data.rfind(b"OggS\x00", 0, end)
        if end < 0:
            return None
        granule = little(data, end + 6, 8)
        # all ones: no packet ends on this page
        if granule != (1 << 64) - 1 and data[end + 14 : end + 18] == data[14:18]:
            return granule
    return None


def _mp4(data: bytes) -> Header | None:
    if data[4:8] != b"ftyp":
        return None
    size = big(data, 0, 4)
    brands = {data[at : at + 4].strip() for at in (8, *range(16, min(size, 256), 4))}
    if not brands & _MP4_BRANDS:
        return None
    width = height = 0
    duration: float | None = None
    video = sound = False
    for name, start, end in _boxes(data, 0, len(data), (b"moov", b"trak", b"mdia")):
        if name == b"mvhd":
            long = data[start] == 1
            scale = big(data, start + (20 if long else 12), 4)
            ticks = big(data, start + (24 if long else 16), 8 if long else 4)
            if scale and ticks and ticks < (1 << (64 if long else 32)) - 1:
                duration = ticks / scale
        elif name == b"tkhd":
            width = max(width, big(data, end - 8, 4) >> 16)
            height = max(height, big(data, end - 4, 4) >> 16)
        elif name == b"hdlr":
            video |= data[start + 8 : start + 12] == b"vide"
            sound |= data[start + 8 : start + 12] == b"soun"
    if sound and not video:
        return Header("audio/mp4", duration_s=duration)
    return Header("video/mp4", width or None, height or None, duration)


def _boxes(
    data: bytes, start: int, end: int, into: tuple[bytes, ...]
) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the content of boxes, in order, those inside some boxes included."""
    stack = [(start, end)]
    for _ in range(MAX_BLOCKS):
        if not stack:
            return
        at, stop = stack.pop()
        if at + 8 > stop:
            continue
        size, head = big(data, at, 4), 8
        if size == 1:
            size, head = big(data, at + 8, 8), 16
        elif size == 0:
            size = stop - at
        if size < head:
            continue
        after = min(at + size, stop)
        stack.append((after, stop))
        name = data[at + 4 : at + 8]
        yield name, at + head, after
        if name in into:
            stack.append((at + head, after))


def _webm(data: bytes) -> Header | None:
    if data[:4] != b"\x1a\x45\xdf\xa3":
        return None
    width = height = 0
    scale, ticks = 1_000_000, 0.0
    webm = video = sound = False
    for name, start, end in _elements(data):
        content = data[start:end] if end - start <= 64 else b""
        if name == 0x4282:
            webm = content.rstrip(b"\0") == b"webm"
        elif name == 0x2AD7B1:
            scale = int.from_bytes(content, "big")
        elif name == 0x4489 and len(content) in (4, 8):
            ticks = struct.unpack(">f" if len(content) == 4 else ">d", content)[0]
        elif name == 0x83:
            video |= content == b"\x01"
            sound |= content == b"\x02"
        elif name == 0xB0:
            width = max(width, int.from_bytes(content, "big"))
        elif name == 0xBA:
            height = max(height, int.from_bytes(content, "big"))
    if not webm:
        return None
    # NaN and infinities are possible in a float field
    seconds = ticks * scale / 1e9
    duration = seconds if 0 < seconds < 1e9 else None
    if sound and not video:
        return Header("audio/webm", duration_s=duration)
    return Header("video/webm", width or None, height or None, duration)


#: EBML header, Segment, Info, Tracks, TrackEntry, Video
_EBML_INTO = frozenset({0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0})
_EBML_CLUSTER = 0x1F43B675


def _elements(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Id, start and end of the content of EBML elements, up to the first cluster."""
    at = 0
    for _ in range(MAX_BLOCKS):
        if at >= len(data):
            return
        length = 9 - data[at].bit_length()
        if length > 4:
            return
        name = big(data, at, length)
        at += length
        length = 9 - data[at].bit_length()
        if length > 8:
            return
        mask = (1 << 7 * length) - 1
        size = big(data, at, length) & mask
        at += length
        if name == _EBML_CLUSTER:
            return
        if name in _EBML_INTO:
            # walk on into it; sizes of containers are not needed (and unknown in a live stream)
            continue
        yield name, at, min(at + size, len(data))
        at += size


SOUNDS: tuple[Callable[[bytes], Header | None], ...] = (_wav, _mp3, _ogg, _mp4, _webm)
