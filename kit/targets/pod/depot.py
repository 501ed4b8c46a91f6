"""What a person asks a pod to have: files below the server's folder, and packages of its Python."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.events import ErrorInfo, EventKind
from kit.outcome import Outcome
from kit.queue import Entry

_READ_BYTES = 1 << 20


class Depot:
    """Writes files, on a thread of its own and in the order in which they come.

    Parameters
    ----------
    folder : Path
        Nothing is written outside it.
    tell : callable
        Sends a letter to the notebook.
    """

    def __init__(self, folder: Path, tell: Callable[..., None]) -> None:
        self._folder, self._tell = folder.resolve(), tell
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failed: dict[str, str] = {}

    def compare(self, number: int, files: Sequence[tuple[str, str]]) -> None:
        """Say which of these files (name and SHA-256) are not here as they should be."""

        def work() -> None:
            self._failed.clear()
            try:
                wanted = [name for name, digest in files if _digest(self._place(name)) != digest]
            except (KitError, OSError) as exc:
                self._tell("wanted", number, [], str(exc))
            else:
                self._tell("wanted", number, wanted, None)

        self._later(work)

    def piece(self, name: str, data: bytes, *, first: bool, last: bool, mode: int) -> None:
        """Write a piece of a file; it takes its place when the last one is there."""

        def work() -> None:
            if name in self._failed:
                return
            try:
                self._write(self._place(name), data, first=first, last=last, mode=mode)
            except (KitError, OSError) as exc:
                self._failed[name] = _why(name, exc)

        self._later(work)

    def close_up(self, number: int) -> None:
        """Say how it went, once everything before is written."""
        self._later(lambda: self._tell("stored", number, sorted(self._failed.values())))

    def provider(self, number: int, module: str) -> None:
        """Say which distribution and version provides a module."""

        def work() -> None:
            found = None
            with contextlib.suppress(
                Exception
            ):  # broken metadata of any package may raise anything
                for name in importlib.metadata.packages_distributions().get(module, ()):
                    found = found or (name, importlib.metadata.version(name))
            self._tell("provider", number, found)

        self._later(work)

    def end(self) -> None:
        self._todo.put(None)

    def _place(self, name: str) -> Path:
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder) or path == self._folder:
            raise KitError(f"{name} lies outside the server's folder {self._folder}.")
        return path

    def _write(self, path: Path, data: bytes, *, first: bool, last: bool, mode: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.kit-part")
        try:
            with part.open("wb" if first else "ab") as file:
                file.write(data)
            if last:
                part.chmod(mode & 0o777)
                part.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise

    def _later(self, work: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name="kit-depot", daemon=True)
            self._thread.start()
        self._todo.put(work)

    def _main(self) -> None:
        while (work := self._todo.get()) is not None:
            work()


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            found.update(piece)
    return found.hexdigest()


def _why(name: str, exc: Exception) -> str:
    if isinstance(exc, OSError):
        return f"{name}: {exc.strerror or exc}"
    return str(exc)


class Install:
    """``pip install`` of what is missing, as a job: what it prints is its log.

    Parameters
    ----------
    entry : Entry
    wanted : sequence of (str or None, str)
        Module and requirement; what can be imported already is left alone.
    finish : callable
        Takes the entry and its outcome.
    """

    def __init__(
        self,
        entry: Entry,
        wanted: Sequence[tuple[str | None, str]],
        finish: Callable[[Entry, Outcome], Any],
    ) -> None:
        self._entry, self._wanted, self._finish = entry, wanted, finish
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        threading.Thread(target=self._main, name="kit-install", daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._stopped = True
        if self._process is not None:
            self._process.terminate()

    def _main(self) -> None:
        try:
            outcome = self._outcome()
        except OSError as exc:
            outcome = _failed(f"pip could not be started: {exc}")
        self._finish(self._entry, outcome)

    def _outcome(self) -> Outcome:
        missing = sorted({need for module, need in self._wanted if not _is_there(module)})
        if missing:
            code = self._pip(missing)
            if self._stopped:
                return Outcome(EventKind.CANCELLED, None)
            if code:
                return _failed(f"pip ended with code {code}; its words are in the job's log.")
        else:
            self._entry.write("stdout", "Nothing is missing.\n")
        importlib.invalidate_caches()
        return Outcome(EventKind.COMPLETED, json.dumps({"output": {"installed": missing}}))

    def _pip(self, missing: Sequence[str]) -> int:
        command = [sys.executable, "-m", "pip", "install", "--no-input", "--", *missing]
        environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._entry.write("stdout", line)
        return self._process.wait()


def _is_there(module: str | None) -> bool:
    if module is None:
        return False
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _failed(why: str) -> Outcome:
    return Outcome(EventKind.FAILED, None, ErrorInfo("", why), why)
