"""Spans into the journal as they come, so that history has them too."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from kit.errors import StoreError
from kit.span import Spans
from kit.store import Store

_log = logging.getLogger("kit.spans")


def journal_spans(spans: Spans, store: Callable[[], Store]) -> None:
    """Write every span that is put from now on to a session's journal, opened when first needed."""
    lock, position = threading.Lock(), 0

    def keep() -> None:
        nonlocal position
        with lock:
            position, fresh = spans.after(position)
            for span in fresh:
                try:
                    store().put_span(span)
                except StoreError as error:  # the bar is on the screen all the same
                    _log.warning("%s is not in the journal: %s", span.label, error)

    spans.subscribe(keep)
