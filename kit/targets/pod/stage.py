"""Where a notebook's statements run on a pod: the kernel's main thread, in the order they are sent.

The main thread, because module code of a worker runs there: libraries install signal handlers. It
is this kernel's only work; jobs run on the handler thread and the connection on the control thread,
so a model that loads for minutes holds up neither.
"""

from __future__ import annotations
import __future__

import ast
import asyncio
import inspect
import linecache
import signal
import sys
import threading
from dataclasses import dataclass
from typing import Any

from kit.events import ErrorInfo
from kit.secret import redact
from kit.trace import trace

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@dataclass(frozen=True, slots=True)
class Line:
    """One statement to run.

    Attributes
    ----------
    key : str
    number : int or None
        Execution count of its cell in the notebook.
    line : int
        Of its first line of code in that cell, from 1.
    text : str
    about : str
        What the notebook wants to know of it again, as it gave it.
    """

    key: str
    number: int | None
    line: int
    text: str
    about: str = ""

    @property
    def place(self) -> str:
        cell = "a cell" if self.number is None else f"In [{self.number}]"
        return f"{cell}, line {self.line}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a statement did not run to its end."""

    place: str
    error: ErrorInfo
    interrupted: bool
    missing: str | None = None


class Stage:
    """The namespace of one notebook on the pod.

    Parameters
    ----------
    namespace : dict
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        #: every statement that was run: key, what the notebook said of it, whether it went well
        self.record: list[tuple[str, str, bool]] = []
        self._flags = _FLAGS
        self._numbers: dict[str, int | None] = {}
        self._lock = threading.Lock()
        self._running = False
        self._task: asyncio.Future[Any] | None = None
        self._stopped = False

    def number_of(self, filename: str) -> int | None:
        """Execution count behind a file name in a traceback."""
        return self._numbers.get(filename)

    def begin(self) -> None:
        self._stopped = False

    async def run(self, line: Line) -> Fault | None:
        """Run one statement; None if it went well. On the main thread, in its event loop."""
        if self._stopped:
            return self._interrupted(line)
        fault = await self._run(line)
        self.record.append((line.key, line.about, fault is None))
        return fault

    async def _run(self, line: Line) -> Fault | None:
        argv, sys.argv = sys.argv, ["handler.py"]
        found = None
        try:
            code = self._compile(line)
            # between messages the kernel ignores SIGINT
            found = signal.signal(signal.SIGINT, signal.default_int_handler)
            self._running = True
            if code.co_flags & inspect.CO_COROUTINE:
                self._task = asyncio.ensure_future(eval(code, self.namespace))  # noqa: S307
                await self._task
            else:
                exec(code, self.namespace)  # noqa: S102 - the person's own code, on their own pod
        except (KeyboardInterrupt, asyncio.CancelledError):
            return self._interrupted(line)
        except BaseException as exc:
            missing = exc.name if isinstance(exc, ModuleNotFoundError) else None
            message = _message(exc)
            return Fault(line.place, ErrorInfo(str(type(exc)), message, trace(exc)), False, missing)
        finally:
            with self._lock:
                self._running, self._task = False, None
            if found is not None:
                signal.signal(signal.SIGINT, found)
            if sys.argv == ["handler.py"]:
                sys.argv = argv
        return None

    def _interrupted(self, line: Line) -> Fault:
        error = ErrorInfo(str(KeyboardInterrupt), "interrupted from the notebook")
        return Fault(line.place, error, interrupted=True)

    def _compile(self, line: Line) -> Any:
        tree = ast.parse(line.text)
        node = tree.body[0]
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(d.lineno for d in decorators)])
        above = max(0, line.line - first)
        ast.increment_lineno(tree, above)
        filename = f"<kit In {line.number} {line.key[:12]}>"
        self._numbers[filename] = line.number
        shown = "\n" * above + line.text + "\n"
        # inspect.getsource and tracebacks read it here, as torch.jit and triton do
        linecache.cache[filename] = (
            len(shown), None, shown.splitlines(keepends=True), filename
        )  # fmt: skip
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                self._flags |= getattr(__future__, alias.name).compiler_flag
        return compile(tree, filename, "exec", flags=self._flags, dont_inherit=True)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the namespace."""
        code = compile(expression, "<kit handler>", "eval", flags=self._flags, dont_inherit=True)
        return eval(code, self.namespace)  # noqa: S307 - the person's own code

    def interrupt(self) -> None:
        """Stop the statement that runs, and those behind it. Thread-safe."""
        self._stopped = True
        with self._lock:
            if self._task is not None:
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)
            elif self._running:
                # to the one thread: its child processes are not meant
                signal.pthread_kill(_main_thread(), signal.SIGINT)


def _main_thread() -> int:
    return threading.main_thread().ident or 0


def _message(exc: BaseException) -> str:
    try:
        return redact(str(exc))
    except Exception:
        return type(exc).__name__
