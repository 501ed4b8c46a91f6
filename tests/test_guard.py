"""A stop reaches the handler's own code and nothing else, whenever it comes."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kit.guard import Guard, Stop
from tests.making import until

RACES = 2_500


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


class Loop:
    """An event loop in a thread, as handlers have it; counts what hits the loop itself."""

    def __init__(self) -> None:
        self.guard = Guard()
        self.hits: list[BaseException] = []
        self.loop = asyncio.new_event_loop()
        self._done = False
        self.thread = threading.Thread(target=self._main, daemon=True)
        self.thread.start()

    def _main(self) -> None:
        while not self._done:
            try:
                self.loop.run_forever()
            except BaseException as exc:
                self.hits.append(exc)
        self.loop.close()

    def close(self) -> None:
        self._done = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)
        assert not self.thread.is_alive()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)


@pytest.fixture
def loop() -> Any:
    made = Loop()
    yield made
    made.close()


def race(loop: Loop, job: Callable[[str, float], Any], races: int, seed: int) -> dict[str, int]:
    """Stop each of many short jobs at a random moment around its end; how they ended."""
    chance = random.Random(seed)
    print("seed", seed)
    counts = {"ok": 0, "stopped": 0}
    begun = threading.Event()
    length_s = 0.0002

    async def guarded(key: str, seconds: float) -> str:
        begun.set()
        try:
            result = await job(key, seconds)
        except Stop:
            return "stopped"
        assert result == key
        return "ok"

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # or one thread spins its whole time while the other stands
    try:
        for number in range(races):
            key = f"job-{number}"
            ended = loop.run(guarded(key, chance.uniform(0, 2 * length_s)))
            begun.wait(30)
            begun.clear()
            spin(chance.uniform(0, 0.0003))
            loop.guard.stop(key)
            end = ended.result(30)
            counts[end] += 1
            # keep the two close to each other, however fast the machine is just now
            length_s = min(0.02, length_s * 1.05) if end == "ok" else max(1e-5, length_s / 1.05)
    finally:
        sys.setswitchinterval(interval)
    return counts


def test_thousands_of_stops_hit_only_handlers(loop: Loop) -> None:
    async def job(key: str, seconds: float) -> str:
        def handler(job: Any) -> str:
            spin(seconds)
            return key

        return loop.guard.call(key, handler, None)

    counts = race(loop, job, RACES, random.randrange(2**32))
    assert sum(counts.values()) == RACES  # 0 lost
    assert not loop.hits
    # the race is one only if both ends happen
    assert min(counts.values()) > RACES // 20, counts


def test_thousands_of_stops_hit_only_the_steps_of_coroutines(loop: Loop) -> None:
    async def job(key: str, seconds: float) -> Any:
        async def handler() -> str:
            for _ in range(4):
                spin(seconds / 4)
                await asyncio.sleep(0)
            return key

        return await loop.guard.drive(key, handler(), lambda seconds: None)

    counts = race(loop, job, RACES, random.randrange(2**32))
    assert sum(counts.values()) == RACES
    assert not loop.hits
    assert min(counts.values()) > RACES // 20, counts


def test_a_neighbour_is_never_hit(loop: Loop) -> None:
    """Jobs take turns on one loop, and only one of them is to be stopped."""
    ended: dict[str, str] = {}
    stopped = threading.Event()

    async def one(key: str) -> None:
        async def handler() -> None:
            while not stopped.is_set():
                spin(0.0001)
                await asyncio.sleep(0)

        try:
            await loop.guard.drive(key, handler(), lambda seconds: None)
            ended[key] = "ok"
        except Stop:
            ended[key] = "stopped"

    async def all_three() -> None:
        await asyncio.gather(one("a"), one("b"), one("c"))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # or this thread wakes only while that one waits in select()
    try:
        running = loop.run(all_three())
        until(lambda: loop.guard.stop("b"), "b on the stack")
        until(lambda: "b" in ended, "b has ended")
    finally:
        sys.setswitchinterval(interval)
        stopped.set()
    running.result(30)
    assert ended == {"a": "ok", "b": "stopped", "c": "ok"}
    assert not loop.hits


def test_nothing_is_stopped_that_does_not_run(loop: Loop) -> None:
    assert loop.guard.stop("job") is False

    async def job() -> Any:
        return loop.guard.call("job", lambda: 1)

    assert loop.run(job()).result(30) == 1
    assert loop.guard.stop("job") is False
    assert loop.run(job()).result(30) == 1


def test_a_stop_at_the_very_end_waits_for_its_turn_and_does_nothing(loop: Loop) -> None:
    """The handler has returned, and a stop that found it running is on its way."""
    # the stopper takes the lock first, here so that both are at the worst place for certain
    loop.guard._lock = threading.RLock()  # type: ignore[assignment]
    entered, end = threading.Event(), threading.Event()

    def handler() -> int:
        entered.set()
        end.wait(30)
        return 7

    async def job() -> Any:
        return loop.guard.call("job", handler)

    def returned() -> bool:
        frame = sys._current_frames()[loop.thread.ident or 0]
        return frame.f_code is Guard.call.__code__

    running = loop.run(job())
    assert entered.wait(30)
    with loop.guard._lock:
        end.set()
        until(returned, "the handler's thread waits for the lock")
        assert loop.guard.stop("job")
    assert running.result(30) == 7
    assert not loop.hits

    async def next_one() -> Any:
        return loop.guard.call("next", lambda: spin(0.01) or "fine")

    assert loop.run(next_one()).result(30) == "fine"
    assert not loop.hits


def test_finally_is_honoured_and_except_exception_does_not_catch_it(loop: Loop) -> None:
    seen: list[str] = []
    entered = threading.Event()

    def handler() -> None:
        try:
            entered.set()
            while True:
                try:
                    spin(0.001)
                except Exception:
                    seen.append("caught")
        finally:
            seen.append("finally")

    async def job() -> None:
        loop.guard.call("job", handler)

    running = loop.run(job())
    assert entered.wait(30)
    assert loop.guard.stop("job")
    with pytest.raises(Stop):
        running.result(30)
    assert seen == ["finally"]
    assert not loop.hits


def test_a_handler_that_swallows_a_stop_ends_as_it_likes(loop: Loop) -> None:
    entered = threading.Event()

    def handler() -> str:
        entered.set()
        try:
            while True:
                spin(0.001)
        except BaseException:
            return "survived"

    async def job() -> Any:
        return loop.guard.call("job", handler)

    running = loop.run(job())
    assert entered.wait(30)
    assert loop.guard.stop("job")
    assert running.result(30) == "survived"
    assert loop.run(job()), "the next job starts"
    until(lambda: loop.guard.stop("job"))


# -- driving ---------------------------------------------------------------------------------------


def drive(awaitable: Any, steps: list[float] | None = None) -> Any:
    async def run() -> Any:
        return await Guard().drive("job", awaitable, (steps if steps is not None else []).append)

    return asyncio.run(run())


def test_a_driven_coroutine_behaves_like_an_awaited_one() -> None:
    async def handler() -> Any:
        first = await asyncio.sleep(0.001, "a")
        second = await asyncio.gather(asyncio.sleep(0, "b"), asyncio.sleep(0.001, "c"))
        async with asyncio.Lock():
            third = await asyncio.wait_for(asyncio.sleep(0, "d"), 5)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.sleep(5), 0.001)
        return [first, *second, third]

    steps: list[float] = []
    assert drive(handler(), steps) == ["a", "b", "c", "d"]
    assert len(steps) >= 4


def test_any_awaitable_can_be_driven() -> None:
    class Bare:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return "bare"

    class Iterator:
        """Its iterator has neither send nor throw."""

        def __init__(self) -> None:
            self.left = 2

        def __await__(self) -> Any:
            return self

        def __next__(self) -> None:
            self.left -= 1
            if not self.left:
                raise StopIteration("plain")

    assert drive(Bare()) == "bare"
    assert drive(Iterator()) == "plain"


def test_what_a_driven_coroutine_raises_comes_out() -> None:
    async def handler() -> None:
        await asyncio.sleep(0)
        raise KeyError("prompt")

    with pytest.raises(KeyError, match="prompt"):
        drive(handler())


@pytest.mark.parametrize("swallows", [False, True])
def test_a_cancel_arrives_inside(swallows: bool) -> None:
    seen: list[str] = []

    async def handler() -> str:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("cancelled")
            if not swallows:
                raise
        await asyncio.sleep(0)
        return "went on"

    async def run() -> str:
        task = asyncio.ensure_future(Guard().drive("job", handler(), lambda seconds: None))
        while not task.done() and not seen:
            await asyncio.sleep(0)
            task.cancel()
        try:
            return str(await task)
        except asyncio.CancelledError:
            return "ended"

    # until the first step has run there is nothing inside to be cancelled
    async def first_step() -> str:
        task = asyncio.ensure_future(Guard().drive("job", handler(), lambda seconds: None))
        await asyncio.sleep(0.01)
        task.cancel()
        try:
            return str(await task)
        except asyncio.CancelledError:
            return "ended"

    assert asyncio.run(first_step()) == ("went on" if swallows else "ended")
    assert seen == ["cancelled"]


def test_a_dropped_drive_closes_what_it_drove() -> None:
    seen: list[str] = []

    async def handler() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            seen.append("closed")

    async def run() -> None:
        inner = handler()
        driving = Guard().drive("job", inner, lambda seconds: None)

        async def outer() -> None:
            await driving

        coroutine = outer()
        coroutine.send(None)
        coroutine.close()

    asyncio.run(run())
    assert seen == ["closed"]
