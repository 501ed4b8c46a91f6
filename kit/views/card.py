"""The card under a ``%%handler`` cell: live while the kernel lives, a picture when it does not."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kit.controls import Controls
from kit.events import JobState
from kit.handler import HandlerVersion
from kit.views import codec, outputs
from kit.views.live import Live
from kit.views.static import SHOWN, Picture, picture_text, title_of
from kit.views.still import CATCH_UP_S, Still
from kit.views.thread import views

if TYPE_CHECKING:
    from kit.store import Store
    from kit.views.widget import Line

__all__ = ["Card", "show_job"]

#: seconds without an answer after which the static card says what is missing in the front end
ANSWER_S = 3.0
#: size of the picture at least, in inches of 100 pixels
_PICTURE_IN = (9.6, 4.2)
NO_VIEW = (
    "The live view did not start: the widget manager (jupyterlab_widgets and anywidget) must be "
    "installed where the Jupyter server runs; then reload this page once and run the cell again."
)


class Face:
    """What cards and panels share: three outputs, kept fresh, and one widget for all of its lives.

    Parameters
    ----------
    store : Store
    controls : Controls
    handler : str or None
        None shows the jobs of all handlers.
    all_sessions : bool
        Begin with the jobs of all sessions of the store.
    """

    def __init__(
        self,
        store: Store,
        controls: Controls,
        handler: str | None,
        *,
        all_sessions: bool = False,
    ) -> None:
        self._store, self._controls, self._handler = store, controls, handler
        self._note: str | None = None
        self._noted_at = 0.0
        self._line: Line | None = None
        self._unanswered = False
        self._hears_cells = False
        self._live = Live(
            store,
            controls,
            handler,
            self._head,
            lambda: self._still.on_update(),  # noqa: PLW0108 - made below, from this
            all_sessions=all_sessions,
            begin=False,
        )
        self._still = Still(controls, self._live, self._describe, self._png)

    # -- show -----------------------------------------------------------------------------------

    def show(self, *, settled: bool = True) -> None:
        """Show under the running cell; in a terminal, print a summary.

        Parameters
        ----------
        settled : bool
            False if ``settle`` follows before the cell ends: the static table is made once, then.
        """
        self._drop_old_note()
        if not outputs.in_kernel():
            self._live.catch_up(CATCH_UP_S)
            sys.stdout.write(picture_text(self._describe()) + "\n")
            return
        if self._line is None or not self._line.open:
            from kit.views.widget import Line

            self._line = Line(self._live.hear)
            self._live.connect(self._line.send)
            if outputs.frontend_expected():
                self._live.greet()
            else:  # the table is all there will be
                self._live.catch_up(CATCH_UP_S)
        self._live.tell_head()
        self._unanswered = False
        if not self._hears_cells:
            self._hears_cells = True
            self._controls.at_cell_end(self._still.cell_ends)
        # text/plain must be empty here, or the saved notebook would show the widget's repr
        outputs.publish(
            {
                outputs.WIDGET_VIEW: {
                    "version_major": 2,
                    "version_minor": 0,
                    "model_id": self._line.model_id,
                },
                "text/plain": "",
            }
        )
        self._still.place(settled=settled)
        self._live.begin()
        if not self._live.seen and outputs.frontend_expected():
            self._controls.call_later(ANSWER_S, lambda: views.call(self._expect_answer))

    def note(self, sentence: str | None) -> None:
        """Show one sentence at the head, until the next one; None takes it away."""
        self._note, self._noted_at = sentence, time.time()
        self._live.tell_head()
        views.call(self._still.renew)

    def head_changed(self) -> None:
        """Something that the head shows is another, e.g. the target."""
        self._live.tell_head()

    def _drop_old_note(self) -> None:
        """A note about a cell that failed is over once a newer cell has registered."""
        newest = max((v.registered_at for v in self._versions()), default=0.0)
        if newest > self._noted_at:
            self._note = None

    def settle(self) -> None:
        """Renew the static table now, from the thread of the running cell."""
        self._still.settle()

    def _expect_answer(self) -> None:
        if not self._live.seen:
            self._live.give_up()
            self._unanswered = True
            self._still.renew()

    # -- what it says ---------------------------------------------------------------------------

    def _versions(self) -> list[HandlerVersion]:
        return list(self._controls.versions(self._handler))

    def _head(self) -> dict[str, Any]:
        """Content of the ``head`` message."""
        versions = self._versions()
        head: dict[str, Any] = {
            "reason": self._controls.memory_reason,
            "versions": [
                {"handler": v.name, "version": v.version, "time": v.registered_at}
                for v in sorted(versions, key=lambda v: v.registered_at)
                if v.version > 1
            ],
        }
        current = max(versions, key=lambda v: v.registered_at, default=None)
        if current is not None:
            head["example"], head["call"] = current.example, current.call
        if self._handler is None:
            head["name"], head["panel"] = "Jobs", True
        elif current is not None:
            head.update(
                name=current.name,
                kind=str(current.kind),
                version=current.version,
                lines_changed=current.lines_changed,
                cell=current.cell,
                target=self._controls.target,
            )
        return {"head": head, "note": self._note}

    def _describe(self) -> Picture:
        """The static picture of now, read from the journal."""
        session = None if self._live.feed.all_sessions else self._controls.session_id
        rows = self._store.rows(limit=SHOWN, session=session, handler=self._handler)
        counts, times = self._numbers(rows)
        versions = self._versions()
        current = max(versions, key=lambda v: v.registered_at, default=None)
        if self._handler is None:
            title = "Jobs of all sessions" if session is None else "Jobs of this session"
        elif current is None:
            title = self._handler
        else:
            title = title_of(
                current.name,
                str(current.kind),
                current.version,
                current.lines_changed,
                current.cell,
            )
        note = NO_VIEW if self._unanswered and not self._live.seen else self._note
        call = "kit.run({...})" if current is None else current.call
        return Picture(title, rows, counts, times, note, call)

    def _numbers(self, rows: Sequence[Any]) -> tuple[dict[JobState, int], list[float]]:
        """Counts by state and execution times: of all jobs the view knows, at least of these."""
        table = self._live.feed.table
        if len(table) > len(rows):
            counts = {codec.STATES[code]: n for code, n in table.counts().items()}
            return counts, table.times()
        counts = {}
        for row in rows:
            counts[row.state] = counts.get(row.state, 0) + 1
        done = [r.execution_ms for r in rows if r.state is JobState.COMPLETED]
        return counts, [ms for ms in done if ms is not None]

    def _png(self) -> bytes:
        from kit.views.plots import timeline  # imports matplotlib: 0.7 s, once, at rest
        from kit.views.plots.ground import without_ground

        session = None if self._live.feed.all_sessions else self._controls.session_id
        figure = timeline(
            self._store,
            session=session,
            handler=self._handler,
            limit=200,
            reason=self._controls.memory_reason,
        )
        width, height = figure.get_size_inches()
        figure.set_size_inches(max(width, _PICTURE_IN[0]), max(height, _PICTURE_IN[1]))
        buffer = io.BytesIO()
        without_ground(figure).savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


class Card(Face):
    """The card of one handler; one per name and session, shown again on a re-run.

    Parameters
    ----------
    store : Store
    controls : Controls
    handler : str
        The handler's name.
    """

    def __init__(self, store: Store, controls: Controls, handler: str) -> None:
        super().__init__(store, controls, handler)


def show_job(store: Store, controls: Controls, key: Any) -> None:
    """A job's own display; see ``kit.views.jobcard``."""
    from kit.views.jobcard import show

    show(store, controls, key)
