"""Stop a handler that never awaits, without ever hitting the loop that runs it.

``PyThreadState_SetAsyncExc`` raises an exception in another thread between two bytecodes. Raised a
moment too late it unwinds the thread's event loop and hangs every neighbour. So it is armed only
while the user's own code is on the stack, and whatever is pending is cleared under the same lock
before control returns to the loop.

It cannot interrupt a single C call: ``time.sleep``, ``Lock.acquire``, a kernel launch that waits
run to their own end first. Code that catches ``BaseException`` in a loop never stops.
"""

from __future__ import annotations

import ctypes
import inspect
import threading
import time
import types
from collections.abc import Callable, Generator
from typing import Any

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_async_exc.argtypes = (ctypes.c_ulong, ctypes.py_object)
_set_async_exc.restype = ctypes.c_int
#: NULL. None would be raised as an exception, which it is not: a SystemError
_NOTHING: Any = ctypes.py_object()
#: bound here: a handler may replace them
_clock = time.perf_counter


class Stop(BaseException):
    """Raised inside a handler to end it. A BaseException, so ``except Exception`` lets it pass."""


class Guard:
    """One per handler thread: knows whose code is running there right now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: str | None = None
        self._thread = 0
        self._fired = False

    @property
    def holder(self) -> str | None:
        """Key of the job whose code is on the stack right now; None if it is the loop's own."""
        return self._armed

    def call(self, key: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call user code of job ``key``; :class:`Stop` may come out of it, and nowhere else."""
        try:
            self._thread = threading.get_ident()
            self._armed = key
            return function(*args)
        finally:
            # A Stop may land in these very lines: try again until it is disarmed for certain.
            while True:
                try:
                    with self._lock:
                        self._armed = None
                        if self._fired:
                            self._fired = False
                            _set_async_exc(self._thread, _NOTHING)  # clears a pending one
                    break
                except Stop:
                    continue

    def stop(self, key: str) -> bool:
        """Raise :class:`Stop` in the handler thread if it is running code of this job.

        Returns
        -------
        bool
            False if that job's code is not on the stack there now; nothing was done then.
        """
        with self._lock:
            if self._armed != key:
                return False
            self._fired = True
            return bool(_set_async_exc(self._thread, Stop))

    def drive(self, key: str, awaitable: Any, step_took: Callable[[float], None]) -> Any:
        """Await a coroutine (or one step of an async generator) with every step guarded.

        An async handler in a tight loop never gives its ``task.cancel()`` a chance; step by step it
        can be stopped like a sync one. ``step_took`` hears of every step's seconds.
        """
        if not hasattr(awaitable, "send"):
            inner = awaitable.__await__()
            # in the words of ``await`` itself
            if inspect.iscoroutine(inner):
                raise TypeError("__await__() returned a coroutine")
            if not hasattr(inner, "__next__"):
                kind = type(inner).__name__
                raise TypeError(f"__await__() returned non-iterator of type '{kind}'")
            awaitable = inner
        return _drive(self, key, awaitable, step_took)


@types.coroutine
def _drive(
    guard: Guard, key: str, inner: Any, step_took: Callable[[float], None]
) -> Generator[Any, Any, Any]:
    step: Callable[..., Any] = inner.send if hasattr(inner, "send") else inner.__next__
    args: tuple[Any, ...] = (None,) if hasattr(inner, "send") else ()
    while True:
        began = _clock()
        try:
            waiting_for = guard.call(key, step, *args)
        except StopIteration as stop:
            return stop.value
        finally:
            step_took(_clock() - began)
        try:
            sent = yield waiting_for
        except GeneratorExit:
            inner.close()
            raise
        except BaseException as exc:
            if not hasattr(inner, "throw"):
                raise
            step, args = inner.throw, (exc,)
        else:
            step, args = (inner.send, (sent,)) if hasattr(inner, "send") else (inner.__next__, ())
