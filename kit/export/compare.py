"""What a job posted in the notebook against what the exported file posts; what may differ."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kit.export.images import image_difference
from kit.job import Wire

#: facts of the machine that an error names beside its own
_OF_THE_MACHINE = ("hostname", "worker_id", "runpod_version")
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+)(?P<rest>, in .*)?$')
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")
_MORE = re.compile(r"\[Previous line repeated \d+ more times?\]")
_GENERATOR_TRACE = " \ntraceback: "


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference: JSON path, and what stands there on both sides, cut short."""

    path: str
    notebook: str
    worker: str


@dataclass(frozen=True, slots=True)
class Posted:
    """What the SDK posted for one job: bodies as text, and what escaped its own handling."""

    stream: tuple[str, ...]
    done: tuple[str, ...]
    progress: tuple[str, ...]
    lost: str | None


def posted_of(posted: Sequence[tuple[str, str]], lost: str | None) -> Posted:
    """Sort what was posted; progress goes to the same address as the result."""
    done: list[str] = []
    progress: list[str] = []
    for kind, body in posted:
        if kind == "done":
            is_progress = body.startswith('{"status": "IN_PROGRESS"')
            (progress if is_progress else done).append(body)
    stream = tuple(body for kind, body in posted if kind == "stream")
    return Posted(stream, tuple(done), tuple(progress), lost)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What may differ and still be called equal.

    Attributes
    ----------
    relative, absolute : float
        Of numbers, as in ``math.isclose``. 0: they must be the same.
    image : float
        Mean difference of the pixels of two pictures of one size, 0 to 255. 0: the same bytes.
    """

    relative: float = 0.0
    absolute: float = 0.0
    image: float = 0.0


EXACT = Tolerance()


def compare(
    wire: Wire, posted: Posted, folder: str, tolerance: Tolerance = EXACT
) -> tuple[Difference | None, tuple[str, ...]]:
    """Compare a recorded wire with what the SDK posted.

    Parameters
    ----------
    wire : Wire
        Of the job in the notebook.
    posted : Posted
    folder : str
        Where the copy of the bundle was run: its files are the handler's own.
    tolerance : Tolerance

    Returns
    -------
    difference : Difference or None
        The first one; None if equal.
    normalised : tuple of str
        What was left out of the comparison or made alike, by name.
    """
    notes: dict[str, None] = {}
    if wire.lost is not None and wire.done is None:
        if not posted.done:
            notes["nothing is posted on either side; why is not compared"] = None
        else:
            return Difference("done", "nothing is posted", _short(posted.done[-1])), ()
    elif not posted.done:
        why = f"nothing is posted ({posted.lost or 'the SDK dropped it'})"
        return Difference("done", _short(_text(wire.done)), why), ()
    stream = [json.loads(body) for body in posted.stream]
    pairs: list[tuple[str, Any, Any]] = [("stream", list(wire.stream), stream)]
    if wire.done is not None:
        mine, theirs = wire.done, json.loads(posted.done[-1])
        pairs.append(("done", _plain(mine, folder, notes), _plain(theirs, folder, notes)))
    mine_progress = sorted(map(_text, wire.progress))
    their_progress = sorted(_text(json.loads(b)) for b in posted.progress)
    if len(mine_progress) > 1:
        notes["order of progress updates (the SDK sends each from a thread of its own)"] = None
    pairs.append(("progress", mine_progress, their_progress))
    for name, mine, theirs in pairs:
        found = next(differences(mine, theirs, name, tolerance), None)
        if found is not None:
            return found, tuple(notes)
    return None, tuple(notes)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _short(value: Any, limit: int = 200) -> str:
    text = value if isinstance(value, str) else _text(value)
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"


def differences(
    mine: Any, theirs: Any, path: str, tolerance: Tolerance = EXACT
) -> Iterator[Difference]:
    """Differences in order; iterative, a payload may be nested deeper than Python's stack."""
    todo = [(mine, theirs, path)]
    while todo:
        a, b, at = todo.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            keys = [*a, *(k for k in b if k not in a)]
            for key in keys:
                where = f"{at}.{key}" if key.isidentifier() else f"{at}[{json.dumps(key)}]"
                if key not in a or key not in b:
                    yield Difference(
                        where,
                        _short(_text(a[key])) if key in a else "not there",
                        _short(_text(b[key])) if key in b else "not there",
                    )
            todo += [
                (a[k], b[k], f"{at}.{k}" if k.isidentifier() else f"{at}[{json.dumps(k)}]")
                for k in reversed(keys)
                if k in a and k in b
            ]
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                yield Difference(at, f"{len(a)} items", f"{len(b)} items")
            todo += [
                (x, y, f"{at}[{i}]")
                for i, (x, y) in reversed(list(enumerate(zip(a, b, strict=False))))
            ]
        elif _alike(a, b, tolerance):
            continue
        elif type(a) is not type(b) or (a != b and _text(a) != _text(b)):  # NaN is not itself
            yield Difference(at, _short(_text(a)), _short(_text(b)))


def _alike(a: Any, b: Any, tolerance: Tolerance) -> bool:
    """Whether two leaves that may not be the same are near enough."""
    if isinstance(a, bool) or isinstance(b, bool):
        return False
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        near = tolerance.relative > 0 or tolerance.absolute > 0
        return near and math.isclose(
            a, b, rel_tol=tolerance.relative, abs_tol=tolerance.absolute
        )  # fmt: skip
    if tolerance.image > 0 and isinstance(a, str) and isinstance(b, str):
        return a == b or image_difference(a, b) <= tolerance.image
    return False


# -- errors -------------------------------------------------------------------------------------


def _plain(body: Any, folder: str, notes: dict[str, None]) -> Any:
    """A final body whose error, if it is one the SDK wrote, has only its own facts."""
    if not isinstance(body, dict) or not isinstance(body.get("error"), str):
        return body
    error: Any = body["error"]
    head, found, trace = error.partition(_GENERATOR_TRACE)
    if found:
        error = {"error_message": _addresses(head, notes), "error_traceback": trace}
    else:
        try:
            error = json.loads(error)
        except ValueError:
            return body
        if not isinstance(error, dict) or "error_traceback" not in error:
            return body
    error = dict(error)
    for key in _OF_THE_MACHINE:
        if error.pop(key, None) is not None:
            notes[f"error.{key}"] = None
    if isinstance(error.get("error_message"), str):
        error["error_message"] = _addresses(error["error_message"], notes)
    notes["error_traceback: from the handler's own first frame, without paths and line numbers"] = (
        None
    )
    error["error_traceback"] = _trace(str(error["error_traceback"]), folder, notes)
    return {**body, "error": error}


def _addresses(text: str, notes: dict[str, None]) -> str:
    plain = _ADDRESS.sub("0x...", text)
    if plain != text:
        notes["memory addresses"] = None
    return plain


def _trace(text: str, folder: str, notes: dict[str, None]) -> list[str]:
    """Lines of a traceback that are the handler's: no frame of the SDK's or the kit's, no paths."""
    result: list[str] = []
    skipping = False
    for line in text.splitlines():
        frame = _FRAME.match(line)
        if frame:
            file = frame["file"]
            skipping = "/runpod/serverless/" in file
            if not skipping:
                own = file.startswith((folder, "In [")) or file == "handler.py"
                name = "handler.py" if own else file.rsplit("/", 1)[-1]
                result.append(f"  File {name}{frame['rest'] or ''}")
            continue
        if line.startswith("    ") and set(line.strip()) <= set("~^"):
            continue  # 3.11 and later underline; a cell's lines are kept without
        if skipping and line.startswith("    "):
            continue
        skipping = False
        plain = _MORE.sub("[Previous line repeated ...]", line)
        result.append(_addresses(plain.rstrip(), notes))
    if not any(line.startswith("  File ") for line in result):  # all frames were the SDK's
        result = [line for line in result if not line.startswith("Traceback (most recent")]
    return result
