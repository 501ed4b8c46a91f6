"""What a view may ask for. The session implements it; views know nothing else of it.

Nothing flows back: a control leads to an event, and the view then reads the event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kit.draft import ExportDraft, ExportOutcome
from kit.events import JobKey
from kit.handler import HandlerVersion
from kit.reads import Prefill
from kit.span import Spans


class Controls(Protocol):
    """Everything a button can do. All methods are thread-safe and return at once."""

    @property
    def session_id(self) -> str:
        """The id under which this kernel writes to the store."""

    def versions(self, handler: str | None) -> Sequence[HandlerVersion]:
        """Handler versions of this session in the order they were registered; None for all names."""

    @property
    def target(self) -> str:
        """Where jobs run from now on, as ``kit.use`` has set it."""

    @property
    def spans(self) -> Spans:
        """Model loads and setups to show above the jobs."""

    @property
    def memory_reason(self) -> str | None:
        """Why memory is this process's RSS and not VRAM, as a sentence; None where VRAM is shown."""

    def run(self, handler: str, text: str | None = None) -> JobKey:
        """Run a job.

        Parameters
        ----------
        handler : str
            Name of a registered handler.
        text : str or None
            The input as JSON text; None runs the last input of this handler again.

        Raises
        ------
        KitError
            With a sentence for the person: no input yet, bad JSON, the store refused.
        """

    def cancel(self, key: JobKey) -> None:
        """Ask for a job to be cancelled. Does nothing if it has ended."""

    def retry(self, key: JobKey) -> object:
        """Run the request of a job that failed, was stopped or was lost again.

        Raises
        ------
        KitError
            With a sentence for the person: it did not fail, or its request is no longer stored.
        """

    def prefill(self, handler: str, key: JobKey | None = None) -> Prefill:
        """What an input editor begins with.

        The input of a job; None for the last one of the handler, else what it reads.

        Raises
        ------
        KitError
            There is no such handler or job, or its request is no longer stored.
        """

    def draft(self, handler: str, path: str, done: Callable[[ExportDraft], None]) -> None:
        """Plan an export on a thread of its own; nothing is written.

        ``done(draft)`` is called from that thread.
        """

    def export(
        self,
        handler: str,
        done: Callable[[ExportOutcome], None],
        path: str = "worker",
        overwrite: bool = False,
    ) -> None:
        """Export a handler on a thread of its own and prove what was written.

        ``done(outcome)`` is called from that thread at the end.
        """

    def call_later(self, delay_s: float, function: Callable[[], None]) -> None:
        """Call a function on the worker's control loop after a delay. It must not block."""

    def cell_is_running(self) -> bool:
        """Whether the kernel's main thread is executing a cell right now."""

    def at_cell_end(self, function: Callable[[], bool]) -> None:
        """Call before this cell and each later one ends, on its thread, until it returns False.

        What is published later is in no saved notebook if nobody looks (nbclient).
        """
