"""What jobs and batches read of the journal, and the cards they are shown on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kit.batch import Batch
from kit.errors import UsageError
from kit.events import JobKey, JobState, JobView
from kit.job import output_of, output_or_raise
from kit.store import Store

if TYPE_CHECKING:
    import pandas

    from kit.queue import Entry
    from kit.session import Session
    from kit.views.card import Card


class Displays(ABC):
    """The part of :class:`kit.session.Session` that reads and shows; it changes no job."""

    def __init__(self) -> None:
        #: by the name of the handler
        self.cards: dict[str, Card] = {}

    @property
    @abstractmethod
    def store(self) -> Store: ...

    @property
    @abstractmethod
    def _whole(self) -> Session:
        """The session itself: buttons on a card may ask for anything."""

    def card(self, handler: str) -> Card:
        """The card of a handler; one per name, shown again on a re-run."""
        from kit.views.card import Card

        if handler not in self.cards:
            self.cards[handler] = Card(self.store, self._whole, handler)
        return self.cards[handler]

    def show(self, key: JobKey) -> None:
        from kit.views.card import show_job

        show_job(self.store, self._whole, key)

    def show_batch(self, batch: Batch) -> None:
        from kit.views.progress import show_batch

        show_batch(self._whole, batch)

    def view(self, key: JobKey) -> JobView:
        view = self.store.view(key)
        if view is None:
            raise UsageError(f"job {key} is not in {self.store.path}.")
        return view

    def output(self, key: JobKey, timeout_s: float | None) -> Any:
        """The output of a job, once it has ended; see ``Job.result``."""
        __tracebackhide__ = True
        session = self._whole
        entry = session.worker.entry(key)
        if not session.waiting.one(key, timeout_s):
            raise TimeoutError
        return self._output(key, entry)

    async def output_async(self, key: JobKey) -> Any:
        """The same for a coroutine on any loop."""
        __tracebackhide__ = True
        session = self._whole
        entry = session.worker.entry(key)
        await session.waiting.awaited(key)
        return self._output(key, entry)

    def _output(self, key: JobKey, entry: Entry | None) -> Any:
        # whoever waited need not read what has just been written
        if entry is not None and entry.done is not None:
            return output_of(entry.done)
        return self.outputs([key])[0]

    def outputs(self, keys: Sequence[JobKey]) -> list[Any]:
        """Outputs in the order of the keys; raises for the first that did not complete."""
        bodies = self.store.bodies(keys)
        found: list[Any] = []
        for key in keys:
            body = bodies.get(key)
            if body is None:  # it failed, or its body is large enough to lie in a file
                found.append(output_or_raise(self.view(key)))
            else:
                found.append(output_of(body))
        return found

    def states(self, keys: Sequence[JobKey]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for row in self.store.rows(keys=keys):
            counts[str(row.state)] = counts.get(str(row.state), 0) + 1
        order = [str(s) for s in JobState]
        return {state: counts[state] for state in order if state in counts}

    def frame_of(self, keys: Sequence[JobKey], flatten: bool) -> pandas.DataFrame:
        from kit.views.flat import flattened
        from kit.views.frame import jobs_frame

        frame = jobs_frame(self.store, keys=keys)
        return flattened(frame) if flatten else frame
