"""Handing accepted events over to whoever wants to know, in the order of the journal."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from kit.events import Event

_log = logging.getLogger("kit.store")

Subscriber = Callable[[Sequence[Event]], None]


class Delivery:
    """Subscribers and what they have not been given yet. Thread-safe."""

    def __init__(self) -> None:
        self._outbox: deque[list[Event]] = deque()
        self._subscribers: tuple[Subscriber, ...] = ()
        self._changing = threading.Lock()
        self._turn = threading.RLock()
        self._handing_over = False

    @property
    def wanted(self) -> bool:
        """Whether there is a subscriber."""
        return bool(self._subscribers)

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Add a subscriber; returns what removes it."""
        with self._changing:
            self._subscribers += (callback,)

        def unsubscribe() -> None:
            with self._changing:
                self._subscribers = tuple(s for s in self._subscribers if s is not callback)

        return unsubscribe

    def put(self, events: list[Event]) -> None:
        """Line events up. The caller holds the journal's write lock, so they are in its order."""
        if events and self._subscribers:
            self._outbox.append(events)

    def deliver(self) -> None:
        """Hand over what is lined up. The caller holds no lock."""
        # One thread at a time, for the order. By `with`: the stop button may interrupt between a
        # call of acquire() and whatever comes after it.
        with self._turn:
            if self._handing_over:
                return  # a subscriber has appended: its turn comes after what it was given
            self._handing_over = True
            try:
                while self._outbox:
                    self._hand_over(self._outbox.popleft())
            finally:
                self._handing_over = False

    def _hand_over(self, events: list[Event]) -> None:
        for callback in self._subscribers:
            try:
                callback(events)
            except Exception:
                _log.exception("a subscriber of the journal failed")
