"""The input editor and the export view of one card: what they ask for, and what they are told.

From the page: ``editor`` (an input to begin with), ``piece`` (a part of a long input), and the
clicks ``run``, ``retry``, ``draft`` and ``export``. To the page: ``editor``, ``draft``, ``exported``.
Everything is a message and nothing a trait: an input is never saved into the notebook.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from kit.controls import Controls
from kit.draft import ExportDraft, ExportOutcome
from kit.errors import KitError, UsageError
from kit.events import JobKey
from kit.fields import Field
from kit.payload import CHUNK_LIMIT_BYTES, RUN_LIMIT_BYTES, RUNSYNC_LIMIT_BYTES
from kit.reads import Prefill
from kit.secret import redact
from kit.views.feed import Message
from kit.views.folding import Folded, fold, names_left, unfold

#: editors whose kept strings are remembered
_EDITORS = 8
#: inputs under way in pieces, and bytes of all of them
_UNDER_WAY, _PIECES_BYTES = 4, 128_000_000
#: characters of handler.py and of the diff, statements, sentences that the page gets
_CODE_CHARS, _DIFF_CHARS, _CHOICES, _SENTENCES = 90_000, 60_000, 400, 60
_OUT_OF_DATE = (
    "Parts of this input are no longer here (the kernel has restarted, or it was long ago): "
    "open the editor again."
)


class Desk:
    """Serves the editor and the export view of a card.

    Parameters
    ----------
    controls : Controls
    handler : str or None
        None for a view of all handlers, which has neither.
    tell : callable
        Sends a message to the pages; thread-safe.
    """

    def __init__(
        self, controls: Controls, handler: str | None, tell: Callable[[Message], None]
    ) -> None:
        self._controls, self._handler, self._tell = controls, handler, tell
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._editors: OrderedDict[int, Folded] = OrderedDict()
        self._pieces: OrderedDict[str, list[bytes]] = OrderedDict()
        #: the last export's outcome, for a page that is opened anew
        self._last: Message | None = None
        self._exporting = False

    def welcome(self) -> Message | None:
        """What a page that has just opened must know: the last export, or that one is under way."""
        return Message({"t": "exporting"}) if self._exporting else self._last

    def _name(self, what: str) -> str:
        if self._handler is None:
            raise UsageError(f"This view shows all handlers: {what} from the card of a handler.")
        return self._handler

    # -- the editor -----------------------------------------------------------------------------

    def open_editor(self, find: Callable[[], JobKey | None], page: object) -> None:
        """Tell a page what its editor begins with. Takes as long as the input is large.

        ``find()`` gives the job whose input it is, None for the last one; it may refuse.
        """
        content: dict[str, Any] = {"t": "editor", "p": page if isinstance(page, str) else ""}
        try:
            begin = self._controls.prefill(self._name("edit an input"), find())
        except KitError as error:
            self._tell(Message({**content, "s": str(error)}))
            return
        folded = fold(begin.text, self._numbers)
        with self._lock:
            number = next(self._numbers)
            self._editors[number] = folded
            while len(self._editors) > _EDITORS:
                self._editors.popitem(last=False)
        self._tell(Message({**content, "e": number, **_editor(begin, folded)}))

    def take(self, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        """One piece of a long input. What is too much is dropped, and Run then says so."""
        click = content.get("c")
        if not isinstance(click, str) or len(click) > 100:
            return
        piece = b"".join(bytes(b) for b in buffers)
        with self._lock:
            held = sum(len(p) for pieces in self._pieces.values() for p in pieces)
            if held + len(piece) > _PIECES_BYTES:
                self._pieces.pop(click, None)
                return
            self._pieces.setdefault(click, []).append(piece)
            while len(self._pieces) > _UNDER_WAY:
                self._pieces.popitem(last=False)

    def input_of(self, content: dict[str, Any]) -> str | None:
        """The input that a click on Run brings; None if it brings none, for the last one again.

        Raises
        ------
        UsageError
            Parts of it are missing.
        """
        text = content.get("text")
        if "n" in content:
            with self._lock:
                pieces = self._pieces.pop(str(content.get("c")), [])
            if len(pieces) != content["n"]:
                raise UsageError("This input did not come whole: press Run again.")
            text = b"".join(pieces).decode("utf-8", "replace")
        with self._lock:
            number = content.get("e")
            folded = self._editors.get(number) if isinstance(number, int) else None
        if content.get("whole") is True:
            if folded is None or folded.whole is None:
                raise UsageError(_OUT_OF_DATE)
            return folded.whole
        if not isinstance(text, str):
            return None
        kept = {} if folded is None else folded.kept
        if names_left(text, kept):
            raise UsageError(_OUT_OF_DATE)
        return unfold(text, kept)

    # -- the export view ------------------------------------------------------------------------

    def draft(self, content: dict[str, Any]) -> None:
        """Plan an export; the plan comes as a message."""
        page = content.get("p")

        def done(draft: ExportDraft) -> None:
            self._tell(Message({"t": "draft", "p": page, **_draft(draft)}))

        self._controls.draft(self._name("export"), _path(content), done)

    def export(self, content: dict[str, Any]) -> None:
        """Write and prove; the outcome comes as a message.

        Raises
        ------
        UsageError
            One is under way.
        """
        name = self._name("export")
        with self._lock:
            if self._exporting:
                raise UsageError("An export of this handler is under way.")
            self._exporting = True

        def done(outcome: ExportOutcome) -> None:
            self._last = Message({"t": "exported", **_outcome(outcome)})
            self._exporting = False
            self._tell(self._last)

        try:
            self._controls.export(name, done, _path(content), content.get("over") is True)
        except BaseException:
            self._exporting = False
            raise


def _path(content: dict[str, Any]) -> str:
    path = content.get("path", "worker")
    if not isinstance(path, str) or not path.strip() or len(path) > 4_000:
        raise UsageError("Give the folder to write, for example worker.")
    return path.strip()


def _editor(begin: Prefill, folded: Folded) -> dict[str, Any]:
    reads = begin.reads
    return {
        "text": folded.text,
        "whole": None if folded.whole is None else len(folded.whole.encode("utf-8", "replace")),
        "kept": {name: len(text) for name, text in folded.kept.items()},
        "source": begin.source,
        "withheld": begin.withheld,
        "by": reads.by[:100],
        "closed": reads.closed,
        "fields": [_field(f) for f in reads.fields],
        "limits": [RUN_LIMIT_BYTES, RUNSYNC_LIMIT_BYTES, CHUNK_LIMIT_BYTES],
    }


def _field(one: Field) -> dict[str, Any]:
    return {
        "name": one.name[:200],
        "required": one.required,
        "kind": one.kind,
        "accepts": list(one.accepts),
        "default": None if one.default is None else redact(one.default[:300]),
        "about": redact(one.about),
    }


def _draft(draft: ExportDraft) -> dict[str, Any]:
    return {
        "handler": draft.handler,
        "path": draft.path,
        "files": [[f.name, f.size_bytes, f.state] for f in draft.files[:200]],
        "code": redact(draft.code[:_CODE_CHARS]),
        "code_left": max(0, len(draft.code) - _CODE_CHARS),
        "choices": [
            [c.kept, c.question, c.place, redact(c.code), redact(c.reason)]
            for c in draft.choices[:_CHOICES]
        ],
        "choices_left": max(0, len(draft.choices) - _CHOICES),
        "unlisted": [redact(phrase) for phrase in draft.unlisted[:_SENTENCES]],
        "notes": [redact(note) for note in draft.notes[:_SENTENCES]],
        "diff": None if draft.diff is None else redact(draft.diff[:_DIFF_CHARS]),
        "diff_left": max(0, len(draft.diff or "") - _DIFF_CHARS),
        "refused": None if draft.refused is None else redact(draft.refused[:4_000]),
        "edited": draft.edited,
        "jobs": draft.jobs,
    }


def _outcome(outcome: ExportOutcome) -> dict[str, Any]:
    return {
        "ok": outcome.ok,
        "s": redact(outcome.sentence[:4_000]),
        "verdict": outcome.verdict,
        "seconds": outcome.seconds,
        "rows": [
            [redact(part) for part in (c.job_id, c.result, c.path, c.notebook, c.worker, c.reason)]
            for c in outcome.compared[:100]
        ],
        "notes": [redact(note) for note in outcome.notes[:_SENTENCES]],
    }
