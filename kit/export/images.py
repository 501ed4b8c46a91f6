"""How far two pictures in a payload are apart."""

from __future__ import annotations

import io
import math

from kit.media import media_of

_MAX_PIXELS = 20_000_000


def image_difference(a: str, b: str) -> float:
    """Mean difference of the pixels of two base64 pictures, 0 to 255.

    Infinite if one of them is no picture, their sizes differ, they are over 20 megapixels, or Pillow
    is not installed.
    """
    one, two = media_of(a), media_of(b)
    if one is None or two is None:
        return math.inf
    size = (one[0].width or 0, one[0].height or 0)
    if size != (two[0].width, two[0].height) or not 0 < size[0] * size[1] <= _MAX_PIXELS:
        return math.inf
    try:
        from PIL import Image, ImageChops, ImageStat
    except ImportError:
        return math.inf
    try:
        pictures = [Image.open(io.BytesIO(data)).convert("RGBA") for _, data in (one, two)]
        means = ImageStat.Stat(ImageChops.difference(*pictures)).mean
    except (OSError, ValueError):
        return math.inf
    return float(max(means))
