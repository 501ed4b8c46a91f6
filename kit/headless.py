"""``kit export notebook.ipynb``: the notebook in a kernel of its own, from the top, then its handler.

The kernel is a real one and its folder the notebook's, as in Jupyter. The notebook's file is read
and nothing else: what the cells show is not kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import KitError, UsageError
from kit.exportline import ExportWords
from kit.secret import redact
from kit.source.record import handler_line

if TYPE_CHECKING:
    from nbclient import NotebookClient

Say = Callable[[str], None]

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
#: what a first line of a cell is cut to
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Headless:
    """What to run and what to write.

    Attributes
    ----------
    notebook, output : Path
    words : ExportWords
        The options of ``kit.export``.
    kernel : str or None
        Name of the kernel; None for the notebook's own, else ``python3``.
    cell_timeout_s : float or None
        Seconds that a cell may take; None is no limit.
    jobs_timeout_s : float
        Seconds to wait, behind the last cell, for jobs that are still running.
    """

    notebook: Path
    output: Path
    words: ExportWords
    kernel: str | None = None
    cell_timeout_s: float | None = None
    jobs_timeout_s: float = 600.0


@dataclass(frozen=True, slots=True)
class CellRun:
    """One code cell that ran."""

    number: int
    seconds: float
    began_at: float
    ended_at: float
    registers: bool


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes
    ----------
    problems : list of str
        A sentence for everything that failed; empty if all is well.
    usage : bool
        Whether it is the call that was wrong.
    bundle : dict
        Facts of the bundle, empty if none was written: ``path``, ``handler``, ``files``,
        ``verdict``, ``sentence``, ``notes``, and ``text``, all of it for reading.
    jobs : dict of str to int
        Jobs of the notebook by state.
    """

    cells: list[CellRun] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    usage: bool = False
    bundle: dict[str, Any] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)


def run_headless(asked: Headless, say: Say) -> Outcome:
    """Run a notebook's code cells and export its handler; blocks.

    Parameters
    ----------
    asked : Headless
    say : callable
        Gets a line for each cell that has ended, and what pip says.

    Raises
    ------
    UsageError
        There is no such notebook, kernel or Python package.
    KeyboardInterrupt
        After the kernel and everything it started has ended.
    """
    try:
        import nbclient
        import nbformat
    except ImportError as exc:
        raise UsageError(
            f"{exc.name} is not installed: `pip install nbclient` (it runs notebooks), then again."
        ) from None
    if asked.notebook.suffix == ".py":
        raise UsageError(
            f"{asked.notebook} is no notebook: `kit load {asked.notebook}` makes one of a worker's file."
        )
    try:
        read: Any = nbformat.read  # untyped
        notebook = read(asked.notebook, as_version=4)
    except OSError as exc:
        raise UsageError(f"{asked.notebook} cannot be read: {exc.strerror or exc}.") from None
    except Exception as exc:  # nbformat raises whatever its parts do
        why = " ".join(str(exc).split())[:200]
        raise UsageError(f"{asked.notebook} is no notebook: {why}.") from None
    client = nbclient.NotebookClient(
        notebook,
        timeout=asked.cell_timeout_s,
        kernel_name=asked.kernel or _kernel_of(notebook),
        resources={"metadata": {"path": str(asked.notebook.resolve().parent)}},
        store_widget_state=False,
        # the kernel warns that loopback is not encrypted; it is ours alone
        extra_arguments=["--log-level=ERROR"],
    )
    outcome = Outcome()
    try:
        asyncio.run(_run(client, asked, outcome, say))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    return outcome


def _kernel_of(notebook: Any) -> str:
    from jupyter_client.kernelspec import KernelSpecManager

    spec = notebook.metadata.get("kernelspec", {})
    language = str(spec.get("language") or "python").lower()
    if language != "python":
        raise UsageError(f"the notebook is for {language}; a handler is Python.")
    name = str(spec.get("name") or "python3")
    return name if name in KernelSpecManager().find_kernel_specs() else "python3"


async def _run(client: NotebookClient, asked: Headless, outcome: Outcome, say: Say) -> None:
    from jupyter_client.kernelspec import NoSuchKernel

    env = {**os.environ, "JPY_SESSION_NAME": str(asked.notebook.resolve())}
    stopped = asyncio.Event()
    try:
        async with client.async_setup_kernel(env=env):
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                # nbclient's own would end the kernel and leave this waiting for it
                loop.add_signal_handler(number, stopped.set)
            work = asyncio.ensure_future(_cells_and_export(client, asked, outcome, say))
            stop = asyncio.ensure_future(stopped.wait())
            await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if not work.done():
                client.shutdown_kernel = "immediate"
                work.cancel()
                # nbclient takes any cancelling for the kernel's death
                await asyncio.wait([work])
                raise asyncio.CancelledError
            await work
    except NoSuchKernel as exc:
        raise UsageError(
            f"there is no kernel called {exc.name!r}: `jupyter kernelspec list`."
        ) from None


async def _cells_and_export(
    client: NotebookClient, asked: Headless, outcome: Outcome, say: Say
) -> None:
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    # before the first cell, so that the record has all of them
    why = await _in_kernel(client, "%load_ext kit", lambda line: None)
    if why:
        raise KitError(f"the kernel cannot load the kit: {why}. Install it where the kernel runs.")
    code = [(i, c) for i, c in enumerate(client.nb.cells) if c.cell_type == "code"]
    for number, (index, cell) in enumerate(code, 1):
        began = time.monotonic(), time.time()
        # what a front end sends with a cell, and nbclient does not: two equal cells are two
        _session_of(client).metadata = {"cellId": cell.get("id") or f"cell-{index}"}
        problem = ""
        try:
            await client.async_execute_cell(cell, index, execution_count=None)
        except CellExecutionError as exc:
            problem = f"raised {exc.ename}: {' '.join(_ANSI.sub('', exc.evalue).split())}"
        except CellTimeoutError:
            problem = f"took longer than {asked.cell_timeout_s:g} s"
        except DeadKernelError:
            problem = "ended the kernel: it ran out of memory, or something killed it"
        seconds = time.monotonic() - began[0]
        registers = handler_line(cell.source.splitlines()) is not None
        outcome.cells.append(CellRun(number, seconds, began[1], time.time(), registers))
        head = f"In [{number}]"
        say(f"{head:<8} {_first_line(cell.source):<{_SHOWN}} {seconds:6.1f} s")
        if problem:
            outcome.problems.append(redact(f"In [{number}] {problem}."))
            return
    say(f"exporting to {asked.output}")
    _session_of(client).metadata = {}
    with tempfile.TemporaryDirectory(prefix="kit-export-") as folder:
        told = Path(folder) / "told.json"
        given = {
            "path": str(asked.output.absolute()),
            "keywords": asked.words.keywords(),
            "jobs_timeout_s": asked.jobs_timeout_s,
            "told": str(told),
        }
        why = await _in_kernel(
            client, f"import kit.inkernel as _k; _k.export(**{given!r}); del _k", say
        )
        if why:
            outcome.problems.append(f"the export ended the kernel or broke in it: {redact(why)}.")
            return
        _judge(json.loads(told.read_text("utf-8")), asked, outcome)


def _session_of(client: NotebookClient) -> Any:
    """What makes the messages to the kernel; its metadata go with each of them."""
    kernel: Any = client.kc
    return kernel.session


async def _in_kernel(client: NotebookClient, code: str, say: Say) -> str:
    """Run code that is no cell; what it printed goes to ``say``. What it raised, ``""`` if nothing."""
    from jupyter_core.utils import ensure_async

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            for line in message["content"]["text"].splitlines():
                say(line)

    kernel: Any = client.kc
    manager: Any = client.km
    asking = asyncio.ensure_future(
        kernel.execute_interactive(code, store_history=False, allow_stdin=False, output_hook=hear)
    )
    try:
        while not asking.done():
            await asyncio.wait([asking], timeout=1.0)
            if not asking.done() and not await ensure_async(manager.is_alive()):
                return "the kernel has died"
        content = asking.result()["content"]
    finally:
        asking.cancel()
    return "" if content["status"] == "ok" else f"{content['ename']}: {content['evalue']}"


def _judge(told: dict[str, Any], asked: Headless, outcome: Outcome) -> None:
    for job in told["jobs"]:
        outcome.jobs[job["state"]] = outcome.jobs.get(job["state"], 0) + 1
        cell = next(
            (c for c in outcome.cells if c.began_at <= job["submitted_at"] <= c.ended_at), None
        )
        # a job of kit.run fails where the notebook waits for it, if it wants to know
        if cell is not None and cell.registers and job["state"] != "COMPLETED":
            why = f": {job['error']}" if job["error"] else ""
            outcome.problems.append(f"the job of In [{cell.number}] is {job['state']}{why}.")
    if told["error"]:
        outcome.problems.append(told["error"])
        outcome.usage = told["usage"]
        return
    outcome.bundle = told["bundle"]
    if asked.words.verify and not told["passed"]:
        outcome.problems.append(f"{told['bundle']['sentence']}.")


def _first_line(source: str) -> str:
    lines = (line.strip() for line in source.splitlines())
    text = next((line for line in lines if line and not line.startswith("#")), "")
    plain = "".join(c if c.isprintable() else "?" for c in redact(text))
    return plain if len(plain) <= _SHOWN else plain[: _SHOWN - 3] + "..."
