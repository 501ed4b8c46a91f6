"""What the buttons of a view do: each click is carried out once and answered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from kit.controls import Controls
from kit.errors import KitError, UsageError
from kit.events import JobKey
from kit.views.desk import Desk
from kit.views.feed import Feed, Message
from kit.views.thread import views

#: what a page may ask for; each has an id of its own
CLICKS = frozenset({"run", "cancel", "retry", "draft", "export", "all"})
#: clicks remembered
_REMEMBERED = 256


class Clicks:
    """Carries out the clicks of the pages that show one view.

    Parameters
    ----------
    controls : Controls
    handler : str or None
        None for a view of all handlers.
    feed : Feed
    desk : Desk
    tell : callable
        Sends a message to the pages; thread-safe.
    example : callable
        The input that the empty card shows, as JSON text; None if it shows none.
    show_all : callable
        Called on the view thread with whether the jobs of all sessions are wanted.
    """

    def __init__(
        self,
        controls: Controls,
        handler: str | None,
        feed: Feed,
        desk: Desk,
        tell: Callable[[Message], None],
        example: Callable[[], str | None],
        show_all: Callable[[bool], None],
    ) -> None:
        self._controls, self._handler, self._feed, self._desk = controls, handler, feed, desk
        self._tell, self._example, self._show_all = tell, example, show_all
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, Message] = OrderedDict()

    def hear(self, kind: str, content: dict[str, Any]) -> None:
        """A click; of one that came twice only the answer is sent again."""
        click = content.get("c")
        if not isinstance(click, str) or len(click) > 100:
            return
        with self._lock:
            again = self._answers.get(click)
            if again is None:
                self._answers[click] = Message({"t": "ack", "c": click, "ok": True, "s": None})
                while len(self._answers) > _REMEMBERED:
                    self._answers.popitem(last=False)
        if again is not None:  # a message that came twice is answered twice and carried out once
            self._tell(again)
            return
        ok, sentence = True, None
        try:
            self._do(kind, content)
        except KitError as error:
            ok, sentence = False, str(error)
        except Exception as error:
            ok, sentence = False, f"This did not work: {type(error).__name__}: {error}"
        answer = Message({"t": "ack", "c": click, "ok": ok, "s": sentence})
        with self._lock:
            self._answers[click] = answer
        self._tell(answer)

    def _do(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "run":
            self._run(self._desk.input_of(content))
        elif kind == "cancel":
            self._cancel(content)
        elif kind == "retry":
            self._controls.retry(self._key(content))
        elif kind == "draft":
            self._desk.draft(content)
        elif kind == "export":
            self._desk.export(content)
        else:
            on = content.get("on") is True
            views.call(lambda: self._show_all(on))

    def _run(self, text: str | None) -> None:
        if self._handler is None:
            raise UsageError(
                "This view shows all handlers: run a job from the card of its handler."
            )
        if text is not None:
            self._controls.run(self._handler, text)
            return
        try:
            self._controls.run(self._handler)
        except UsageError:
            example = self._example()
            if len(self._feed.table) or example is None:
                raise
            # nothing has run yet: Run means the input that the empty card shows
            self._controls.run(self._handler, example)

    def _key(self, content: dict[str, Any]) -> JobKey:
        """The job that a page means."""
        key = self._feed.key(content.get("g"), content.get("i"))
        if key is None:
            raise UsageError("This view is out of date: select the job again.")
        return key

    def open_editor(self, content: dict[str, Any]) -> None:
        """Tell a page what its editor begins with, on the view thread."""
        find = lambda: None if content.get("i") is None else self._key(content)  # noqa: E731
        self._desk.open_editor(find, content.get("p"))

    def _cancel(self, content: dict[str, Any]) -> None:
        index = content.get("i")
        if index is not None:
            self._controls.cancel(self._key(content))
            return
        views.call(self._cancel_all)

    def _cancel_all(self) -> None:
        keys: list[JobKey] = [self._feed.table.keys[i] for i in sorted(self._feed.table.live)]
        # the newest first: what waits is gone before its turn comes
        for key in reversed(keys):
            self._controls.cancel(key)
