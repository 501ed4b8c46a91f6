"""``kit export|load|serve|test`` from a shell. Exit codes fit for CI: 0 good, 1 a job or check failed, 2 usage."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import KitError, UsageError
from kit.exportline import CLEAN_ENV, add_options, words_of

if TYPE_CHECKING:
    from kit.emulator.ticket import Ticket
    from kit.serving import Serving

GOOD, FAILED, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    parser = _parser()
    try:
        given = parser.parse_args(arguments)
    except SystemExit as exc:  # argparse has printed why; --help is 0
        return int(exc.code or 0)
    try:
        return int(given.run(given))
    except UsageError as exc:
        print(f"kit {given.verb}: {exc}", file=sys.stderr)
        return USAGE
    except KitError as exc:
        print(f"kit {given.verb}: {exc}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kit", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    export = verbs.add_parser(
        "export",
        help="run a notebook from the top in a kernel of its own, then export its handler",
        description="Exit code 0: exported and proven. 1: a cell, a %%handler cell's job, a check or "
        "the proof failed. 2: usage. The notebook's file is only read.",
    )
    export.set_defaults(run=_export)
    export.add_argument("path", metavar="notebook", help="the .ipynb file")
    export.add_argument(
        "-o", "--output", default="worker", metavar="FOLDER", help="what to write (default: worker)"
    )
    add_options(export)
    export.add_argument("--kernel", metavar="NAME", help="default: the notebook's, else python3")
    export.add_argument(
        "--cell-timeout", type=_amount, metavar="SECONDS", help="for each cell (default: no limit)"
    )
    export.add_argument(
        "--job-timeout", type=_amount, default=600.0, metavar="SECONDS",
        help="how long to wait for jobs that run on behind the last cell (default: 600)",
    )  # fmt: skip
    export.add_argument(
        "--json", action="store_true", help="one line of JSON on stdout instead of text"
    )
    serve = verbs.add_parser(
        "serve", help="a RunPod endpoint on this machine, with real workers behind it"
    )
    serve.set_defaults(run=_serve)
    serve.add_argument("path", help="folder with handler.py, or a worker's file")
    serve.add_argument("--host", default="127.0.0.1", help="address to bind (default: loopback)")
    serve.add_argument("--port", type=int, default=0, help="default: a free one")
    serve.add_argument("--workers-min", type=int, default=0)
    serve.add_argument("--workers-max", type=int, default=1)
    serve.add_argument("--idle-timeout", type=float, default=5.0, metavar="SECONDS")
    serve.add_argument("--execution-timeout", type=float, default=600.0, metavar="SECONDS")
    serve.add_argument(
        "--json", action="store_true", help="one line of JSON instead of text; logs go to stderr"
    )
    test = verbs.add_parser(
        "test",
        help="run recorded jobs and test inputs through a real worker and compare",
        description="Exit code 0: all equal or completed. 1: one differs or failed, or nothing "
        "could be run. 2: usage.",
    )
    test.set_defaults(run=_test)
    test.add_argument("path", help="folder with handler.py")
    test.add_argument(
        "--handler", metavar="NAME", help="whose recorded jobs (default: the exported)"
    )
    test.add_argument("--clean-env", action="store_true", help=f"run it {CLEAN_ENV}")
    near = test.add_argument_group(
        "tolerances", "Outputs must be the same unless one of these allows for a difference."
    )
    near.add_argument(
        "--relative", type=_amount, default=0.0, metavar="R",
        help="numbers may differ by this fraction of the larger one: 1e-5 is a thousandth of a "
        "per cent (default: 0)",
    )  # fmt: skip
    near.add_argument(
        "--absolute", type=_amount, default=0.0, metavar="A",
        help="or by this much, whatever their size: for numbers near zero (default: 0)",
    )  # fmt: skip
    near.add_argument(
        "--image", type=_amount, default=0.0, metavar="LEVELS",
        help="pixels of pictures may differ by this much on average, on a scale of 0 to 255: 1 is "
        "invisible (default: 0)",
    )  # fmt: skip
    load = verbs.add_parser("load", help="make a notebook of a worker's file")
    load.set_defaults(run=_load)
    load.add_argument("path", help="the file, or a folder with handler.py")
    load.add_argument("-o", "--output", metavar="NOTEBOOK", help="default: beside the file")
    load.add_argument("--overwrite", action="store_true", help="replace a notebook that is there")
    return parser


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 on")
    return value


# -- load -----------------------------------------------------------------------------------------


def _load(given: argparse.Namespace) -> int:
    from kit.workerfile import load_file

    target = None if given.output is None else Path(given.output)
    print(load_file(Path(given.path), target, overwrite=given.overwrite))
    return GOOD


# -- export ---------------------------------------------------------------------------------------


def _export(given: argparse.Namespace) -> int:
    from kit.headless import Headless, run_headless

    outcome = run_headless(
        Headless(
            notebook=Path(given.path),
            output=Path(given.output),
            words=words_of(given),
            kernel=given.kernel,
            cell_timeout_s=given.cell_timeout,
            jobs_timeout_s=given.job_timeout,
        ),
        _tell,
    )
    bundle = dict(outcome.bundle)
    text = bundle.pop("text", "")
    if given.json:
        cells = [{"number": c.number, "seconds": round(c.seconds, 3)} for c in outcome.cells]
        facts = {"ok": not outcome.problems, "notebook": given.path, "problems": outcome.problems}
        print(json.dumps({**facts, "cells": cells, "jobs": outcome.jobs, "bundle": bundle}))
    elif text:
        print(text)
    for problem in outcome.problems:
        print(f"kit export: {problem}", file=sys.stderr)
    return USAGE if outcome.usage else FAILED if outcome.problems else GOOD


# -- test -----------------------------------------------------------------------------------------


def _test(given: argparse.Namespace) -> int:
    from kit.cleanenv import clean_play
    from kit.emulator.replay import play
    from kit.export.compare import Tolerance
    from kit.store import Store
    from kit.verifying import verify_folder

    tolerance = Tolerance(given.relative, given.absolute, given.image)
    player = clean_play(_tell) if given.clean_env else play
    store = Store.open()
    try:
        report = verify_folder(
            Path(given.path), store, given.handler, lambda: None, tolerance, player
        )
    finally:
        store.close()
    print(report)
    return GOOD if report.passed else FAILED


# -- serve ----------------------------------------------------------------------------------------


def _serve(given: argparse.Namespace) -> int:
    from kit.emulator.pool import Scale
    from kit.emulator.ticket import Settings
    from kit.serving import serve_folder

    if not 0 <= given.workers_min <= given.workers_max or given.workers_max < 1:
        raise UsageError("give 0 <= --workers-min <= --workers-max, and at least one worker.")
    with _stop_asked() as stopped:
        serving = serve_folder(
            Path(given.path),
            host=given.host,
            port=given.port,
            scale=Scale(given.workers_min, given.workers_max, given.idle_timeout),
            settings=Settings(execution_timeout_s=given.execution_timeout),
            on_log=_log,
        )
        with serving:
            told = _facts(serving) if given.json else _greeting(serving, Path(given.path))
            print(told, flush=True)
            stopped.wait()
    return GOOD


@contextmanager
def _stop_asked() -> Iterator[threading.Event]:
    """An event that Ctrl+C or SIGTERM sets; afterwards both do again what they did before."""
    stopped = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stopped.set()) for number in numbers]
    try:
        yield stopped
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _facts(serving: Serving) -> str:
    return json.dumps(
        {"endpoint": serving.url, "api_key": serving.key, "base": serving.base,
         "endpoint_id": serving.endpoint}
    )  # fmt: skip


def _greeting(serving: Serving, folder: Path) -> str:
    request = _example(folder)
    text = json.dumps(request, ensure_ascii=False)
    header = shlex.quote(f"Authorization: Bearer {serving.key}")
    return "\n".join(
        [
            f"endpoint  {serving.url}",
            f"api key   {serving.key}",
            "",
            f"curl -s {serving.url}/runsync -H {header} -d {shlex.quote(text)}",
            "",
            "import os",
            f'os.environ["RUNPOD_ENDPOINT_BASE_URL"] = "{serving.base}"  # before runpod is imported',
            "import runpod",
            f'endpoint = runpod.Endpoint("{serving.endpoint}", api_key="{serving.key}")',
            f"print(endpoint.run_sync({request!r}))",
            "",
            "Ctrl-C ends it and every worker.",
        ]
    )


def _example(folder: Path) -> Any:
    """A request to show: the worker's own ``test_input.json``, if it is a short one."""
    try:
        text = (folder / "test_input.json").read_text("utf-8")
        request = json.loads(text)
    except (OSError, ValueError):
        request, text = None, ""
    if isinstance(request, dict) and request.get("input") and len(text) < 1_000:
        return {"input": request["input"]}
    return {"input": {"prompt": "hello"}}


def _log(ticket: Ticket | None, text: str) -> None:
    """What workers print, with the end of the job's id in front of each line."""
    head = "worker  " if ticket is None else ticket.id[-8:]
    for line in text.splitlines():
        print(f"{head} | {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
