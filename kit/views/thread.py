"""One thread for all views: it reads the journal, packs updates, draws pictures, sends.

Views are fed from the journal while jobs run, so their work must neither hold up the control loop,
which starts and stops jobs, nor a cell. Timing comes from the control loop
(``Controls.call_later``); the work is done here.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from kit.errors import StoreError

_log = logging.getLogger(__name__)


class ViewThread:
    """Runs calls one after the other on a daemon thread that starts with the first."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def call(self, function: Callable[[], None]) -> None:
        """Run a function soon; thread-safe, returns at once. What it raises is logged."""
        with self._lock:
            self._calls.put(function)
            # is_alive is False in a forked child: it would get a thread of its own
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="kit-view", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            function = self._calls.get()
            try:
                function()
            except StoreError as error:
                # the journal was closed (the kernel shuts down) or is in trouble that jobs report
                _log.debug("a view could not read the journal: %s", error)
            except Exception:
                _log.exception("a view failed")


#: the thread of this process
views = ViewThread()
