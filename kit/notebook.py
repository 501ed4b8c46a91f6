"""Live inside IPython: run ``%%handler`` cells as plain cells, and know what every cell was.

The cell runs like any other (its own line numbers, magics, top-level await): an input transformer
blanks the ``%%handler`` line, and a post-run hook registers. A nested ``run_cell`` would shift line
numbers, refuse await and let a pasted argparse read the kernel's arguments.

The hooks never raise: IPython would print "Error in callback" and Run All would go on. A refusal
fails the cell through its result instead.
"""

from __future__ import annotations

import ast
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit import remotecell, surroundings, trace
from kit.errors import KitError, RegistrationError, UsageError
from kit.inspection import static_findings
from kit.job import Job
from kit.line import HandlerLine, HelpAsked, parse, parse_load
from kit.ownlines import line_of, load_of, only_spoke, transform
from kit.payload import decode
from kit.registration import Cell, register
from kit.request import make
from kit.sdk import SdkHook
from kit.session import Session
from kit.source.record import Cell as RecordedCell

if TYPE_CHECKING:
    from kit.loading import Load

_NONE: Any = object()


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
        self._undo: list[surroundings.Undo] = []
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
        self._undo += [surroundings.route_displays(ip), surroundings.refuse_input(ip)]
        trace.cell_number = self._number_of
        surroundings.render_with(self._rendered)
        self._remember_earlier_cells()
        if surroundings.inside_a_cell():  # its pre hook has been missed
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
        self.session.record.deleted(surroundings.deleted_cells(self.ip), time.time())
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
                with surroundings.stop_button():
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
        if ok and only_spoke(source):
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


def _number(running: _Running, result: Any) -> int | None:
    # the shell has counted on before the first hook in some versions of IPython, in others not
    number = getattr(result, "execution_count", None)
    return running.number if number is None else number


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
