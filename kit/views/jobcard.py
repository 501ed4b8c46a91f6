"""A job's own display: static when the job has ended, live while it runs, static again at its end.

A notebook may show thousands of jobs, so nothing may stay behind: an ended job is one static output
and no widget. A job that still runs after a moment gets a live view under the same display id, which
is closed and replaced at the end.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kit.controls import Controls
from kit.events import Event, JobKey
from kit.views import outputs
from kit.views.jobstatic import job_html, job_text
from kit.views.live import Live
from kit.views.outputs import Slot
from kit.views.thread import views

if TYPE_CHECKING:
    from kit.store import Store
    from kit.views.widget import Line

#: seconds after which a job that still runs gets a live view
PATIENCE_S = 0.3


def show(store: Store, controls: Controls, key: JobKey) -> None:
    """Display a job under the running cell; in a terminal, print it.

    Does nothing if there is no such job.
    """
    view = store.view(key)
    if view is None:
        return
    if not outputs.in_kernel():
        sys.stdout.write(job_text(view) + "\n")
        return
    slot = Slot()
    slot.show({"text/html": job_html(view), "text/plain": job_text(view)})
    if not view.state.final:
        _Watch(store, controls, key, slot, live=outputs.frontend_expected())


class _Watch:
    """Keeps the display of one running job until it ends."""

    def __init__(
        self, store: Store, controls: Controls, key: JobKey, slot: Slot, *, live: bool
    ) -> None:
        self._store, self._controls, self._key, self._slot = store, controls, key, slot
        self._lock = threading.Lock()
        self._ended = False
        self._live: Live | None = None
        self._line: Line | None = None
        self._unsubscribe = store.subscribe(self._on_events)
        if live:
            controls.call_later(PATIENCE_S, lambda: views.call(self._go_live))
        # it may have ended between the first look and the subscription
        views.call(self._look)

    def _on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.job_key == self._key and event.kind.value in _ENDS:
                views.call(self._look)
                return

    def _go_live(self) -> None:
        if self._ended:
            return
        from kit.views.widget import Line

        self._live = Live(self._store, self._controls, None, self._head, _nothing, key=self._key)
        self._line = Line(self._live.hear)
        self._live.connect(self._line.send)
        self._slot.replace(
            {
                outputs.WIDGET_VIEW: {
                    "version_major": 2,
                    "version_minor": 0,
                    "model_id": self._line.model_id,
                },
                "text/plain": "",
            }
        )

    def _head(self) -> dict[str, Any]:
        return {"head": {"job": True}, "note": None}

    def _look(self) -> None:
        view = self._store.view(self._key)
        if view is None or not view.state.final or self._ended:
            return
        self._ended = True
        self._unsubscribe()
        self._slot.replace({"text/html": job_html(view), "text/plain": job_text(view)})
        if self._live is not None:
            self._live.close()
        if self._line is not None:
            self._line.close()


_ENDS = frozenset({"completed", "failed", "cancelled", "timed_out", "lost"})


def _nothing() -> None:
    """A job's display has no static part to renew."""
