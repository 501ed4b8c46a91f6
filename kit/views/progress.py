"""The progress of ``kit.map`` under its cell: one bar that fills, then counts by state."""

from __future__ import annotations

import html
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kit.batch import Batch, progress_text
from kit.events import JobState
from kit.views.words import STATE_COLOURS

if TYPE_CHECKING:
    from kit.events import JobKey

_EVERY_S = 0.25
_LAST = 64


class Source(Protocol):
    """What the bar needs of a session."""

    def call_later(self, delay_s: float, function: Callable[[], None]) -> None: ...

    def when_each_ended(self, keys: Sequence[JobKey], call: Callable[[], None]) -> int:
        """Call once per job when it has ended; returns how many had ended already."""

    def at_cell_end(self, function: Callable[[], bool]) -> None:
        """Call before each cell ends until it returns False; see ``kit.controls.Controls``."""

    def states(self, keys: Sequence[JobKey]) -> dict[str, int]: ...


def bundle(done: int, total: int, states: dict[str, int]) -> dict[str, str]:
    """What is displayed: text, and HTML made of numbers and RunPod's state names only."""
    share = 100.0 if total == 0 else 100.0 * done / total
    bars = "".join(
        f'<span style="display:inline-block;height:100%;width:{100 * count / max(1, total):.2f}%;'
        f'background:{STATE_COLOURS[JobState(state)]}"></span>'
        for state, count in states.items()
    ) or (
        f'<span style="display:inline-block;height:100%;width:{share:.2f}%;background:{STATE_COLOURS[JobState.IN_PROGRESS]}"></span>'
    )
    counts = ", ".join(
        f"{count:,} {html.escape(state.lower().replace('_', ' '))}"
        for state, count in states.items()
    )
    label = f"{done:,} of {total:,} jobs" + (f": {counts}" if counts else "")
    return {
        "text/plain": progress_text(done, total, states),
        "text/html": (
            '<div style="font:13px var(--jp-ui-font-family,system-ui,sans-serif);'
            'font-variant-numeric:tabular-nums;max-width:640px">'
            '<div style="height:8px;border-radius:4px;overflow:hidden;white-space:nowrap;font-size:0;'
            f'background:var(--jp-layout-color3,#dde1e6)" role="progressbar" aria-valuenow="{done}" '
            f'aria-valuemin="0" aria-valuemax="{total}">{bars}</div>'
            f'<div style="margin-top:4px;color:var(--jp-ui-font-color1,#333)">{label}</div></div>'
        ),
    }


def show_batch(source: Source, batch: Batch) -> None:
    """Display a batch under the running cell and keep it up to date until all its jobs ended."""
    from IPython.core.getipython import get_ipython

    keys = [job.key for job in batch.jobs]
    total = len(keys)
    counting, drawing = threading.Lock(), threading.Lock()
    ended = [0]

    def one_ended() -> None:
        with counting:
            ended[0] += 1

    already = source.when_each_ended(keys, one_ended)
    with counting:
        ended[0] += already
    shell: Any = get_ipython()
    if getattr(shell, "kernel", None) is None:
        sys.stdout.write(progress_text(ended[0], total, source.states(keys)) + "\n")
        return
    ident = {"display_id": f"kit-batch-{uuid.uuid4().hex}"}

    def draw(*, update: bool) -> bool:
        with drawing:  # a later picture never gives way to an earlier one
            done = ended[0]
            states = source.states(keys) if done >= total else {}
            shell.display_pub.publish(bundle(done, total, states), transient=ident, update=update)
            return done >= total

    def cell_ends() -> bool:
        # the last ones may have woken their cell before they were counted
        if total - _LAST <= ended[0] < total:
            states = source.states(keys)
            final = sum(n for state, n in states.items() if JobState(state).final)
            with counting:
                ended[0] = max(ended[0], final)
        return not draw(update=True)

    def again() -> None:
        if not draw(update=True):
            source.call_later(_EVERY_S, again)

    if not draw(update=False):
        source.at_cell_end(cell_ends)
        source.call_later(_EVERY_S, again)
