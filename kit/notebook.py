"""Live inside IPython: run ``%%handler`` cells as plain cells, and know what every cell was.

The cell runs like any other (its own line numbers, magics, top-level await): an input transformer
blanks the ``%%handler`` line, and a post-run hook registers. A nested ``run_cell`` would shift line
numbers, refuse await and let a pasted argparse read the kernel's arguments.

The hooks never raise: IPython would print "Error in callback" and Run All would go on. A refusal
fails the cell through its result instead.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from kit import remotecell, trace
from kit.capture import JOB
from kit.errors import KitError, RegistrationError, UsageError
from kit.inspection import static_findings
from kit.job import Job
from kit.line import HandlerLine, HelpAsked, parse, parse_load
from kit.payload import decode
from kit.registration import Cell, register
from kit.request import make
from kit.sdk import SdkHook
from kit.session import Session
from kit.source.record import Cell as RecordedCell
from kit.source.record import handler_line, load_line

if TYPE_CHECKING:
    from kit.loading import Load

_NONE: Any = object()
_OWN = re.compile(r"%%(handler|kit_load|kit_remote)(?=[\s?]|$)")
_MAGIC = re.compile(r"\s*%%handler(?=\s|$)(.*)", re.DOTALL)


def line_of(source: str) -> str | None:
    """What stands after ``%%handler`` in a cell; None if it is no handler cell."""
    lines = source.splitlines(keepends=True)
    index = handler_line(lines)
    if index is None:
        return None
    found = _MAGIC.match(lines[index])
    return found[1].strip() if found else None


def load_of(source: str) -> str | None:
    """What stands after ``%%kit_load`` in a cell; None if it is not there."""
    lines = source.splitlines()
    index = load_line(lines)
    return None if index is None else lines[index].partition("%%kit_load")[2].strip()


def transform(lines: list[str]) -> list[str]:
    """Blank the kit's own lines that parse; otherwise put one first, so that its magic speaks.

    Pure: IPython calls it twice a cell and again to check completeness.
    """
    remote = remotecell.marked(lines)
    if remote is not None:
        return remote
    for find, text_of, check in (
        (load_line, load_of, parse_load),
        (handler_line, line_of, parse),
    ):
        index = find(lines)
        if index is None:
            continue
        try:
            check(text_of("".join(lines)) or "")
        except (UsageError, HelpAsked):
            rest = [*lines[:index], *lines[index + 1 :]]
            # IPython refuses a cell magic without a body before it would run it
            return [lines[index].rstrip("\n") + "\n", *(rest or ["\n"])]
        lines = [*lines[:index], "\n", *lines[index + 1 :]]
    return lines


def _only_spoke(source: str) -> bool:
    """Whether one of the kit's magics gave its help in the place of the cell."""
    first = transform(source.splitlines(keepends=True))[:1]
    return any(_OWN.match(line) for line in first)


class _Running:
    """One handler cell between its two hooks."""

    def __init__(self, line: HandlerLine, number: int | None, source: str, code: str) -> None:
        self.line, self.number, self.source, self.code = line, number, source, code
        self.argv = sys.argv
        self.config: Any = _NONE
        self.job: Job | None = None


class Notebook:
    """Ties a session to an IPython shell.

    Parameters
    ----------
    ip : InteractiveShell
    session : Session
    """

    def __init__(self, ip: Any, session: Session) -> None:
        self.ip, self.session = ip, session
        self._handler_cell: _Running | None = None
        self._load: Load | None = None
        self._depth = 0
        self._undo: list[Callable[[], None]] = []
        self._sdk = SdkHook(self._on_start, session.progress)

    # -- in and out -----------------------------------------------------------------------------

    def install(self) -> None:
        ip = self.ip
        cut = remotecell.Cut()
        ip.input_transformers_cleanup.append(transform)
        ip.ast_transformers.insert(0, cut)  # before others, which need not see what does not run
        ip.events.register("pre_run_cell", self._before)
        ip.events.register("post_run_cell", self._after)
        self._undo += [
            lambda: ip.input_transformers_cleanup.remove(transform),
            lambda: ip.ast_transformers.remove(cut),
            lambda: ip.events.unregister("pre_run_cell", self._before),
            lambda: ip.events.unregister("post_run_cell", self._after),
        ]
        self.session.errors.ip = ip
        self._sdk.install()
        self._undo.append(self._sdk.remove)
        self._route_displays()
        self._refuse_input()
        trace.cell_number = self._number_of
        _render_with(self._rendered)
        self._remember_earlier_cells()
        if _inside_a_cell():  # its pre hook has been missed
            self._depth = 1
            self.session.cell = object()

    def remove(self) -> None:
        while self._undo:
            self._undo.pop()()
        self.session.close()

    def _remember_earlier_cells(self) -> None:
        history = getattr(self.ip, "history_manager", None)
        raw = list(getattr(history, "input_hist_raw", []))
        for number, source in enumerate(raw[: self.ip.execution_count], start=0):
            if number and source and number != self.ip.execution_count:
                self.session.record.add(RecordedCell(number, None, source, True, time.time()))

    def _route_displays(self) -> None:
        """``display(...)`` inside a handler belongs to its job's log, not to some cell."""
        pub = getattr(self.ip, "display_pub", None)
        if pub is None:
            return
        publish, clear = pub.publish, pub.clear_output

        def publish_or_log(data: Any = None, *args: Any, **kwargs: Any) -> Any:
            sink = JOB.get()
            if sink is None or sink.echo:
                return publish(data, *args, **kwargs)
            shown = data or {}
            text = shown.get("text/plain") or f"[{next(iter(shown), 'nothing')}]"
            sink.write("stdout", f"{text}\n")
            return None

        def clear_or_nothing(*args: Any, **kwargs: Any) -> Any:
            return clear(*args, **kwargs) if JOB.get() is None else None

        pub.publish, pub.clear_output = publish_or_log, clear_or_nothing

        def undo() -> None:
            for name in ("publish", "clear_output"):
                pub.__dict__.pop(name, None)

        self._undo.append(undo)

    def _refuse_input(self) -> None:
        """``input()`` in a handler fails at once, as in production; it would hang the front end."""
        kernel = getattr(self.ip, "kernel", None)
        if kernel is None or not hasattr(kernel, "raw_input"):
            return
        ask = kernel.raw_input

        def ask_unless_job(prompt: str = "") -> Any:
            sink = JOB.get()
            if sink is not None and not sink.echo:
                raise EOFError("EOF when reading a line")
            return ask(prompt)

        kernel.raw_input = ask_unless_job
        self._undo.append(lambda: kernel.__dict__.pop("raw_input", None))

    def _number_of(self, filename: str) -> int | None:
        names = getattr(getattr(self.ip, "compile", None), "_filename_map", None)
        number = names.get(filename) if names else None
        return number if isinstance(number, int) else None

    def _rendered(self, error: KitError) -> list[str]:
        """IPython's own rendering of a kit error, without the kit's own frames."""
        lines = self.ip.InteractiveTB.structured_traceback(
            type(error), error, trace.outside(error.__traceback__), tb_offset=0
        )
        return list(lines)

    # -- around a cell --------------------------------------------------------------------------

    def _before(self, info: Any) -> None:
        self._depth += 1
        if self._depth > 1:
            return
        self.session.cell = info
        source = info.raw_cell or ""
        self._begin_load(source)
        text = line_of(source)
        if text is None:
            return
        try:
            line = parse(text)
        except (UsageError, HelpAsked):
            return  # the cell magic speaks
        # only IPython 9 tells it; what a transformer refuses has run_cell say so by itself
        code = getattr(info, "transformed_cell", None)
        if code is None:
            try:
                code = self.ip.transform_cell(source)
            except SyntaxError:
                code = ""
        self._handler_cell = _Running(line, self.ip.execution_count, source, code)
        # a pasted `argparse` guard must not see the kernel's own arguments
        sys.argv = ["handler.py"]

    def _begin_load(self, source: str) -> None:
        label = load_of(source)
        if label is None:
            return
        from kit.loading import Load

        try:
            self._load = Load(self.session, parse_load(label), self.ip.execution_count)
        except (UsageError, HelpAsked):
            return  # the cell magic speaks
        except Exception as exc:  # no journal: the cell runs all the same, unmeasured
            print(f"%%kit_load cannot measure this cell: {exc}", file=sys.stderr)

    def _end_load(self, result: Any) -> None:
        load, self._load = self._load, None
        if load is None:
            return
        error = None if result is None else (result.error_before_exec or result.error_in_exec)
        trouble = None
        if error is not None:
            trouble = f"the cell raised {type(error).__name__}"
        elif result is None:
            trouble = "the cell was interrupted"
        try:
            print(load.end(trouble))
        except Exception as exc:
            print(f"%%kit_load could not measure this cell: {exc}", file=sys.stderr)

    def _after(self, result: Any) -> None:
        self._depth = max(0, self._depth - 1)
        if self._depth:
            return
        self._end_load(result)
        running, self._handler_cell = self._handler_cell, None
        try:
            if running is not None:
                sys.argv = running.argv
            self._record(result)
            if running is not None:
                with _stop_button():
                    self._register(running, result)
        except KitError as exc:
            self._refuse(exc, result)
        except KeyboardInterrupt as stop:
            if running is not None and running.job is not None:
                running.job.cancel()
                print("Interrupted: the job that this cell started is cancelled.", file=sys.stderr)
            if result is not None:
                result.error_in_exec = stop
        except Exception as exc:
            # a fault of the kit's own: IPython would print it and let Run All go on
            self._refuse(KitError(f"the kit failed here: {type(exc).__name__}: {exc}"), result, exc)
        finally:
            self.session.cell_end.run()
            self.session.cell = None

    def _record(self, result: Any) -> None:
        info = getattr(result, "info", None)
        source = getattr(info, "raw_cell", None)
        if not source or not getattr(info, "store_history", True):
            return
        number = getattr(result, "execution_count", None)
        cell_id = getattr(info, "cell_id", None)
        ok = bool(getattr(result, "success", False))
        if ok and _only_spoke(source):
            return
        self.session.record.add(RecordedCell(number, cell_id, source, ok, time.time()))
        if ok and remotecell.is_remote(source):
            here = self.session.places.remote
            print(remotecell.SENTENCE + ("" if here else remotecell.NO_POD))

    def _refuse(self, error: KitError, result: Any, cause: Exception | None = None) -> None:
        shown = error.with_traceback(None)
        if result is not None:
            result.error_in_exec = shown
        text = f"{type(error).__name__}: {error}"
        show = getattr(self.ip, "_showtraceback", None)
        if show is not None and getattr(self.ip, "kernel", None) is not None:
            # an error output of one sentence, so that the front end marks the cell as failed
            show(type(error), error, [f"\x1b[31m{type(error).__name__}\x1b[0m: {error}"])
        else:
            print(text, file=sys.stderr)
        if cause is not None:
            self.ip.showtraceback((type(cause), cause, cause.__traceback__))

    # -- a handler cell -------------------------------------------------------------------------

    def _on_start(self, config: Any) -> None:
        if self._handler_cell is None:
            raise RegistrationError(
                "runpod.serverless.start() runs a worker process and cannot run in a notebook: put "
                "%%handler on the first line of this cell, and it registers the handler instead."
            )
        self._handler_cell.config = config

    def _register(self, running: _Running, result: Any) -> None:
        if result is None or not result.success:
            self._say_unregistered(running, result)
            return
        cell = Cell(running.source, running.code, _number(running, result))
        config = None if running.config is _NONE else running.config
        handler = register(
            cell, running.line.handler, self.ip.user_ns, config, self.session.handlers.get
        )
        request = self._request(running.line, handler.name)
        target = running.line.target
        if target is not None:
            self.session.check_target(target)
        self.session.add(handler, static_findings(cell.code, handler))
        job = None
        if running.line.run and self.session.autorun and request is not None:
            job = self.session.intake.submit(request, handler, target, running.line.timeout_s)
            running.job = job
        card = self.session.card(handler.name)
        waits = job is not None and running.line.wait_s > 0
        card.show(settled=not waits)
        if job is not None and waits:
            try:
                self.session.wait(job.key, running.line.wait_s)
            finally:
                card.settle()

    def _request(self, line: HandlerLine, name: str) -> Any:
        if line.input is not None:
            return make(decode(line.input))
        if line.input_file is not None:
            return make(_read_file(line.input_file))
        return self.session.intake.last_request(name)

    def _say_unregistered(self, running: _Running, result: Any) -> None:
        error = getattr(result, "error_before_exec", None) or getattr(result, "error_in_exec", None)
        what = "was interrupted"
        if isinstance(error, SyntaxError):
            what = f"has a syntax error in line {error.lineno}"
        elif error is not None:
            what = f"raised {type(error).__name__}"
        elif result is not None and _syntax_error(running.code):
            what = "has a syntax error"
        name = running.line.handler.name
        before = self.session.handlers.get(name) if name else self.session.current
        stays = (
            "nothing is registered"
            if before is None
            else (f"{before.name} v{before.version} stays registered")
        )
        sentence = f"In [{_number(running, result)}] {what}: {stays}."
        if before is not None and before.name in self.session.cards:
            self.session.cards[before.name].note(sentence)
        print(sentence, file=sys.stderr)


def _render_with(render: Callable[[KitError], list[str]]) -> None:
    """Give the tree of errors the method that IPython asks an exception for."""

    def _render_traceback_(self: KitError) -> list[str]:
        return render(self)

    KitError._render_traceback_ = _render_traceback_  # type: ignore[attr-defined]


@contextlib.contextmanager
def _stop_button() -> Iterator[None]:
    """Raise KeyboardInterrupt here also after a cell with a top-level await.

    ipykernel then makes the stop button cancel the cell's coroutine, which has ended by now.
    """
    try:
        found = signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:  # not the main thread, so no signal comes here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, found)


def _number(running: _Running, result: Any) -> int | None:
    # the shell has counted on before the first hook in some versions of IPython, in others not
    number = getattr(result, "execution_count", None)
    return running.number if number is None else number


def _inside_a_cell() -> bool:
    """Whether a cell loads the kit right now, rather than a start-up file of IPython."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "run_cell_async":
            return True
        frame = frame.f_back
    return False


def _syntax_error(code: str) -> bool:
    try:
        compile(code, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError:
        return True
    return not code


def _read_file(path: str) -> Any:
    file = Path(path).expanduser()
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"--input-file {path}: {exc.strerror or exc}.") from None
    except ValueError as exc:
        raise UsageError(f"--input-file {path} is not JSON: {exc}.") from None
