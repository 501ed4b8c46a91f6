"""What magics and shell lines did to the machine, and what an image needs for it.

A worker has neither IPython nor this machine: ``%env`` becomes ENV, what was installed feeds
requirements.txt, and everything else that changed something is said with what would stand for it.
"""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from kit.secret import find_secrets, is_key_name
from kit.source.magics import Magic
from kit.source.shell import (
    SHELL_CELLS,
    commands_of,
    is_install,
    only_looks,
    pip_arguments,
    program,
    split_line,
)
from kit.source.statements import Statement

#: line magics that change where or with what the code below runs, or bind names
_ACTS = {
    "cd": "the code below ran in {what}: relative paths and imports need that folder in the image, "
    "with `WORKDIR {what}`",
    "pushd": "the code below ran in {what}: the image needs that folder, with `WORKDIR {what}`",
    "popd": "changes the working directory: use full paths, or `WORKDIR` in the image",
    "bookmark": "is about folders of this machine",
    "run": "runs `{what}`: import what it defines, and put the file beside handler.py",
    "store": "brings back values of an earlier session: define them in a cell",
    "pylab": "puts numpy and matplotlib into the notebook's names: import what is used",
    "dotenv": "reads a .env file: set its variables on the endpoint, or call load_dotenv()",
    "load": "brings in `{what}`: run the cell it made",
    "macro": "runs other cells",
    "rerun": "runs other cells again",
}
#: cell magics whose body is something else than this notebook's Python
_CELLS_ACT = {
    "writefile": "writes `{what}`: the image needs that file if the code reads or imports it",
    "file": "writes `{what}`: the image needs that file if the code reads or imports it",
    "cython": "compiles code that a worker does not have: build it into a package",
    "python": "runs in a process of its own",
    "python3": "runs in a process of its own",
    "R": "runs in R, which the image would need",
}


@dataclass(frozen=True, slots=True)
class Fate:
    """Why a magic goes, and whether the person must look at it.

    Attributes
    ----------
    reason : str
    question : bool
    """

    reason: str
    question: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """What the magics of a notebook set up outside of Python.

    Attributes
    ----------
    env : tuple of (str, str)
        Variables set by ``%env`` and ``%set_env``, the last value of each; never one that looks like
        a key.
    pip_lines : tuple of str
        What stood behind each ``pip install``, in the order of execution, each once:
        ``shlex.split`` gives its arguments. Never one with a password or a key.
    withheld : tuple of str
        Names of variables that look like keys: they are to be set on the endpoint.
    """

    env: tuple[tuple[str, str], ...] = ()
    pip_lines: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()


def machine_of(statements: Iterable[Statement]) -> Machine:
    """Read what the magics of statements, in the order of execution, set up."""
    env: dict[str, str] = {}
    withheld: dict[str, None] = {}
    lines: dict[str, None] = {}
    for statement in statements:
        if statement.directive == "drop":
            continue
        magic = statement.magic
        for words in _installs(statement):
            line = shlex.join(words)
            if not _computed(line) and not _has_key(words):
                lines.pop(line, None)
                lines[line] = None
        if magic is None:
            continue
        pair = _variable(magic)
        if pair is None or _computed(pair[1]):
            continue
        env.pop(pair[0], None)
        withheld.pop(pair[0], None)
        if _is_key(*pair):
            withheld[pair[0]] = None
        else:
            env[pair[0]] = pair[1]
    return Machine(tuple(env.items()), tuple(lines), tuple(withheld))


def fate_of(statement: Statement) -> Fate:
    """Why a magic is not in the file, with what would stand for it there."""
    magic = statement.magic
    assert magic is not None
    name, line = magic.name, magic.line.strip()
    if name in ("kit", "job", "kit_load", "kit_remote") or (
        name.endswith("load_ext") and line == "kit"
    ):
        return Fate("is the kit's own")
    if name in ("env", "set_env") and magic.kind == "line":
        return _variable_fate(magic)
    installs = list(_installs(statement))
    if installs and not [c for c in commands_of(magic) if not is_install(c) and not only_looks(c)]:
        if any(_has_key(words) for words in installs):
            return Fate(
                "installs packages with a key in the line: it is not copied; "
                "add them to requirements.txt, and the key to the build",
                True,
            )
        if any(_computed(" ".join(words)) for words in installs):
            return Fate("installs packages that Python names: add them to requirements.txt", True)
        return Fate("installs packages; requirements.txt has those that are imported")
    if magic.kind == "shell" or name in SHELL_CELLS:
        return _shell_fate(magic)
    if name in ("conda", "mamba", "micromamba", "uv"):
        return Fate("installs packages; requirements.txt has those that are imported")
    table = _CELLS_ACT if magic.kind == "cell" else _ACTS
    if name in table and (name != "store" or "-r" in line.split()):
        what = _code(line.split()[-1] if line else "")
        return Fate(table[name].format(what=what or "another folder"), name != "bookmark")
    return Fate("is a magic")


def named(magic: Magic) -> str:
    """A magic as a person typed it, a value that looks like a key masked."""
    pair = _variable(magic)
    if pair is not None and _is_key(*pair):
        return f"%{magic.name} {pair[0]}=[redacted]"
    sign = {"line": "%", "cell": "%%", "shell": "!"}[magic.kind]
    return f"{sign}{'' if magic.kind == 'shell' else magic.name + ' '}{magic.line}".rstrip()


# -- variables ----------------------------------------------------------------------------------


def _variable(magic: Magic) -> tuple[str, str] | None:
    """Name and value that ``%env A=B`` and ``%set_env A B`` set, as IPython reads them."""
    if magic.kind != "line" or magic.name not in ("env", "set_env"):
        return None
    line = magic.line.strip()
    split = "=" if "=" in line else " "
    name, found, value = line.partition(split)
    name, value = name.strip(), value.strip()
    return (name, value) if found and name and value else None


def _variable_fate(magic: Magic) -> Fate:
    pair = _variable(magic)
    if pair is None:
        return Fate("only shows something")
    if _computed(pair[1]):
        return Fate(f"sets {pair[0]} to what Python computes: set it on the endpoint", True)
    if _is_key(*pair):
        return Fate(
            f"sets {pair[0]}, which looks like a key: it is not written; set it on the endpoint",
            True,
        )
    return Fate(f"becomes ENV {pair[0]} of the image")


def _is_key(name: str, value: str) -> bool:
    return is_key_name(name) or bool(find_secrets(f'{name} = "{value}"\n'))


def _computed(text: str) -> bool:
    """Whether IPython puts values of Python names into a line: ``$name`` or ``{expression}``."""
    return "{" in text or "$" in text


# -- commands -----------------------------------------------------------------------------------


def _installs(statement: Statement) -> Iterator[list[str]]:
    """Arguments of every ``pip install`` that a statement runs, by magic or by ``subprocess``."""
    if statement.magic is not None:
        commands = commands_of(statement.magic)
    else:
        commands = list(_spawned(statement)) if "subprocess" in statement.text else []
        commands += _systemed(statement) if "os.system" in statement.text else []
    for words in commands:
        if arguments := pip_arguments(words):
            yield arguments


def _spawned(statement: Statement) -> Iterator[list[str]]:
    """Commands given as a list of constants, ``sys.executable`` among them."""
    for node in ast.walk(statement.node):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.List):
            words = [
                e.value if isinstance(e, ast.Constant) and isinstance(e.value, str) else "{}"
                for e in node.args[0].elts
            ]
            if words and ast.unparse(node.args[0].elts[0]) == "sys.executable":
                words[0] = "python"
            yield words


def _systemed(statement: Statement) -> list[list[str]]:
    found: list[list[str]] = []
    for node in ast.walk(statement.node):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.system":
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    found += split_line(argument.value)
    return found


def _has_key(words: list[str]) -> bool:
    for word in words:
        address = word[word.index("https:") :] if "https:" in word else word
        try:
            if urlsplit(address).username or urlsplit(address).password:
                return True
        except ValueError:
            return True
    return bool(find_secrets(shlex.join(words)))


def _shell_fate(magic: Magic) -> Fate:
    acting = [c for c in commands_of(magic) if not only_looks(c) and not is_install(c)]
    if not acting:
        return Fate("only shows something")
    if magic.kind == "shell" and acting[0][0] == "cd":
        return Fate("changes the folder of its own shell only, so nothing")
    first = program(acting[0])
    line = _code(shlex.join(first))
    if first[0] in ("apt", "apt-get"):
        packages = [
            w for w in first[1:] if not w.startswith("-") and w not in ("install", "update")
        ]
        if packages:
            told = "apt-get update && apt-get install -y " + " ".join(packages)
            return Fate(f"the image needs `RUN {_code(told)}` if the code uses it", True)
    more = f" and {len(acting) - 1} more" if len(acting) > 1 else ""
    return Fate(f"the image needs `RUN {line}`{more} if the code depends on it", True)


def _code(text: str, limit: int = 80) -> str:
    plain = " ".join(text.split()).replace("`", "'")
    if find_secrets(plain):
        return "(a line with a key in it)"
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."
