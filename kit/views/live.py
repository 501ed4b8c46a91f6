"""The living part of a card or panel: what goes to the page, and what its buttons ask for.

Messages to the page: ``greeting``, ``head``, ``snapshot``, ``delta``, ``live`` (text of the watched job), ``job``
and ``part`` (what a person looks at), ``found`` (jobs that hold a text), ``ack`` (what became of a
click). From the page: ``hello``, ``job``, what ``parts.KINDS`` names, ``compare``, ``find``, and the
clicks ``run``, ``cancel``, ``retry``, ``draft``, ``export``, ``all``, each with an id of its own so
that none is carried out twice. What the input editor and the export view say besides is in
``kit.views.desk``.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kit.controls import Controls
from kit.events import Event, JobKey
from kit.views import detail, parts
from kit.views.aside import aside
from kit.views.clicks import CLICKS, Clicks
from kit.views.desk import Desk
from kit.views.feed import Feed, Message
from kit.views.matches import Matches
from kit.views.rivals import compare_message
from kit.views.thread import views

if TYPE_CHECKING:
    from kit.store import Store

#: seconds between two updates while someone looks, and while nobody does
UPDATE_S, UNSEEN_S = 0.1, 1.0
#: seconds from the first event after a rest to its update: a job of a few ms is one message
FIRST_S = 0.015
#: seconds between two looks at the memory samples while a job runs
SAMPLE_S = 0.5
#: seconds between two looks at what other kernels wrote
POLL_S = 1.0
#: a view takes at most one part in so many of a thread's time; after a huge burst, this long a rest
SHARE, LONGEST_S = 20, 0.5


class Live:
    """Feeds the pages that show one view, and answers them.

    Parameters
    ----------
    store : Store
    controls : Controls
    handler : str or None
        Only this handler's jobs; None shows all.
    head : callable
        ``head()`` gives the content of the ``head`` message, and ``note()`` belongs to it.
    key : JobKey or None
        Only this job; None shows all.
    all_sessions : bool
        Begin with the jobs of all sessions.
    begin : bool
        Read the jobs at once; False if ``begin`` is called later.
    changed : callable
        Called on the view thread after each update, for the static picture.
    """

    def __init__(
        self,
        store: Store,
        controls: Controls,
        handler: str | None,
        head: Callable[[], dict[str, Any]],
        changed: Callable[[], None],
        *,
        key: JobKey | None = None,
        all_sessions: bool = False,
        begin: bool = True,
    ) -> None:
        self._store, self._controls, self._handler = store, controls, handler
        self._head, self._changed = head, changed
        # a job's own display has no timeline
        self.feed = Feed(store, handler, key, controls.spans if key is None else None)
        self._matches = Matches(store, self.feed, handler, self.tell)
        self._send: Callable[[Message], None] | None = None
        #: whether a page has ever answered
        self.seen = False
        #: generation of the snapshot that was sent before a page asked, until one does; 0: it is due
        self._greeted: int | None = None
        #: batches of events heard
        self.heard = 0
        self._lock = threading.Lock()
        self._due = 0.0
        self._ticket = itertools.count(1)
        self._current = 0
        self._not_before = 0.0
        self._closed = False
        self._versions_told = 0
        self.desk = Desk(controls, handler, self.tell)
        self._clicks = Clicks(
            controls, handler, self.feed, self.desk, self.tell, self._example, self._show_all
        )
        self._unsubscribe = store.subscribe(self._on_events)
        self._unsubscribe_spans = (
            controls.spans.subscribe(lambda: self._wake(FIRST_S)) if key is None else None
        )
        self._begins_with: bool | None = all_sessions
        if begin:
            self.begin()

    def begin(self) -> None:
        """Read the jobs, on the view thread; only the first call does.

        A card that is shown has sent its widget before: reading would compete with it for the
        interpreter.
        """
        all_sessions, self._begins_with = self._begins_with, None
        if all_sessions is not None:
            views.call(lambda: self._load(all_sessions=all_sessions))

    def _load(self, *, all_sessions: bool) -> None:
        self.feed.load(all_sessions=all_sessions)
        self._greet()

    def connect(self, send: Callable[[Message], None]) -> None:
        """Where messages go from now on; ``send`` must be thread-safe."""
        self._send = send

    def close(self) -> None:
        self._closed = True
        self._unsubscribe()
        if self._unsubscribe_spans is not None:
            self._unsubscribe_spans()

    # -- to the page ----------------------------------------------------------------------------

    def tell(self, message: Message) -> None:
        """Send a message, if a page is there."""
        if self._send is not None and (self.seen or self._greeted is not None):
            self._send(message)

    def greet(self) -> None:
        """Send what a page that is being made will ask for: it then draws without a round trip.

        First one word, which tells the page not to ask. anywidget keeps messages until the page's
        script has begun; where another front end drops them, the page asks.
        """
        if not self.seen:
            self._greeted = 0
            self.tell(Message({"t": "greeting"}))
            if self._begins_with is None:  # else the rest follows when the jobs have been read
                views.call(self._greet)

    def _greet(self) -> None:
        if self._greeted is not None:
            self.tell(self._head_message())
            self.tell(self.feed.snapshot())
            self._greeted = self.feed.generation

    def give_up(self) -> None:
        """No page has answered: send no more until one asks."""
        self._greeted = None

    def tell_head(self) -> None:
        """Send the head anew: a new version, another note."""
        if self.seen:  # a page that comes gets the head with its welcome
            views.call(lambda: self.tell(self._head_message()))

    def _head_message(self) -> Message:
        self._versions_told = len(self._controls.versions(self._handler))
        return Message({"t": "head", **self._head()})

    def _on_events(self, events: Sequence[Event]) -> None:
        self.feed.receive(events)
        self.heard += 1
        # with no page there is no hurry, and the running cell wants the processor
        self._wake(FIRST_S if self.seen else UNSEEN_S)

    def _wake(self, delay_s: float) -> None:
        """Have the next update in so many seconds, or sooner if one is due sooner."""
        now = time.monotonic()
        with self._lock:
            due = max(now + delay_s, self._not_before)
            # one that is overdue counts as well: the control loop is busy and will come to it
            if self._closed or 0 < self._due <= due:
                return
            self._due = due
            ticket = self._current = next(self._ticket)
        self._controls.call_later(due - now, lambda: self._on_time(ticket))

    def catch_up(self, timeout_s: float) -> None:
        """Have the jobs of this view as they are now, or as far as it gets in so many seconds."""
        self.begin()
        until = time.monotonic() + timeout_s
        while True:
            taken = threading.Event()

            def take(taken: threading.Event = taken) -> None:
                self._update()
                taken.set()

            views.call(take)
            if not taken.wait(max(0.0, until - time.monotonic())) or not self.feed.backlog:
                return

    def _on_time(self, ticket: int) -> None:
        if ticket == self._current:
            views.call(self._update)

    def _update(self) -> None:
        """Send what changed. Runs on the view thread."""
        if self._closed:
            return
        began = time.thread_time()  # what it cost, not how long it waited for the interpreter
        feed = self.feed
        if feed.all_sessions:
            feed.poll()
        # a panel hears of new versions here; a card is told when it is shown again
        known = len(self._controls.versions(self._handler))
        if self._handler is None and known != self._versions_told:
            self.tell(self._head_message())
        for message in feed.update():
            self.tell(message)
        took = time.thread_time() - began
        pause = max(UPDATE_S if self.seen else UNSEEN_S, min(SHARE * took, LONGEST_S))
        with self._lock:
            self._due = 0.0
            self._not_before = time.monotonic() + pause
        self._changed()
        if feed.backlog:
            self._wake(0)
        elif feed.awake:
            self._wake(SAMPLE_S)
        elif self.seen and (feed.all_sessions or (self._handler is None and not known)):
            self._wake(POLL_S)  # a handler may be registered without a job

    # -- from the page --------------------------------------------------------------------------

    def hear(self, content: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """A message from a page. Returns at once: what takes time goes to the view thread."""
        kind = content.get("t")
        if kind == "hello":
            first, self.seen = not self.seen, True
            views.call(lambda: self._welcome(content.get("g")))
            if first:  # what was left undone because nobody would have seen it
                views.call(self._changed)
        elif kind == "job":
            views.call(lambda: self._job(content))
        elif kind in parts.KINDS or kind == "compare":
            aside.call(lambda: self._part(content))
        elif kind == "find" and isinstance(content.get("q"), str):
            views.call(lambda: self._matches.find(content["q"]))
        elif kind == "editor":
            views.call(lambda: self._clicks.open_editor(content))
        elif kind == "piece":
            self.desk.take(content, buffers)
        elif kind in CLICKS:
            self._clicks.hear(kind, content)

    def _welcome(self, generation: object = None) -> None:
        """Tell a page all it needs; if it was greeted, it has the jobs and what came since."""
        greeted, self._greeted = self._greeted, None
        self.tell(self._head_message())
        if greeted is None or greeted != generation:
            self.tell(self.feed.snapshot())
        exported = self.desk.welcome()
        if exported is not None:
            self.tell(exported)
        if self.feed.all_sessions or self._handler is None:
            self._wake(POLL_S)

    def _job(self, content: dict[str, Any]) -> None:
        key = self.feed.key(content.get("g"), content.get("i"))
        view = None if key is None else self._store.view(key)
        if view is None:
            return
        index = content["i"]
        # from here on its text goes to the page as it comes; what came before is in the message
        self.feed.watched.clear()
        if not view.state.final:
            self.feed.watched[index] = view.seq
        self.tell(detail.job_message(self.feed.generation, index, view))

    def _part(self, content: dict[str, Any]) -> None:
        """Answer a question about a payload, on a thread of its own: it may take a second."""
        key = self.feed.key(content.get("g"), content.get("i"))
        other = content.get("key")
        if key is not None and isinstance(other, str):
            key = JobKey(other)  # a part of the job that is compared with
        view = None if key is None else aside.view(self._store, key)
        if view is None:
            return
        ask = (self.feed.generation, content["i"], view, content)
        if content.get("t") == "compare":
            self.tell(compare_message(self._store, *ask))
        else:
            self.tell(parts.part_message(*ask))

    def _example(self) -> str | None:
        example: str | None = self._head()["head"].get("example")
        return example

    def _show_all(self, on: bool) -> None:
        self.feed.load(all_sessions=on)
        self._welcome()
