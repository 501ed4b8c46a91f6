"""Labelled stretches of time that are no job: a model load, the setup of a pod.

They stand on the timeline above the jobs, so that cause and effect are seen side by side. Whoever
knows of one puts it into the session's :class:`Spans`; every card and panel shows it from then on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

#: spans kept; the one that began first leaves
MAX_SPANS = 256


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of time with a name.

    Attributes
    ----------
    key : str
        What tells it from others; a later span with the same key replaces it.
    label : str
        Shown on the bar: ``load model``, ``pod 3f2a``.
    kind : str
        What sort of thing it is, in one word: ``load``, ``setup``.
    started_at : float
        UTC seconds.
    ended_at : float or None
        UTC seconds; None while it lasts.
    detail : str
        Shown beside the cursor, lines parted by newlines: ``19.8 GiB more on GPU 0``.
    """

    key: str
    label: str
    kind: str
    started_at: float
    ended_at: float | None = None
    detail: str = ""


class Spans:
    """The spans of one session. All methods are thread-safe and return at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: OrderedDict[str, tuple[int, Span]] = OrderedDict()
        self._position = 0
        self._listeners: list[Callable[[], None]] = []

    def put(self, span: Span) -> None:
        """Add a span, or replace the one with its key."""
        with self._lock:
            self._position += 1
            self._spans[span.key] = (self._position, span)
            if len(self._spans) > MAX_SPANS:
                oldest = min(self._spans, key=lambda key: self._spans[key][1].started_at)
                del self._spans[oldest]
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def after(self, position: int) -> tuple[int, list[Span]]:
        """Spans put after a position (0: all), in order, and the position of the last one."""
        with self._lock:
            fresh = sorted((at, key) for key, (at, _) in self._spans.items() if at > position)
            return self._position, [self._spans[key][1] for _, key in fresh]

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call a function after each ``put``, on its thread; returns the way to stop."""
        with self._lock:
            self._listeners.append(listener)

        def stop() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return stop
