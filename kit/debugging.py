"""Run one job in the main thread, where ``breakpoint()``, ``%debug`` and ``input()`` work."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

from kit.handler import Handler, HandlerKind
from kit.queue import Entry
from kit.targets.local import run_entry
from kit.worker import Worker

_ABSENT: Any = object()


def run_here(worker: Worker, entry: Entry, stored: str) -> BaseException | None:
    """Run a job in the calling thread and return what its handler raised, if anything.

    The job is journaled and shaped like any other. What differs from production: it does not wait
    in the queue, other handlers' jobs do not run beside it on the same loop, what it prints appears
    under the cell as well, and it cannot be cancelled except by the stop button.

    Where a loop runs in this thread, as in a notebook, ``nest_asyncio2`` lets another run inside
    it: here, for as long as the job runs, and nowhere else, since it would hide the nested-loop
    error that production raises. The original nest_asyncio is archived and loses queued cells under
    ipykernel 7.
    """
    raised: list[BaseException] = []
    entry.handler = dataclasses.replace(entry.handler, function=_keeping(entry.handler, raised))
    entry.echo = True
    worker.admit(entry, stored)
    coroutine = run_entry(worker, entry, None)
    with _breakpoints():
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            outcome, extra = asyncio.run(coroutine)
        else:
            with _reentrant(running):
                outcome, extra = running.run_until_complete(coroutine)
    worker.finish(entry, outcome, extra)
    return raised[0] if raised else None


@contextlib.contextmanager
def _reentrant(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let a running loop run again inside itself, and take that back afterwards.

    nest_asyncio2 patches asyncio for all loops of the process and has no way back of its own.
    """
    import nest_asyncio2

    policy = type(asyncio.get_event_loop_policy())
    places: list[Any] = [
        asyncio,
        asyncio.events,
        asyncio.futures,
        asyncio.tasks,
        policy,
        type(loop),
    ]
    if (tornado := sys.modules.get("tornado.concurrent")) is not None:
        places.append(tornado)
    before = [(place, dict(vars(place))) for place in places]
    nest_asyncio2.apply(loop)
    patches = [
        (place, name, known.get(name, _ABSENT), value)
        for place, known in before
        for name, value in list(vars(place).items())
        if known.get(name, _ABSENT) is not value
    ]
    try:
        yield
    finally:
        for place, name, known, value in patches:
            if vars(place).get(name) is not value:
                continue  # somebody else's by now
            if known is _ABSENT:
                delattr(place, name)
            else:
                setattr(place, name, known)


@contextlib.contextmanager
def _breakpoints() -> Iterator[None]:
    """Let ``breakpoint()`` stop here: ipykernel gives it to debugpy, which without a front end's
    debugger attached does nothing.
    """
    debugpy: Any = sys.modules.get("debugpy")
    found = sys.breakpointhook
    if debugpy is None or not debugpy.is_client_connected():
        sys.breakpointhook = sys.__breakpointhook__
    try:
        yield
    finally:
        sys.breakpointhook = found


def _keeping(handler: Handler, raised: list[BaseException]) -> Callable[[Any], Any]:
    """The same handler, keeping the exception object so that ``%debug`` finds its frames."""
    function = handler.function

    if handler.kind is HandlerKind.GENERATOR:

        def generator(job: Any) -> Generator[Any, Any, Any]:
            try:
                return (yield from function(job))
            except GeneratorExit:
                raise
            except BaseException as exc:
                raised.append(exc)
                raise

        return generator

    if handler.kind is HandlerKind.ASYNC_GENERATOR:

        async def async_generator(job: Any) -> AsyncIterator[Any]:
            try:
                async for part in function(job):
                    yield part
            except GeneratorExit:
                raise
            except BaseException as exc:
                raised.append(exc)
                raise

        return async_generator

    if handler.kind is HandlerKind.ASYNC:

        async def coroutine(job: Any) -> Any:
            try:
                return await function(job)
            except BaseException as exc:
                raised.append(exc)
                raise

        return coroutine

    def plain(job: Any) -> Any:
        try:
            return function(job)
        except BaseException as exc:
            raised.append(exc)
            raise

    return plain
