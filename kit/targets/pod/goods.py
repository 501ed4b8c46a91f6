"""Send a pod what a handler needs beside its code: files, and the names of packages."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import importlib.metadata
import itertools
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import TargetError, UsageError
from kit.source.statements import Statement
from kit.targets.pod.letters import Letter
from kit.targets.pod.tether import Tether

_PIECE_BYTES = 1 << 20
_KEPT_BYTES = 8 << 20
#: how long an export waits for a pod to look at its packages
_ANSWER_S = 5.0
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\[\],<>=!~ ;'\"()+*-]*(?: @ https://\S+)?")


@dataclass(frozen=True, slots=True)
class Goods:
    """A file to send: where it is here, and its name below the server's folder."""

    path: Path
    name: str


def goods_of(paths: Sequence[object]) -> list[Goods]:
    """Files of paths and folders; a relative path keeps its folders, another one only its name.

    Raises
    ------
    UsageError
        One is not there, or would lie outside the server's folder.
    """
    found: list[Goods] = []
    for given in paths:
        path = Path(str(given)).expanduser()
        name = Path(path.name) if path.is_absolute() else path
        if ".." in name.parts or not name.name:
            raise UsageError(f"pod.put: {path} would lie outside the server's folder on the pod.")
        if path.is_dir():
            for inner in sorted(path.rglob("*")):
                if inner.is_file() and "__pycache__" not in inner.parts:
                    found.append(Goods(inner, (name / inner.relative_to(path)).as_posix()))
        elif path.is_file():
            found.append(Goods(path, name.as_posix()))
        else:
            raise UsageError(f"pod.put: there is no {path} in {Path.cwd()}.")
    if not paths:
        raise UsageError("pod.put takes files and folders: pod.put('weights', 'labels.json').")
    return found


class Carrier:
    """Sends files over a tether; belongs to its event loop."""

    def __init__(self) -> None:
        self._numbers = itertools.count(random.randrange(1 << 40))  # not those of a former kernel
        self._answers: dict[int, asyncio.Future[tuple[Any, ...]]] = {}

    def heard(self, letter: Letter) -> None:
        """The pod answers."""
        answer = self._answers.pop(letter.head[0], None)
        if answer is not None and not answer.done():
            answer.set_result(letter.head[1:])

    def lose(self, reason: str) -> None:
        """It will not."""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(TargetError(reason))
        self._answers.clear()

    async def put(self, tether: Tether, goods: Sequence[Goods]) -> list[str]:
        """Send the files that are not on the pod as they are here; their names."""
        loop = asyncio.get_running_loop()
        here = [(one.name, await loop.run_in_executor(None, _digest, one.path)) for one in goods]
        number, answer = self._ask()
        tether.post([Letter("files", (number,), json.dumps(here))])
        wanted, refusal = await answer
        if refusal is not None:
            raise TargetError(f"pod.put: {refusal}")
        for one in goods:
            if one.name in wanted:
                await self._send(tether, one)
        number, answer = self._ask()
        tether.post([Letter("filed", (number,))])
        (failed,) = await answer
        if failed:
            raise TargetError("pod.put: the pod could not write " + "; ".join(failed) + ".")
        return [one.name for one in goods if one.name in wanted]

    async def provider(self, tether: Tether, module: str) -> Any:
        """Name and version of what gives a module there; None if nothing does, or no answer comes."""
        number, answer = self._ask()
        tether.post([Letter("module", (number, module))])
        try:
            (found,) = await asyncio.wait_for(answer, _ANSWER_S)
        except asyncio.TimeoutError:
            self._answers.pop(number, None)
            return None
        return found

    def _ask(self) -> tuple[int, asyncio.Future[tuple[Any, ...]]]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        return number, answer

    async def _send(self, tether: Tether, one: Goods) -> None:
        loop = asyncio.get_running_loop()
        mode = one.path.stat().st_mode
        with one.path.open("rb") as file:
            first = True
            while True:
                data = await loop.run_in_executor(None, file.read, _PIECE_BYTES)
                last = len(data) < _PIECE_BYTES
                tether.post([Letter("piece", (one.name, first, last, mode), None, data)])
                if last:
                    return
                first = False
                await tether.room(_KEPT_BYTES)


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            found.update(piece)
    return found.hexdigest()


def wanted_of(requirements: Sequence[str]) -> list[tuple[str | None, str]]:
    """Requirements as a person gives them; UsageError for what is none."""
    given: Sequence[object] = requirements  # a person's, whatever the annotation says
    for one in given:
        if not isinstance(one, str) or not _REQUIREMENT.fullmatch(one):
            raise UsageError(
                f"pod.install takes requirements such as 'diffusers>=0.30', not {one!r}."
            )
    return [(None, one) for one in requirements]


def imported_of(kept: Sequence[Statement]) -> list[tuple[str | None, str]]:
    """Modules that statements import, with the requirement that gives them, as it is here."""
    distributions = importlib.metadata.packages_distributions()
    found: dict[str | None, str] = {}
    for module in itertools.chain.from_iterable(_modules(one.node) for one in kept):
        if module in sys.stdlib_module_names or module in found:
            continue
        name = next(iter(distributions.get(module, ())), module)
        found[module] = name
    return list(found.items())


def _modules(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            for alias in inner.names:
                yield alias.name.partition(".")[0]
        elif isinstance(inner, ast.ImportFrom) and inner.module and not inner.level:
            yield inner.module.partition(".")[0]
