"""Pictures, sounds and films of a payload as ``data:`` URLs, told by their bytes and within limits."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from kit.media import Media
from kit.preview import media_at
from kit.views.static import safe
from kit.views.words import size

#: media of one payload, and bytes of all media in one report
_MOST, _ALL_BYTES = 6, 24_000_000


class Budget:
    """Counts what the media of one report take, so that the file stays one that opens."""

    def __init__(self) -> None:
        self._left = _ALL_BYTES

    def take(self, count: int) -> bool:
        """Whether there is room for so many bytes; takes it."""
        if count > self._left:
            return False
        self._left -= count
        return True


def media_html(text: str, nodes: Sequence[dict[str, Any]], budget: Budget) -> str:
    """The media of a payload.

    Parameters
    ----------
    text : str
        The payload as JSON text.
    nodes : sequence of dict
        Media nodes of its preview, which say where in the text they are.
    budget : Budget
    """
    figures = []
    for node in nodes[:_MOST]:
        found = media_at(text, node["at"])
        if found is None:
            continue
        media, data = found
        words = _caption(media)
        if media.hidden is not None:
            figures.append(f"<figcaption>{safe(media.hidden)}</figcaption>")
        elif not budget.take(len(data)):
            figures.append(f"<figcaption>{words}: left out, the report is full</figcaption>")
        else:
            figures.append(_shown(media, data) + f"<figcaption>{words}</figcaption>")
    more = len(nodes) - _MOST
    if more > 0:
        figures.append(f"<figcaption>{more} more not shown</figcaption>")
    if not figures:
        return ""
    inner = "".join(f"<figure>{one}</figure>" for one in figures)
    return f'<div class="media">{inner}</div>'


def _caption(media: Media) -> str:
    place = f" {media.width} × {media.height}" if media.width and media.height else ""
    return safe(f"{media.mime.split('/')[1].upper()}{place}, {size(media.size_bytes)}")


def _shown(media: Media, data: bytes) -> str:
    source = f"data:{media.mime};base64,{base64.b64encode(data).decode('ascii')}"
    kind = media.mime.partition("/")[0]
    if kind == "image":
        return f'<img alt="{_caption(media)}" src="{source}">'
    if kind == "audio":
        return f'<audio controls preload="none" src="{source}"></audio>'
    return f'<video controls preload="metadata" src="{source}"></video>'
