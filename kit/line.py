"""The ``%%handler`` line: parsed without IPython, so that a transformer, a hook and a test can share it."""

from __future__ import annotations

import argparse
import difflib
import functools
import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

from kit.errors import UsageError
from kit.startoptions import Line

_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class HandlerLine:
    """What the line asks for.

    Attributes
    ----------
    handler : Line
        About the handler itself.
    input : str or None
        Input as JSON text.
    input_file : str or None
    timeout_s : float or None
    target : str or None
    wait_s : float
        How long the cell waits for its job.
    run : bool
        False with ``--no-run``.
    """

    handler: Line
    input: str | None = None
    input_file: str | None = None
    timeout_s: float | None = None
    target: str | None = None
    wait_s: float = 2.0
    run: bool = True


class HelpAsked(Exception):
    """``--help`` or ``-h`` is on the line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


@functools.lru_cache(maxsize=1)
def parser() -> argparse.ArgumentParser:
    """The options, also for help and completion."""
    p = _Parser(
        prog="%%handler",
        add_help=False,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%%%%handler [name] [--input JSON] [options]",
        description=(
            "Register this cell's function as the handler, and run it on an input.\n\n"
            "The function is the one named on the line (any expression), else the one given to\n"
            "runpod.serverless.start() in the cell, else `handler`, else the only function of the\n"
            "cell that takes one argument."
        ),
        epilog=(
            'examples:\n  %%%%handler\n  %%%%handler --input {"prompt": "a dog"}\n'
            "  %%%%handler classify --input-file digit.json --timeout 30\n"
            "  %%%%handler service.handle --concurrency 4 --no-run"
        ),
    )
    p.add_argument("--input", metavar="JSON", help="run a job on this input; the last one is kept")
    p.add_argument("--input-file", metavar="PATH", help="the same, from a JSON file")
    p.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        help="stop the job that this cell runs after this time; default none",
    )
    p.add_argument("--target", metavar="NAME", help="where this cell's job runs: local or process")
    p.add_argument(
        "--aggregate", action="store_true", help="start() option return_aggregate_stream"
    )
    p.add_argument("--refresh", action="store_true", help="start() option refresh_worker")
    p.add_argument(
        "--concurrency", metavar="N", type=int, help="start() option concurrency_modifier, always N"
    )
    p.add_argument(
        "--wait", metavar="SECONDS", type=float, default=2.0,
        help="how long the cell waits for its job; default 2, then it runs on in the background",
    )  # fmt: skip
    p.add_argument("--no-run", action="store_true", help="register only")
    p.add_argument("-h", "--help", action="store_true", help="show this")
    return p


@functools.lru_cache(maxsize=1)
def options() -> list[str]:
    """Long options, for completion."""
    return [o for a in parser()._actions for o in a.option_strings if o.startswith("--")]


@functools.lru_cache(
    maxsize=32
)  # a cell's line is asked for by a transformer and a hook, each twice
def parse(text: str) -> HandlerLine:
    """Parse what stands after ``%%handler``.

    Raises
    ------
    HelpAsked
    UsageError
        With the option's name in one sentence.
    """
    text = text.strip()
    if text == "?":
        raise HelpAsked
    name, rest = _split_name(text)
    rest, given = _take_input(rest)
    words = rest.split()
    if given is not None and any(word.split("=")[0] == "--input" for word in words):
        raise UsageError("%%handler: --input is there twice; a job has one input.")
    known = parser()
    for word in words:
        if word.startswith("-") and not _is_number(word):
            option = word.split("=")[0]
            if option not in [*options(), "-h"]:
                near = difflib.get_close_matches(option, options(), 1)
                hint = f" Did you mean {near[0]}?" if near else " See %%handler --help."
                raise UsageError(f"%%handler has no option {option}.{hint}")
    try:
        found, extra = known.parse_known_args(words)
    except UsageError as exc:
        raise UsageError(f"%%handler: {exc}. See %%handler --help.") from None
    if found.help:
        raise HelpAsked
    if extra:
        raise UsageError(
            f"%%handler does not understand {' '.join(extra)!r}: the name comes first, then options."
        )
    _check(found, given)
    return HandlerLine(
        handler=Line(name or None, found.aggregate, found.refresh, found.concurrency),
        input=given,
        input_file=found.input_file,
        timeout_s=found.timeout,
        target=found.target,
        wait_s=found.wait,
        run=not found.no_run,
    )


def _check(found: Any, given: str | None) -> None:
    if found.concurrency is not None and found.concurrency < 1:
        raise UsageError(f"%%handler: --concurrency is {found.concurrency}; give at least 1.")
    if found.timeout is not None and not 0 < found.timeout < math.inf:
        raise UsageError(f"%%handler: --timeout is {found.timeout:g}; give seconds above 0.")
    if not found.wait >= 0:
        raise UsageError(f"%%handler: --wait is {found.wait:g}; give seconds, 0 or more.")
    if given is not None and found.input_file is not None:
        raise UsageError("%%handler: give --input or --input-file, not both.")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _split_name(text: str) -> tuple[str, str]:
    """The expression before the first option; it may hold spaces, as ``make(cfg, 2)`` does."""
    if text.startswith("-"):
        return "", text
    for index, char in enumerate(text):
        if char == "-" and text[index - 1].isspace() and _starts_option(text[index:]):
            return text[:index].strip(), text[index:]
    return text, ""


def _starts_option(text: str) -> bool:
    return text.startswith("--") or text.split()[0] == "-h"


def _take_input(text: str) -> tuple[str, str | None]:
    """Cut ``--input JSON`` out, since JSON has spaces and quotes that a word splitter would break."""
    words = text.split("--input")
    start = 0
    for before in words[:-1]:
        start += len(before)
        after = text[start + len("--input") :]
        if after[:1] in ("", " ", "\t", "="):
            value, used = read_json(after.lstrip(" \t="), "--input")
            consumed = len(after) - len(after.lstrip(" \t=")) + used
            return text[:start] + " " + after[consumed:], value
        start += len("--input")
    return text, None


def read_json(text: str, option: str) -> tuple[str, int]:
    """JSON at the beginning of a text, also inside one pair of quotes.

    Returns
    -------
    value : str
        The JSON text.
    used : int
        How many characters it took.

    Raises
    ------
    UsageError
        With the column of the fault.
    """
    if not text:
        raise UsageError(f'{option} needs a value: {option} {{"prompt": "a dog"}}.')
    quote = text[0] if text[0] in "'" else ""
    body = text[len(quote) :]
    try:
        _, end = _decoder.raw_decode(body)
    except json.JSONDecodeError as exc:
        near = body[max(0, exc.pos - 12) : exc.pos + 12]
        hint = ' JSON needs double quotes: {"prompt": "a dog"}.' if "'" in body else ""
        raise UsageError(
            f"{option} is not JSON at column {exc.pos + 1}, near {near!r}: {exc.msg}.{hint}"
        ) from None
    used = len(quote) + end
    if quote:
        if text[used : used + 1] != quote:
            raise UsageError(f"{option} starts with {quote} and does not end with it.")
        used += 1
    if text[used : used + 1] not in ("", " ", "\t"):
        raise UsageError(
            f"{option}: something follows the JSON without a space: {text[used : used + 12]!r}."
        )
    return body[:end], used


# -- %%kit_load -------------------------------------------------------------------------------------

LOAD_HELP = """%%kit_load [LABEL]

Put it on top of a cell that loads a model. The cell runs like any other; the time it takes and the
memory that it needs are measured, printed under it, kept in the journal, and shown as a bar on the
timeline. LABEL is what the bar is called; without one it is the cell's number. It may stand above a
%%handler line.

examples:
  %%kit_load
  %%kit_load sdxl, fp16"""

_LABEL_CHARS = 80


def parse_load(line: str) -> str:
    """The label on a ``%%kit_load`` line; ``""`` if there is none.

    Raises
    ------
    HelpAsked
    UsageError
        It looks like an option: there are none.
    """
    label = " ".join(line.split())
    if label in ("?", "-h", "--help"):
        raise HelpAsked
    if label.startswith("-"):
        raise UsageError(
            f"%%kit_load has no option {label.split()[0]}; it takes a label, or nothing."
        )
    return label[:_LABEL_CHARS]


# -- %%kit_remote -----------------------------------------------------------------------------------

REMOTE_HELP = """%%kit_remote

Put it on top of a cell that only a pod can run: one that loads the model onto a GPU, or imports a
package that this machine does not have. The cell is not run here. It is recorded, so a handler may
use what it makes; its statements run on the pod when a job there needs them, once, and again only
when they or what they read have changed. They are part of what kit.export writes.

A name of such a cell does not exist in this kernel: jobs of a handler that uses it run on a pod,
kit.use(kit.Pod(url, token=...)).

example:
  %%kit_remote
  import torch
  model = torch.nn.Linear(2, 2).to("cuda")"""


def parse_remote(line: str) -> None:
    """Look at what stands behind ``%%kit_remote``: nothing.

    Raises
    ------
    HelpAsked
    UsageError
    """
    text = line.strip()
    if text in ("?", "-h", "--help"):
        raise HelpAsked
    if text:
        raise UsageError(f"%%kit_remote takes nothing more, not {text!r}.")
