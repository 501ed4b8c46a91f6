"""``%%handler``, ``%job`` and ``%kit``: parse the line, call the session, nothing else."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import Any

from IPython.core.error import StdinNotImplementedError
from IPython.core.error import UsageError as MagicError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand

from kit import api, exportline, looking, remotecell, shipping
from kit.errors import KitError, UsageError
from kit.job import Job
from kit.line import (
    LOAD_HELP,
    REMOTE_HELP,
    HelpAsked,
    options,
    parse,
    parse_load,
    parser,
    read_json,
)
from kit.session import Session
from kit.status import status_text

_VERBS = {
    "status": "%kit status                     journal, target, handlers, memory, jobs by state",
    "use": "%kit use NAME                   where jobs run from now on: local, process\n"
    "%kit use pod URL|ID [--kernel NAME] [--share]   on a pod; its token is asked for, hidden",
    "panel": "%kit panel [--all]              live view of all jobs of this session (or of all)",
    "export": "%kit export [PATH] [--help]     write the worker, PATH is `worker`; options as of kit.export",
    "autorun": "%kit autorun on|off             whether %%handler runs the last input again",
    "free": "%kit free                       give memory back, and say what still holds the rest",
    "sample": "%kit sample [HZ]                memory samples a second while jobs run, 10 by default",
    "history": "%kit history [N]                the last N jobs of all sessions, 20 by default",
}


@magics_class
class KitMagics(Magics):
    """The magics of ``%load_ext kit``."""

    session: Session
    namespace: dict[str, Any]

    @no_var_expand
    @line_cell_magic
    def handler(self, line: str, cell: str | None = None) -> None:  # noqa: ARG002 - IPython's
        """Register this cell's function as the RunPod handler; ``%%handler --help`` lists options.

        This runs only where the line cannot be used as it is: for help, or to say what is wrong
        with it. A good line is taken off before the cell runs, and the cell runs like any other.
        """
        if line.strip() in ("?", ""):
            print(parser().format_help().replace("%%%%", "%%"))
            return
        try:
            parse(line)
        except HelpAsked:
            print(parser().format_help().replace("%%%%", "%%"))
        except UsageError as exc:
            raise MagicError(str(exc)) from None
        else:
            raise MagicError(
                "%%handler goes on the first line of a cell, above the code it registers."
            )

    @no_var_expand
    @line_cell_magic
    def kit_load(self, line: str, cell: str | None = None) -> None:  # noqa: ARG002 - IPython's
        """Measure what this cell costs in time and memory; ``%%kit_load --help``.

        As with ``%%handler``, a good line is taken off and never comes here.
        """
        try:
            parse_load(line)
        except HelpAsked:
            print(LOAD_HELP)
        except UsageError as exc:
            raise MagicError(str(exc)) from None
        else:
            raise MagicError("%%kit_load goes on the first line of the cell that it measures.")

    @no_var_expand
    @line_cell_magic
    def kit_remote(self, line: str, cell: str | None = None) -> None:
        """Keep this cell from running here: only a pod runs it; ``%%kit_remote --help``.

        As with ``%%handler``, a good line is taken off and never comes here.
        """
        try:
            remotecell.check(line, cell or "")
        except HelpAsked:
            print(REMOTE_HELP)
        except UsageError as exc:
            raise MagicError(str(exc)) from None
        else:
            raise MagicError(
                "%%kit_remote goes on the first line of the cell that only the pod runs."
            )

    @no_var_expand
    @line_magic
    def job(self, line: str) -> Job:
        """Run a job on the current handler: ``%job {"prompt": "a dog"}`` or ``%job variable``.

        Shows the job's card, and returns the job: ``j = %job {...}``.
        """
        text = line.strip()
        if text in ("?", "-h", "--help"):
            raise MagicError('write %job {"prompt": "a dog"} or %job variable; it returns the job.')
        if not text:
            raise MagicError('%job needs an input: %job {"prompt": "a dog"}, or a variable.')
        job: Job = _said(lambda: api.run(self._value(text)))
        return job

    def _value(self, text: str) -> Any:
        from kit.payload import decode

        try:
            value, used = read_json(text, "%job")
            if not text[used:].strip():
                return decode(value)
            raise UsageError(f"%job: {text[used:].strip()!r} follows the input.")
        except UsageError as fault:
            try:  # a variable, or a Python literal with single quotes
                return eval(compile(text, "<%job>", "eval"), self.namespace)
            except SyntaxError:
                raise fault from None
            except NameError as exc:
                raise UsageError(f"%job: {exc}.") from None

    @no_var_expand
    @line_magic
    def kit(self, line: str) -> Any:
        """``%kit status``, ``use``, ``panel``, ``export``, ``autorun``, ``free``, ``sample``, ``history``."""
        try:
            words = shlex.split(line)
        except ValueError as exc:
            raise MagicError(f"%kit: {exc}.") from None
        verb, rest = (words[0], words[1:]) if words else ("help", [])
        if verb in ("help", "--help", "-h", "?"):
            print("\n".join(_VERBS.values()))
            return None
        if verb not in _VERBS:
            raise MagicError(f"%kit has no verb {verb!r}. It has: {', '.join(_VERBS)}.")
        return _said(lambda: getattr(self, f"_{verb}")(rest))

    def _status(self, words: list[str]) -> None:
        _no_more("status", words)
        print(status_text(self.session))

    def _use(self, words: list[str]) -> Any:
        if words[:1] == ["pod"]:
            return self._use_pod(words[1:])
        if len(words) != 1:
            raise UsageError(
                "%kit use takes one name: %kit use local, %kit use process, %kit use pod URL."
            )
        api.use(words[0])
        print(f"Jobs run on {words[0]} from now on.")
        return None

    def _use_pod(self, words: list[str]) -> Any:
        """``%kit use pod URL``; the token comes from the URL, the environment or a hidden prompt."""
        from kit.pod import Pod

        words, kernel = _option(words, "--kernel")
        flags = _flags("use pod", words, "--share", also="--kernel NAME, ")
        if len(flags.rest) != 1:
            raise UsageError("%kit use pod takes the address of a Jupyter server, or a pod's id.")
        where, share = flags.rest[0], "--share" in flags.given
        if where.isalnum() and where != "localhost":  # an address has at least a dot or a colon
            pod = Pod(id=where, kernel=kernel, share=share)
        else:
            pod = Pod(where, kernel=kernel, share=share)
            if not pod.address.token.reveal():
                token = self._asked(pod.address.label)
                pod = Pod(where, token=token, kernel=kernel, share=share)
        api.use(pod)
        print(f"Jobs run on {pod.name} from now on.")
        return pod

    def _asked(self, label: str) -> str:
        """A token, typed unseen."""
        from getpass import getpass

        in_kernel = getattr(self.shell, "kernel", None) is not None
        try:
            # without a terminal getpass would wait for whoever feeds the process
            if in_kernel or (sys.stdin is not None and sys.stdin.isatty()):
                return str(getpass(f"Token of {label} (empty if it wants none): "))
        except (EOFError, StdinNotImplementedError):  # a front end that cannot ask
            pass
        raise UsageError(
            f"no token is given for {label}, and nobody can be asked for it here: set KIT_POD_TOKEN, "
            "or write kit.use(kit.Pod(url, token=...))."
        )

    def _panel(self, words: list[str]) -> None:
        flags = _flags("panel", words, "--all")
        _no_more("panel", flags.rest)
        looking.panel(all_sessions="--all" in flags.given)

    def _export(self, words: list[str]) -> Any:
        parser = exportline.magic_parser()
        given = parser.parse_args(words)
        if given.help:
            print(parser.format_help())
            return None
        return shipping.export(given.path, **exportline.words_of(given).keywords())

    def _autorun(self, words: list[str]) -> None:
        if words not in (["on"], ["off"]):
            raise UsageError("%kit autorun takes `on` or `off`.")
        self.session.autorun = words == ["on"]
        what = "runs the last input again" if self.session.autorun else "only registers"
        print(f"%%handler {what} from now on.")

    def _free(self, words: list[str]) -> Any:
        _no_more("free", words)
        return api.free()

    def _sample(self, words: list[str]) -> None:
        sampler = self.session.sampler
        if words:
            try:
                [text] = words
                sampler.hz = float(text)
            except ValueError:
                raise UsageError(
                    "%kit sample takes a number from 0.1 to 200: %kit sample 20."
                ) from None
        print(f"{sampler.hz:g} memory samples a second while jobs run.")

    def _history(self, words: list[str]) -> Any:
        if len(words) > 1 or (words and not words[0].isdigit()):
            raise UsageError("%kit history takes a number of jobs: %kit history 50.")
        return api.jobs(limit=int(words[0]) if words else 20)


def _option(words: list[str], name: str) -> tuple[list[str], str | None]:
    """Take ``--name VALUE`` or ``--name=VALUE`` out of the words; None if it is not there."""
    for index, word in enumerate(words):
        if word == name:
            if index + 1 == len(words):
                raise UsageError(f"{name} needs a value.")
            return [*words[:index], *words[index + 2 :]], words[index + 1]
        if word.startswith(f"{name}="):
            return [*words[:index], *words[index + 1 :]], word.partition("=")[2]
    return words, None


class _Flags:
    def __init__(self, given: set[str], rest: list[str]) -> None:
        self.given, self.rest = given, rest


def _flags(verb: str, words: list[str], *known: str, also: str = "") -> _Flags:
    unknown = [w for w in words if w.startswith("-") and w not in known]
    if unknown:
        has = also + ", ".join(known)
        raise UsageError(f"%kit {verb} has no option {unknown[0]}. It has: {has}.")
    return _Flags({w for w in words if w in known}, [w for w in words if w not in known])


def _no_more(verb: str, words: list[str]) -> None:
    if words:
        raise UsageError(f"%kit {verb} takes nothing more, not {' '.join(words)!r}.")


def _said(call: Callable[[], Any]) -> Any:
    """A magic shows the kit's own errors as one sentence, not as a traceback of the kit."""
    try:
        return call()
    except KitError as exc:
        raise MagicError(str(exc)) from None


def completer() -> Any:
    """An IPython matcher for the options of ``%%handler`` and the verbs of ``%kit``."""
    import re

    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher()
    def kit_matcher(context: Any) -> dict[str, Any]:
        line = context.full_text.split("\n")[context.cursor_line][: context.cursor_position]
        fragment, words = "", []
        if found := re.match(r"%%handler\b.*?(--[\w-]*)$", line):
            fragment = found[1]
            words = [o for o in options() if o.startswith(fragment)]
        elif found := re.match(r"%kit +(\w*)$", line):
            fragment = found[1]
            words = [v for v in _VERBS if v.startswith(fragment)]
        return {
            "completions": [SimpleCompletion(word, type="option") for word in words],
            "matched_fragment": fragment,
            "suppress": bool(words),
        }

    kit_matcher.matcher_priority = 100
    return kit_matcher
