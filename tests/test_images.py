"""How far two pictures in a payload may be apart for an export to count as equal."""

from __future__ import annotations

import base64
import io
import math

import pytest

from kit.export.images import image_difference

Image = pytest.importorskip("PIL.Image")


def picture(
    colour: tuple[int, int, int], size: tuple[int, int] = (20, 10), kind: str = "PNG"
) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def test_the_mean_difference_of_the_channel_that_differs_most() -> None:
    grey = picture((100, 100, 100))
    assert image_difference(grey, grey) == 0
    assert image_difference(grey, picture((100, 103, 101))) == pytest.approx(3)
    assert image_difference(grey, picture((100, 103, 101), kind="JPEG")) < 6
    assert image_difference(f"data:image/png;base64,{grey}", grey) == 0


def test_what_cannot_be_compared_is_infinitely_apart() -> None:
    grey = picture((100, 100, 100))
    assert image_difference(grey, "no picture") == math.inf
    assert image_difference(grey, picture((100, 100, 100), (10, 20))) == math.inf
    cut = base64.b64encode(base64.b64decode(grey)[:40]).decode()
    assert image_difference(grey, cut + "A" * (-len(cut) % 4)) == math.inf
