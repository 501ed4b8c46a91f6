"""One notebook's part of a pod's kernel: its worker, its jobs, and what becomes of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit import codec
from kit.capture import JOB
from kit.events import (
    Chunk,
    Ended,
    ErrorInfo,
    Event,
    EventKind,
    JobKey,
    JobView,
    Log,
    Progress,
    Sample,
)
from kit.outcome import Outcome
from kit.queue import Entry
from kit.sampler import Sampler
from kit.targets.local import LocalTarget, report_progress
from kit.targets.pod.depot import Depot, Install
from kit.targets.pod.letters import Letter
from kit.targets.pod.mailbox import Mailbox, Send
from kit.targets.pod.plays import Plays, standing
from kit.targets.pod.stage import Stage
from kit.worker import Worker

#: ends that are kept although the notebook has them, for one whose kernel dies before it wrote them
_ENDS, _END_CHARS = 1_000, 16_000_000
_COUNTED = (Chunk, Progress, Log)
_PENDING = standing("pending")
_utc = time.time

#: an attempt of a job
Run = tuple[str, int]


class _PodWorker(Worker):
    """The same worker; its streams also wait for a notebook that does not fetch."""

    tenant: Tenant

    def chunk(self, entry: Entry, text: str) -> Any:
        waiting = super().chunk(entry, text)
        return self._fetched() if self.tenant.mailbox.full else waiting

    async def _fetched(self) -> None:
        while self.tenant.mailbox.full:
            await asyncio.sleep(0.05)


class Tenant:
    """What the pod holds for one notebook.

    Parameters
    ----------
    folder : Path
        The server's; files from the notebook stay within it.
    stage : Stage
        Where its statements run; it may have been another kernel's of the same notebook.
    loop : asyncio.AbstractEventLoop
        Of the kernel's main thread.
    send : callable
        Sends a content and buffers to the notebook; thread-safe.
    """

    def __init__(
        self, folder: Path, stage: Stage, loop: asyncio.AbstractEventLoop, send: Send
    ) -> None:
        self._seen: set[Run] = set()
        #: attempts without an end
        self._open: set[Run] = set()
        #: how many chunks, progress values and log texts of an attempt have been told
        self._told: dict[tuple[str, int, EventKind], int] = {}
        self._ends: deque[Letter] = deque()
        self._end_chars = 0
        self._installs: dict[str, Install] = {}
        self.mailbox = Mailbox(send, self._read)
        self.depot = Depot(folder, self.mailbox.tell)
        self.sampler = Sampler(self._samples)
        self.worker = _PodWorker(self, self.sampler)
        self.worker.tenant = self
        self.worker.attach(LocalTarget(self.worker))
        self.plays = Plays(stage, self.worker, loop, self.mailbox.tell, self._refuse)
        self.sampler.start()

    # -- out ------------------------------------------------------------------------------------

    def append(self, events: Sequence[Event]) -> list[Event]:
        """What the worker journals goes to the notebook."""
        letters = []
        for e in events:
            if e.kind is EventKind.QUEUED:
                self._open.add((e.job_key, e.attempt))
                continue  # the notebook has that itself
            number = 0
            if isinstance(e.data, _COUNTED):
                at = (e.job_key, e.attempt, e.kind)
                number = self._told.get(at, 0)
                self._told[at] = number + 1
            head = (e.job_key, e.attempt, e.kind.value, e.time, codec.encode(e.data), number)
            letter = Letter("event", head, e.payload)
            if isinstance(e.data, Ended):
                self._ended(letter)
            letters.append(letter)
        self.mailbox.post(letters)
        return list(events)

    def _ended(self, letter: Letter) -> None:
        key, attempt = letter.head[:2]
        self._open.discard((key, attempt))
        for kind in (EventKind.CHUNK, EventKind.PROGRESS, EventKind.LOG):
            self._told.pop((key, attempt, kind), None)
        self._ends.append(letter)
        self._end_chars += len(letter.text or "")
        while len(self._ends) > _ENDS or (self._end_chars > _END_CHARS and len(self._ends) > 1):
            self._end_chars -= len(self._ends.popleft().text or "")

    def view(self, key: JobKey) -> JobView | None:  # noqa: ARG002 - requests stay in memory here
        return None

    def _samples(self, samples: Sequence[Sample]) -> None:
        rows = [
            (s.time, s.kind, s.device, s.used_bytes, s.total_bytes, s.utilization) for s in samples
        ]
        self.mailbox.tell("samples", *rows)

    # -- from one kernel of the notebook to the next --------------------------------------------

    @property
    def unfinished(self) -> int:
        """How many jobs have not ended."""
        return len(self._open)

    @property
    def idle(self) -> bool:
        """Whether nothing runs here and nothing is to be fetched."""
        return not self._open and self.mailbox.fetched

    def held(self) -> list[Run]:
        """The attempts that run here, and those whose end a newer kernel may have missed."""
        ended = [(letter.head[0], letter.head[1]) for letter in list(self._ends)]
        return [*list(self._open), *ended]

    def hand_over(self, send: Send) -> None:
        """Belong to a newer kernel of the notebook; jobs go on, and it says which it knows."""
        self.plays.handed_over()
        self.mailbox.hand_over(send)

    def _claimed(self, letter: Letter) -> None:
        """The newer kernel knows these jobs, and so much of each; the others have nobody."""
        has = {(key, attempt): told for key, attempt, *told in letter.head}

        def missed(one: Letter) -> bool:
            if one.kind != "event" or (one.head[0], one.head[1]) not in has:
                return False
            started, *counts = has[one.head[0], one.head[1]]
            kind = EventKind(one.head[2])
            if kind is EventKind.STARTED:
                return not started
            at = {EventKind.CHUNK: 0, EventKind.PROGRESS: 1, EventKind.LOG: 2}.get(kind)
            return at is None or one.head[5] >= counts[at]

        def choice(kept: list[Letter]) -> list[Letter]:
            chosen = [one for one in kept if missed(one)]
            there = {one.head[:3] for one in chosen}
            # told to the former kernel, and perhaps not in the journal when it died
            again = [one for one in list(self._ends) if missed(one) and one.head[:3] not in there]
            return again + chosen

        self.mailbox.choose(choice)
        for key, attempt in list(self._open):
            if (key, attempt) not in has:
                self._stop(JobKey(key))

    # -- in (control thread) --------------------------------------------------------------------

    def _read(self, letters: Sequence[Letter]) -> None:
        entries: list[Entry] = []
        for letter in letters:
            if letter.kind == "job":
                entry = self._entry(letter)
                if entry is not None:
                    entries.append(entry)
                continue
            self._submit(entries)
            entries = []
            if letter.kind == "plan":
                self.plays.begin(letter)
            elif letter.kind == "stop":
                self._stop(JobKey(letter.head[0]))
            elif letter.kind == "claim":
                self._claimed(letter)
            else:
                self._keep(letter)
        self._submit(entries)

    def _entry(self, letter: Letter) -> Entry | None:
        key, id, attempt, number, timeout_s = letter.head
        if (key, attempt) in self._seen:
            return None  # never twice, whatever the network repeats
        self._seen.add((key, attempt))
        self._open.add((key, attempt))
        entry = Entry(
            JobKey(key), id, _PENDING, letter.text or "{}",
            attempt=attempt, timeout_s=timeout_s, resident=True,
        )  # fmt: skip
        return entry if self.plays.cast(entry, number) else None

    def _submit(self, entries: Sequence[Entry]) -> None:
        if entries:
            self.worker.submit(entries, [""] * len(entries))

    def _keep(self, letter: Letter) -> None:
        """Files and packages."""
        if letter.kind == "files":
            self.depot.compare(letter.head[0], json.loads(letter.text or "[]"))
        elif letter.kind == "piece":
            name, first, last, mode = letter.head
            self.depot.piece(name, letter.data or b"", first=first, last=last, mode=mode)
        elif letter.kind == "filed":
            self.depot.close_up(letter.head[0])
        elif letter.kind == "module":
            self.depot.provider(*letter.head)
        elif letter.kind == "install":
            key = JobKey(letter.head[0])
            entry = Entry(key, key, standing("pod install"), "{}", resident=True)
            self.worker.admit(entry, "")
            self._installs[key] = Install(entry, json.loads(letter.text or "[]"), self._installed)

    def _installed(self, entry: Entry, outcome: Outcome) -> None:
        self._installs.pop(entry.key, None)
        self.worker.finish(entry, outcome)

    def _stop(self, key: JobKey) -> None:
        install = self._installs.get(key)
        if install is not None:
            install.stop()
        elif self.plays.stop(key):
            return
        elif (waiting := self.plays.withdraw(key)) is not None:
            self._end(waiting, EventKind.CANCELLED, Ended())
        else:
            self.worker.cancel(key)

    def _end(self, entry: Entry, kind: EventKind, data: Ended) -> None:
        self.append([Event(entry.key, entry.attempt, kind, _utc(), data)])

    def _refuse(self, entries: Sequence[Entry], error: ErrorInfo, lost: str) -> None:
        for entry in entries:
            self._end(entry, EventKind.FAILED, Ended(None, error, lost))

    # -- the rest -------------------------------------------------------------------------------

    def progress(self, job: Any, value: Any) -> bool:
        """``progress_update`` was called; False if none of this notebook's jobs can have done it."""
        entry = JOB.get()
        if not isinstance(entry, Entry):
            id = job.get("id") if isinstance(job, dict) else None
            entry = next((e for e in self.worker.running() if e.id == id), None)
        if entry is None or entry.worker is not self.worker:
            return False
        report_progress(self.worker, entry, value)
        return True

    def close(self) -> None:
        """End the worker and its threads; what was not fetched is dropped."""
        self.mailbox.close()
        self.depot.end()
        self.worker.close()
        self.sampler.stop()
