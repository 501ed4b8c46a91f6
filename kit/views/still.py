"""The two static outputs of a card, for when no kernel lives: a table, and at rest a picture.

They cost the page more than the live card does (JupyterLab takes its time to read HTML), so where a page
draws that one they come after it, and hidden behind it they are renewed now and then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from kit.controls import Controls
from kit.views import outputs
from kit.views.live import Live
from kit.views.outputs import Slot
from kit.views.static import Picture, picture_html, picture_text
from kit.views.thread import views

#: seconds without a cell and without a job before the picture is drawn
IDLE_S = 1.0
#: seconds after which a card is given its static table where a page draws the live one: reading HTML
#: takes JupyterLab longer than drawing the card
TABLE_S = 0.5
#: seconds between two renewals of the static table, and while a live card hides it and a cell runs: it
#: matters then only if the kernel dies, and is renewed when the cell ends and at rest in any case
RENEW_S, RENEW_HIDDEN_S = 1.0, 5.0
#: what stands where the picture, and where a page draws the card the table, will be
_NOTHING_YET = {"text/plain": ""}
#: seconds that the end of a cell waits at most for the counts of many jobs
CATCH_UP_S = 0.5


class Still:
    """Places the two outputs under a cell and keeps them fresh.

    Parameters
    ----------
    controls : Controls
    live : Live
        The living part that these stand for.
    describe : callable
        Gives what the table says now.
    png : callable
        Draws the picture of some jobs.
    """

    def __init__(
        self,
        controls: Controls,
        live: Live,
        describe: Callable[[], Picture],
        png: Callable[[], bytes],
    ) -> None:
        self._controls, self._live = controls, live
        self._describe, self._png = describe, png
        self._lock = threading.Lock()
        self._table: Slot | None = None
        self._picture: Slot | None = None
        self._shown_at = self._renewed_at = 0.0
        self._stale = False
        #: batches of events that the table has heard of
        self._heard = -1
        #: shown, but its table comes with ``settle``
        self._unsettled = False
        #: there will be a table in a moment
        self._comes = False
        self._waiting_for_rest = False

    def place(self, *, settled: bool) -> None:
        """Publish both under the running cell; the table with ``settle`` if that follows."""
        self._picture, self._table = Slot(), Slot()
        self._picture.show(_NOTHING_YET)
        self._unsettled = not settled
        self._shown_at = self._renewed_at = time.monotonic()
        if settled:
            self._place_table(self._table)
        self._stale = True

    def _place_table(self, table: Slot) -> None:
        left = self._shown_at + TABLE_S - time.monotonic()
        if left <= 0 or not outputs.frontend_expected():
            self._take_in()
            table.show(_bundle(self._describe()))
            return
        table.show(_NOTHING_YET)
        self._comes = True
        self._controls.call_later(left, lambda: views.call(self._table_is_due))

    def _table_is_due(self) -> None:
        self._comes = False
        self.renew()

    def settle(self) -> None:
        """Renew the static table now, from the thread of the running cell.

        For the end of a cell that waited for its job: a run without a front end (nbclient) keeps
        what was published while a cell runs and drops what comes after the last one.
        """
        if self._unsettled and self._table is not None:
            self._unsettled = False
            self._renewed_at = time.monotonic()
            self._place_table(self._table)
        else:
            self.renew()

    def cell_ends(self) -> bool:
        """Renew the static table if jobs changed. Always True."""
        if self._live.seen:
            # the page shows them; a save may come any moment
            if self._live.heard != self._heard and not self._comes:
                self._heard = self._live.heard
                views.call(self.renew)
            return True
        # a job may wake its cell just before this view hears that it ended
        unsure = bool(self._live.feed.table.live)
        if not self._comes and (unsure or self._live.heard != self._heard):
            self._take_in()
            self.renew()
        return True

    def _take_in(self) -> None:
        """Have the counts as they are now, where no page keeps them fresh."""
        if not self._live.seen:
            self._heard = self._live.heard
            if self._heard:
                self._live.catch_up(CATCH_UP_S)

    # -- keep fresh -----------------------------------------------------------------------------

    def on_update(self) -> None:
        """After each update of the live view, on the view thread."""
        if self._table is None:
            return
        self._stale = True
        # what a click brought is kept at once; a cell that runs may bring much more
        hidden = self._live.seen and self._controls.cell_is_running()
        pause = RENEW_HIDDEN_S if hidden else RENEW_S
        if self._live.feed.table.live or time.monotonic() - self._renewed_at < pause:
            self._when_at_rest()
            return
        self.renew()
        self._when_at_rest()

    def renew(self) -> None:
        """Say in the table what is true now; for the view thread, or the thread of the running cell."""
        table = self._table
        if table is None or self._unsettled:
            return
        self._renewed_at = time.monotonic()
        table.replace(_bundle(self._describe()))

    def _when_at_rest(self) -> None:
        """Renew the table and draw the picture once no job and no cell has run for a second."""
        with self._lock:
            if self._waiting_for_rest:
                return
            self._waiting_for_rest = True
        self._controls.call_later(
            IDLE_S, lambda: views.call(lambda: self._look_for_rest(0, self._live.heard))
        )

    def _look_for_rest(self, quiet: int, heard: int) -> None:
        live = self._live
        busy = self._controls.cell_is_running() or bool(live.feed.table.live) or live.feed.backlog
        # jobs of a few ms come and go between two looks
        busy = busy or live.heard != heard
        quiet, heard = 0 if busy else quiet + 1, live.heard
        # two looks a second apart: the pause between two cells of a Run All is shorter
        if quiet < 2:
            self._controls.call_later(
                IDLE_S, lambda: views.call(lambda: self._look_for_rest(quiet, heard))
            )
            return
        with self._lock:
            self._waiting_for_rest = False
        if self._stale:
            self._stale = False
            self.renew()
            self._draw()

    def _draw(self) -> None:
        picture = self._picture
        if picture is None or not self._live.seen:
            return  # nobody would see it, and nbclient drops it
        if len(self._live.feed.table):
            picture.replace({"image/png": self._png(), "text/plain": "timeline"})


def _bundle(picture: Picture) -> dict[str, Any]:
    return {"text/html": picture_html(picture), "text/plain": picture_text(picture)}
