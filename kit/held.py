"""What keeps memory from being given back: exceptions with their frames, and large values by name.

A traceback keeps every frame it went through, and each frame its variables: the batch on the GPU
lives as long as somebody holds the exception. Nothing here keeps anything itself.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

#: packages whose values are asked for their size; asking others may run anybody's code
_ARRAYS = ("numpy", "torch", "cupy", "jaxlib")
#: exceptions, frames, and elements of one container that are looked at
_MOST, _FRAMES, _ELEMENTS = 200, 100, 1000

Named = tuple[str, BaseException]


@dataclass(frozen=True, slots=True)
class Held:
    """One variable of a frame that an exception keeps alive.

    Attributes
    ----------
    holder : str
        Who has the exception: ``errors[0]`` or ``sys.last_exc``.
    error : str
        Its type, ``ValueError``.
    function, variable : str
        Of the frame, and of the value in it.
    size_bytes : int
    """

    holder: str
    error: str
    function: str
    variable: str
    size_bytes: int


def last_errors() -> list[Named]:
    """The exceptions that Python keeps for ``%debug`` and ``pdb.pm``."""
    for name in ("last_exc", "last_value"):  # the second is the same one before 3.12
        error = getattr(sys, name, None)
        if isinstance(error, BaseException):
            return [(f"sys.{name}", error)]
    return []


def errors_in(namespace: Mapping[str, Any]) -> list[Named]:
    """Exceptions that a person's own variables hold, by themselves or in a list, tuple or dict."""
    found: list[Named] = []
    for name, value in list(namespace.items()):
        # _, __ and _12 are IPython's names of results
        if name.startswith("_") and not name.strip("_0123456789"):
            continue
        for label, one in _one_or_many(name, value):
            if isinstance(one, BaseException) and len(found) < _MOST:
                found.append((label, one))
    return found


def held_by(errors: Iterable[Named], known: Mapping[str, Any], least_bytes: int) -> list[Held]:
    """Values that only live in the frames of exceptions, the largest first.

    Parameters
    ----------
    errors : iterable of (str, BaseException)
        With the name of whoever holds each.
    known : mapping
        The person's variables: what they hold themselves is not the exception's fault.
    least_bytes : int
        Smaller ones are left out.
    """
    seen = {id(value) for value in list(known.values())}
    found: list[Held] = []
    for holder, error in errors:
        for frame in _frames(error):
            if frame.f_locals is frame.f_globals:
                continue
            for name, value in list(frame.f_locals.items()):
                if id(value) in seen:
                    continue
                seen.add(id(value))
                size = weight(value)
                if size >= least_bytes:
                    function = frame.f_code.co_name
                    found.append(Held(holder, type(error).__name__, function, name, size))
    return sorted(found, key=lambda one: -one.size_bytes)


def large_values(namespace: Mapping[str, Any], least_bytes: int) -> list[tuple[str, int]]:
    """A person's own variables of at least so many bytes, the largest first."""
    found: dict[int, tuple[str, int]] = {}
    for name, value in list(namespace.items()):
        if name.startswith("_") and name != "_oh":
            continue
        for label, one in [(name, value)] if name != "_oh" else _one_or_many("Out", value):
            size = weight(one)
            if size >= least_bytes and label != "Out":
                found.setdefault(id(one), (label, size))
    return sorted(found.values(), key=lambda one: -one[1])


def weight(value: Any, deep: bool = True) -> int:
    """Bytes of the data of a value that is known to be large: arrays, tensors, modules, bytes, text.

    A container counts what it holds directly. 0 for anything else.
    """
    if isinstance(value, (bytes, bytearray, str)):
        return sys.getsizeof(value)
    if isinstance(value, memoryview):
        return value.nbytes
    if deep and isinstance(value, (list, tuple, set, frozenset, dict)):
        inner = value.values() if isinstance(value, dict) else value
        try:
            return sum(weight(one, deep=False) for one, _ in zip(inner, range(_ELEMENTS)))
        except RuntimeError:  # another thread changes it
            return 0
    try:
        if type(value).__module__.partition(".")[0] in _ARRAYS:
            return int(getattr(value, "nbytes", 0) or 0)
        torch: Any = sys.modules.get("torch")
        module = getattr(getattr(torch, "nn", None), "Module", None)
        if deep and module is not None and isinstance(value, module):
            tensors = [*value.parameters(), *value.buffers()]
            return sum({id(one): one.nbytes for one in tensors}.values())
    except Exception:  # a size that cannot be told is none
        return 0
    return 0


def _one_or_many(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        for index, one in enumerate(list(value[:_ELEMENTS])):
            yield f"{name}[{index}]", one
    elif type(value) is dict:
        for key, one in list(value.items())[:_ELEMENTS]:
            yield f"{name}[{key!r:.40}]", one
    yield name, value


def _frames(error: BaseException) -> Iterator[FrameType]:
    """Frames of an exception and of those it came from; at most a hundred."""
    pending, seen, left = [error], set(), _FRAMES
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        step = one.__traceback__
        while step is not None and left:
            yield step.tb_frame
            step, left = step.tb_next, left - 1
        pending += [x for x in (one.__cause__, one.__context__) if x is not None]


#: what a worker asks when memory stays in use: who holds it
Holders = Callable[[int], "list[Held]"]


class Errors:
    """The exceptions that Python and IPython keep for ``%debug``.

    Attributes
    ----------
    ip : InteractiveShell or None
        None outside of IPython.
    """

    def __init__(self) -> None:
        self.ip: Any = None

    @property
    def names(self) -> Mapping[str, Any]:
        """The person's variables."""
        return {} if self.ip is None else self.ip.user_ns

    def all(self) -> list[Named]:
        """Python's and IPython's, and those in the person's own variables."""
        found = [*last_errors(), *errors_in(self.names)]
        result = getattr(self.ip, "last_execution_result", None)
        for part in ("error_in_exec", "error_before_exec"):
            error = getattr(result, part, None)
            if isinstance(error, BaseException) and all(error is not one for _, one in found):
                found.append(("sys.last_exc", error))  # dropped with it
        return found

    def held(self, least_bytes: int) -> list[Held]:
        """What only these exceptions keep alive, the largest first."""
        return held_by(self.all(), self.names, least_bytes)

    def drop(self) -> bool:
        """Forget Python's and IPython's last exception; False if there was none."""
        had = bool(last_errors())
        for name in ("last_exc", "last_value", "last_type", "last_traceback"):
            sys.__dict__.pop(name, None)
        ip = self.ip
        if ip is None:
            return had
        result = getattr(ip, "last_execution_result", None)
        for part in ("error_in_exec", "error_before_exec"):
            if getattr(result, part, None) is not None:
                ip.last_execution_result, had = None, True
        shown: Any = getattr(ip, "InteractiveTB", None)
        if getattr(shown, "tb", None) is not None:
            shown.tb = None
        with contextlib.suppress(Exception):  # a debugger of another make
            shown.pdb.forget()
        return had
