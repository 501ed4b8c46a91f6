"""Which jobs hold a text: asked for by the filter of a view, answered in slices.

A journal of 100,000 jobs takes a second to read through. So each slice takes a few milliseconds, and
between two slices the view thread feeds its pages, and others read the journal.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kit.views.feed import Feed, Message
from kit.views.thread import views

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.store import Store

#: what one slice should take, and how many jobs the first one looks at
SLICE_S, FIRST_JOBS = 0.005, 32
#: matches told to a page; a longer list would be read by nobody
MAX_FOUND = 5_000
#: characters of the text that count
MAX_TEXT = 200


class Matches:
    """The search that a page asked for last; a new one ends the one before.

    Parameters
    ----------
    store : Store
    feed : Feed
    handler : str or None
        Only this handler's jobs; None searches all.
    tell : callable
        Where the answer goes.
    """

    def __init__(
        self, store: Store, feed: Feed, handler: str | None, tell: Callable[[Message], None]
    ) -> None:
        self._store, self._feed, self._handler, self._tell = store, feed, handler, tell
        self._current = 0

    def find(self, text: str) -> None:
        """Look for a text in inputs, outputs, chunks, logs, errors and ids. On the view thread."""
        self._current += 1
        text = text.strip()[:MAX_TEXT]
        if text:
            self._slice(self._current, text, [], None, FIRST_JOBS)

    def _slice(
        self, ticket: int, text: str, found: list[int], before: int | None, jobs: int
    ) -> None:
        if ticket != self._current:
            return
        session = None if self._feed.all_sessions else self._store.session_id
        began = time.perf_counter()
        keys, rest = self._store.matching(
            text, session=session, handler=self._handler, before=before, jobs=jobs
        )
        took = time.perf_counter() - began
        found += [i for key in keys if (i := self._feed.table.index(key)) is not None]
        if rest is None or len(found) >= MAX_FOUND:
            self._answer(text, found, more=rest is not None)
            return
        jobs = max(4, min(4 * jobs, int(jobs * SLICE_S / max(took, 1e-4))))
        views.call(lambda: self._slice(ticket, text, found, rest, jobs))

    def _answer(self, text: str, found: list[int], *, more: bool) -> None:
        content: dict[str, Any] = {"t": "found", "g": self._feed.generation, "q": text}
        self._tell(Message({**content, "i": found[:MAX_FOUND], "more": more}))
