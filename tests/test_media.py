"""Nine kinds by their first bytes; sizes and durations from headers alone; nothing hostile is shown.

The files in tests/media were made once with ffmpeg 9.0.2 (-bitexact): test pictures and a 440 Hz
tone of half a second.
"""

from __future__ import annotations

import base64
import io
import random
import struct
import subprocess
import sys
import textwrap
import time
import wave
import zlib
from pathlib import Path
from typing import Any

import pytest

from kit.media import MAX_PICTURE_BYTES, MAX_SOUND_BYTES, Media, media_of, sniff

FILES = Path(__file__).parent / "media"
SEED = 20261122


def picture(
    kind: str, size: tuple[int, int] = (37, 21), mode: str = "RGB", **options: Any
) -> bytes:
    image = pytest.importorskip("PIL.Image")
    made = io.BytesIO()
    image.new(mode, size, 3).save(made, kind, **options)
    return made.getvalue()


def sound() -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(8000 * 4 // 4))
    return made.getvalue()


def png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b""))
    )


def jpeg_size(width: int, height: int) -> bytes:
    return b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(10)


def gif(screen: tuple[int, int], frame: tuple[int, int], before: bytes = b"") -> bytes:
    head = b"GIF89a" + struct.pack("<HH", *screen) + b"\x00\x00\x00"
    return head + before + b"," + struct.pack("<HHHH", 0, 0, *frame) + b"\x00\x02\x00;"


@pytest.mark.parametrize(
    ("kind", "mime", "options"),
    [
        ("PNG", "image/png", {}),
        ("PNG", "image/png", {"mode": "L"}),
        ("JPEG", "image/jpeg", {}),
        ("JPEG", "image/jpeg", {"progressive": True, "comment": b"x" * 50_000}),
        ("JPEG", "image/jpeg", {"exif": b"Exif\0\0" + bytes(60_000)}),
        ("WEBP", "image/webp", {}),
        ("WEBP", "image/webp", {"lossless": True}),
        ("WEBP", "image/webp", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}),
        ("WEBP", "image/webp", {"mode": "RGBA", "lossless": True}),
        ("GIF", "image/gif", {"mode": "P"}),
        ("GIF", "image/gif", {"mode": "P", "comment": b"x" * 5000, "transparency": 0}),
    ],
)
def test_pictures_and_their_size(kind: str, mime: str, options: dict[str, Any]) -> None:
    for size in ((37, 21), (1, 1), (500, 3)):
        data = picture(kind, size, **options)
        assert sniff(data) == Media(mime, len(data), *size, None)


@pytest.mark.parametrize(
    ("name", "mime", "size", "duration_s"),
    [
        ("plain.mp3", "audio/mpeg", None, 0.65),
        ("vbr.mp3", "audio/mpeg", None, 0.65),
        ("pipe.wav", "audio/wav", None, 0.5),
        ("vorbis.ogg", "audio/ogg", None, 0.5),
        ("opus.ogg", "audio/ogg", None, 0.5),
        ("flac.ogg", "audio/ogg", None, 0.5),
        ("theora.ogg", "video/ogg", (64, 48), None),
        ("sound.m4a", "audio/mp4", None, 0.5),
        ("end.mp4", "video/mp4", (64, 48), 1.0),
        ("fragmented.mp4", "video/mp4", (64, 48), None),
        ("sound.webm", "audio/webm", None, 0.5),
        ("film.webm", "video/webm", (64, 48), 1.0),
        ("live.webm", "video/webm", (64, 48), None),
    ],
)
def test_sounds_and_films(
    name: str, mime: str, size: tuple[int, int] | None, duration_s: float | None
) -> None:
    media = sniff((FILES / name).read_bytes())
    assert media is not None
    assert media.mime == mime
    assert (media.width, media.height) == (size or (None, None))
    assert media.duration_s == pytest.approx(duration_s, abs=0.02)
    assert media.hidden is None


def test_a_wav_made_here() -> None:
    assert sniff(sound()) == Media("audio/wav", 8044, None, None, 0.25)
    # as a program that writes to a pipe leaves it: the length is not known
    for unknown in (b"\xff\xff\xff\xff", b"\0\0\0\0"):
        streamed = sound()[:40] + unknown + sound()[44:]
        assert sniff(streamed) == Media("audio/wav", 8044, None, None, 0.25)


NOT_MEDIA = [
    b"",
    b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    b"<?xml version='1.0'?><svg/>",
    b"<html><script>alert(1)</script>",
    b"%PDF-1.7",
    b"BM" + bytes(60),
    b"II*\0" + bytes(60),
    b"\0\0\1\0" + bytes(60),
    b"RIFF\0\0\0\0AVI " + bytes(60),
    b"\x89PNG\r\n\x1a\n" + bytes(60),
    b"GIF90a" + bytes(60),
    b"ID3 is a decision tree" + bytes(60),
    b"\xff\xfb\x90\x64" + bytes(600),
    b"\xff\xe3" + bytes(range(256)),
    b"\0\0\0\x18ftypheic" + bytes(16),
    b"PK\3\4" + bytes(60),
]


@pytest.mark.parametrize("data", NOT_MEDIA)
def test_nothing_else_is_media(data: bytes) -> None:
    assert sniff(data) is None
    assert media_of(base64.b64encode(data).decode()) is None
    assert media_of("data:image/png;base64," + base64.b64encode(data).decode()) is None


@pytest.mark.parametrize("name", ["a.avif", "film.mkv", "quick.mov", "raw.aac"])
def test_files_close_to_the_nine_kinds_are_not_among_them(name: str) -> None:
    assert sniff((FILES / name).read_bytes()) is None


def all_files() -> list[bytes]:
    files = [path.read_bytes() for path in sorted(FILES.iterdir())]
    pictures = [picture(kind) for kind in ("PNG", "JPEG", "WEBP")]
    return [*files, *pictures, picture("GIF", mode="P"), sound()[:400]]


def test_files_cut_off_anywhere_never_raise() -> None:
    for data in all_files():
        for end in range(min(len(data), 1500)):
            sniff(data[:end])


def test_damaged_files_never_raise_and_never_take_long() -> None:
    rng = random.Random(SEED)
    files = all_files()
    slowest = 0.0
    for number in range(20_000):
        data = bytearray(rng.choice(files))
        for _ in range(rng.randint(1, 12)):
            at = rng.randrange(min(len(data), 300))
            data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(4))
        began = time.thread_time()
        media = sniff(bytes(data))
        slowest = max(slowest, time.thread_time() - began)
        if media is not None:
            for value in (media.width, media.height):
                assert value is None or value > 0, f"seed {SEED}, file {number}"
            assert media.duration_s is None or 0 <= media.duration_s < 1e6
    assert slowest < 0.1


def bombs() -> dict[str, bytes]:
    """Files that a decoder would blow up, or that say one size here and another there."""
    segment = b"\xff\xe1\x00\x04ab"
    return {
        "png": png(30_000, 30_000),
        "png wide": png(2**31 - 1, 1),
        "png no size": png(0, 0),
        "jpeg": b"\xff\xd8" + segment + jpeg_size(30_000, 30_000),
        # to a decoder FF 00 is no marker and it reads on: the small size is a decoy
        "jpeg decoy": b"\xff\xd8\xff\x00\x00\x15" + jpeg_size(30_000, 30_000) + jpeg_size(9, 9),
        "jpeg rubbish": b"\xff\xd8" + segment + b"rubbish" + jpeg_size(30_000, 30_000),
        "jpeg segments": b"\xff\xd8" + segment * 100_000 + jpeg_size(30_000, 30_000),
        "gif": gif((30_000, 30_000), (1, 1)),
        "gif frame": gif((1, 1), (30_000, 30_000)),
        "gif comments": gif((1, 1), (30_000, 30_000), b"!\xfe\x01a\x00" * 100_000),
        "gif comment": gif((1, 1), (30_000, 30_000), b"!\xfe" + b"\x01a" * 500_000 + b"\x00"),
        "webp": b"RIFF\0\0\0\0WEBPVP8X\n\0\0\0\0\0\0\0" + b"\x2f\x75\x00" * 2 + bytes(9),
        "webp lossless": b"RIFF\0\0\0\0WEBPVP8L\n\0\0\0\x2f\xff\xff\xff\x0f" + bytes(9),
        "mp4": film(30_000, 30_000),
        "large": png(10, 10) + bytes(MAX_PICTURE_BYTES),
    }


def film(width: int, height: int) -> bytes:
    def box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + name + content

    head = bytes(76) + struct.pack(">II", width << 16, height << 16)
    kind = bytes(8) + b"vide" + bytes(13)
    track = box(b"tkhd", head) + box(b"mdia", box(b"hdlr", kind))
    return box(b"ftyp", b"isom\0\0\0\0mp42") + box(b"moov", box(b"trak", track))


@pytest.mark.parametrize("name", bombs())
def test_a_bomb_is_not_shown(name: str) -> None:
    data = bombs()[name]
    media = sniff(data)
    assert media is not None
    assert media.hidden is not None
    assert media.hidden.endswith(", not shown")
    found = media_of(base64.b64encode(data).decode())
    assert found == (media, data)


def test_what_is_hidden_is_said() -> None:
    assert Media("image/png", 10, 30_000, 30_000, None).hidden == "image 30000 x 30000, not shown"
    assert Media("image/png", 10, 5000, 4000, None).hidden is None
    assert Media("image/gif", 10, None, None, None).hidden == "image of unknown size, not shown"
    size = MAX_PICTURE_BYTES + 100_000
    assert Media("image/png", size, 1, 1, None).hidden == "image of 5.1 MB, not shown"
    assert Media("audio/wav", size, None, None, 1.0).hidden is None
    assert Media("video/mp4", MAX_SOUND_BYTES + 1, 1, 1, 1.0).hidden is not None


def test_bombs_cost_no_memory() -> None:
    script = textwrap.dedent("""
        import base64, resource, struct, zlib
        from kit.media import media_of
        def png(width, height):
            header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
            packed = zlib.compress(bytes(30_000_000), 9)
            chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
            return b"\\x89PNG\\r\\n\\x1a\\n" + b"".join(
                struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d))
                for n, d in chunks)
        texts = [base64.b64encode(png(30_000, 30_000 + i)).decode() for i in range(12)]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for text in texts:
            assert media_of(text)[0].hidden
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert int(done.stdout) < 64 * 1024, done.stderr


def test_base64_as_people_write_it() -> None:
    data = picture("PNG", (300, 200))
    plain = base64.b64encode(data).decode()
    for text in (
        plain,
        plain.rstrip("="),
        base64.encodebytes(data).decode(),
        base64.urlsafe_b64encode(data).decode(),
        f"data:image/png;base64,{plain}",
        f"data:text/html;charset=utf-8;base64,{plain}",
        f"DATA:;BASE64,{plain}",
    ):
        found = media_of(text)
        assert found is not None, text[:40]
        assert found == (Media("image/png", len(data), 300, 200, None), data)
    for data in all_files():
        media = sniff(data)
        found = media_of(base64.b64encode(data).decode())
        assert found == (None if media is None else (media, data))
        if media is not None:
            assert media_of(base64.urlsafe_b64encode(data).decode().rstrip("=")) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a dog",
        "https://example.com/a.png",
        "data:image/png;base64,",
        "data:image/png;base64,iVBORw0KGgo",
        "data:image/svg+xml;utf8,<svg onload=alert(1)>",
        "data:image/png," + "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
        "iVBORw0KGgo is how a PNG begins in base64, and this is not one",
        "R0lGOD, says the label on the box that holds nothing",
        "/9j/4AAQ" + "!" * 100,
        "//server/share/a/very/long/path/to/some/file/somewhere.txt",
        "//" + "A" * 1000,
        "AAAA" * 1000,
        "UklGR" + "é" * 50,
        "SUQz" + "\ud800" * 50,
        "GkXfo" + "=" * 50,
    ],
)
def test_a_string_is_not_media(text: str) -> None:
    assert media_of(text) is None


def test_noise_is_hardly_ever_media() -> None:
    rng = random.Random(SEED)
    found = 0
    for number in range(20_000):
        # an embedding, a mask or a key in base64; some begin like an MP3 frame
        data = rng.randbytes(rng.randrange(24, 3000))
        if number % 2:
            data = b"\xff" + bytes([0xE0 | rng.randrange(32)]) + data
        found += media_of(base64.b64encode(data).decode()) is not None
    assert found == 0


def test_ordinary_strings_cost_next_to_nothing() -> None:
    texts = ["a dog on a bicycle", "x" * 1_000_000, "AAAA" * 250_000, "data" * 250_000]
    began = time.thread_time()
    for _ in range(1000):
        for text in texts:
            media_of(text)
    assert (time.thread_time() - began) / 4000 < 10e-6
