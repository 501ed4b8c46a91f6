"""What can travel as JSON, checked here by path before it is lost there.

RunPod's worker posts ``json.dumps(body, ensure_ascii=False)``. What that refuses is never posted:
the job hangs until its time is over. :func:`encode` gives the same text for everything that is
valid JSON in valid UTF-8, and otherwise names the place of the first fault and the way out. What
gets through but changes on the way (a tuple, an int key) is a :class:`~kit.events.Finding`.

Nothing here recurses, so no value can overflow the stack. The functions of ``json`` are bound at
import: a handler may replace them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import chain
from typing import Any

from kit.errors import PayloadError
from kit.events import Finding
from kit.walk import MAX_DEPTH, SAFE_DEPTH, SAFE_INTEGER, Walk, refuse_explosion

#: documented limits of RunPod; MB is 1,000,000 bytes, as in the SDK's own check
RUN_LIMIT_BYTES = 10_000_000
RUNSYNC_LIMIT_BYTES = 20_000_000
CHUNK_LIMIT_BYTES = 1_000_000

_encoder = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False)


def _text_maker() -> Callable[[object], str]:
    """``_encoder.encode``, without looking anything up in ``json`` at the time of the call."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _encoder.encode
    # the very call that JSONEncoder.iterencode makes
    chunks = make(None, _encoder.default, _quote, None, ": ", ", ", False, False, False)
    return lambda value: "".join(chunks(value, 0))


_quote = json.encoder.encode_basestring
_to_text = _text_maker()
_Decoder = json.JSONDecoder
_SyntaxError = json.JSONDecodeError
_Thread = threading.Thread

_LEAVES = frozenset({str, int, float, bool, type(None)})
_PLAIN = _LEAVES | {list, dict}
_TEXT_ONLY = frozenset({str})


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value as JSON text.

    Attributes
    ----------
    text : str
        What ``json.dumps(value, ensure_ascii=False)`` gives.
    size_bytes : int
        Length of the text in UTF-8.
    findings : tuple of Finding
        K101 to K105, each code at most once, with the first place and how many there are.
    """

    text: str
    size_bytes: int
    findings: tuple[Finding, ...] = ()


def encode(value: object, root: str = "$") -> Encoded:
    """JSON text of a value, exactly as RunPod's worker would post it.

    Parameters
    ----------
    value : object
        Anything; accepted is what ``json.dumps`` turns into valid JSON (also subclasses of str,
        int, float, list and dict, and tuples).
    root : str
        Path of the value itself, the start of every path in messages, e.g. ``$.output``.

    Returns
    -------
    Encoded

    Raises
    ------
    PayloadError
        With ``path`` of the first fault and ``code``: ``type`` (JSON has no word for it), ``nan``
        (NaN or Infinity), ``cycle``, ``depth`` (over 900 levels), ``surrogate`` (half of a
        character, not valid UTF-8), ``bigint`` (more digits than Python writes) or ``size`` (over
        1 GB of text).
    """
    if is_plain(value, root):
        try:
            return _encoded(_to_text(value))
        except (ValueError, TypeError, RecursionError):
            # NaN, half a character, or another thread is changing the value: look closer
            pass
    walk = Walk(root)
    walk.run(value)
    if not walk.unusual:
        try:
            return _encoded(_to_text(value), walk.findings())
        except (ValueError, TypeError, RecursionError):
            pass
    # too deep for the C encoder on this stack, or code of the value's own was asked: what is checked
    # must be what is written, so it is written by the walk
    pieces: list[str] = []
    walk = Walk(root, pieces)
    walk.run(value)
    return _encoded("".join(pieces), walk.findings())


def _encoded(text: str, findings: tuple[Finding, ...] = ()) -> Encoded:
    return Encoded(text, len(text) if text.isascii() else len(text.encode()), findings)


def decode(text: str) -> Any:
    """The value of JSON text.

    Raises
    ------
    PayloadError
        Code ``syntax`` with line and column, ``nan`` with the path of a NaN or Infinity (also of
        a number too large for a float, such as ``1e999``, where there is a NaN besides), ``bigint``
        or ``depth``.
    """
    nan = False

    def constant(name: str) -> float:
        nonlocal nan
        nan = True
        return float(name)

    value = parse(text, parse_constant=constant)
    if nan:
        Walk("$").run(value)
    return value


def parse(text: str, **hooks: Any) -> Any:
    """``json.loads(text, **hooks)`` whose failures are PayloadErrors, whatever the caller's depth."""
    try:
        try:
            return _Decoder(**hooks).decode(text)
        except RecursionError:
            return _parse_on_empty_stack(text, hooks)
    except _SyntaxError as error:
        raise PayloadError(
            f"This is not JSON: {error.msg} at line {error.lineno}, column {error.colno}. "
            "Strings and keys take double quotes; write true, false and null.",
            code="syntax",
        ) from None
    except RecursionError:
        raise PayloadError(
            f"The JSON text is nested deeper than {MAX_DEPTH} levels: flatten it.", code="depth"
        ) from None
    except ValueError:
        raise PayloadError(
            "The JSON text has an integer with more digits than Python reads: send it as a string.",
            code="bigint",
        ) from None


def _parse_on_empty_stack(text: str, hooks: dict[str, Any]) -> Any:
    # up to Python 3.11 the C parser shares the recursion limit with the caller's own frames
    ends: list[Any] = []

    def run() -> None:
        try:
            ends.append(_Decoder(**hooks).decode(text))
        except Exception as error:
            ends.append(error)

    thread = _Thread(target=run, name="kit-json", daemon=True)
    thread.start()
    thread.join()
    if isinstance(ends[0], Exception):
        raise ends[0]
    return ends[0]


def size_findings(size_bytes: int, what: str) -> tuple[Finding, ...]:
    """Which of RunPod's documented limits a payload breaks; at most one finding.

    Parameters
    ----------
    size_bytes : int
        Size of the JSON text in UTF-8.
    what : str
        ``"chunk"`` for one item of a stream, else the word for the sentence: ``"input"``,
        ``"output"``.
    """
    size = f"{size_bytes / 1e6:.1f} MB"
    if what == "chunk":
        if size_bytes <= CHUNK_LIMIT_BYTES:
            return ()
        return (
            Finding(
                "K109",
                f"One chunk of the stream is {size}; RunPod's limit is 1 MB per /stream chunk.",
                remedy="Yield smaller pieces, or upload the data and yield its URL.",
            ),
        )
    remedy = "Upload the data to a bucket and send its URL, or compress it."
    if size_bytes > RUNSYNC_LIMIT_BYTES:
        sentence = f"The {what} is {size}; RunPod takes 20 MB by /runsync and 10 MB by /run."
        return (Finding("K108", sentence, remedy=remedy),)
    if size_bytes > RUN_LIMIT_BYTES:
        sentence = f"The {what} is {size}; RunPod takes 10 MB by /run (20 MB by /runsync)."
        return (Finding("K107", sentence, remedy=remedy),)
    return ()


def finding_of(error: PayloadError) -> Finding:
    """The refusal of an output as a finding: K106 for NaN and Infinity, else K110."""
    # every message is "what: what to do."; a key in the path may hold a colon, a remedy does not
    sentence, _, remedy = str(error).rpartition(": ")
    code = "K106" if error.code == "nan" else "K110"
    return Finding(code, f"{sentence}.", error.path, remedy[:1].upper() + remedy[1:])


# -- the quick look: nearly every payload ends here ------------------------------------------------


def is_plain(value: object, root: str = "$") -> bool:
    """Whether a value is made of nothing but exact JSON types and holds nothing worth a finding.

    No code of anybody's runs when such a value is written as text, and none of that can fail.
    Judges a whole level of nesting at once by the set of its items' types, which costs a tenth of
    encoding it. NaN and half characters are left to the encoder. False is no verdict.
    """
    kind = type(value)
    if kind in _LEAVES:
        return kind is not int or -SAFE_INTEGER <= value <= SAFE_INTEGER  # type: ignore[operator]
    if kind is not dict and kind is not list:
        return False
    level: list[Any] = [value]
    shared = False
    try:
        for _ in range(SAFE_DEPTH):
            items = _items(level)
            if items is None:
                return False
            types = set(map(type, items))
            if not types <= _PLAIN:
                return False
            if int in types:
                ints = items if len(types) == 1 else [i for i in items if type(i) is int]
                if max(ints) > SAFE_INTEGER or min(ints) < -SAFE_INTEGER:
                    return False
            if list not in types and dict not in types:
                if shared:
                    refuse_explosion(value, root)
                return True
            level = [i for i in items if type(i) is list or type(i) is dict]
            if len(level) > 64:
                # each object once, or lists that hold each other make every level twice the last
                once = {id(node): node for node in level}
                if len(once) < len(level):
                    level, shared = list(once.values()), True
    except RuntimeError:
        # "changed size during iteration": another thread is at work on it
        pass
    return False


def _items(level: list[Any]) -> Collection[Any] | None:
    """The items of all lists and dicts of a level; None if a key is not exactly a str."""
    if len(level) == 1:
        node = level[0]
        if type(node) is list:
            return node
        return node.values() if not node or set(map(type, node)) == _TEXT_ONLY else None
    dicts = [node for node in level if type(node) is dict]
    if not set(map(type, chain.from_iterable(dicts))) <= _TEXT_ONLY:
        return None
    lists = [node for node in level if type(node) is list]
    return [*chain.from_iterable(lists), *chain.from_iterable(map(dict.values, dicts))]
