"""What a view may ask for. The session implements it; views know nothing else of it.

Nothing flows back: a control leads to an event, and the view then reads the event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kit.events import JobKey
from kit.handler import HandlerVersion
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

    def export(self, handler: str, done: Callable[[bool, str], None]) -> None:
        """Export a handler to ``worker/`` on a thread of its own.

        ``done(ok, sentence)`` is called from that thread at the end.
        """

    def call_later(self, delay_s: float, function: Callable[[], None]) -> None:
        """Call a function on the worker's control loop after a delay. It must not block."""

    def cell_is_running(self) -> bool:
        """Whether the kernel's main thread is executing a cell right now."""
