"""What a worker takes from outside: environment variables in its code, keys in its inputs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

#: set by RunPod, by the image or by Linux: nobody has to give them
_GIVEN = (
    "RUNPOD_",
    "PATH",
    "HOME",
    "PWD",
    "USER",
    "HOSTNAME",
    "LANG",
    "LC_",
    "TERM",
    "CUDA_VISIBLE",
)
_NUMBERS = ("int", "float")
_OFF = ("false", "0", "no", "off", "true", "1", "yes", "on")


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable that code reads.

    Attributes
    ----------
    name : str
    required : bool
        Whether the code fails without it: ``os.environ["NAME"]``.
    default : str or None
        The literal default; None if there is none, or it is no text.
    kind : str
        ``string``, ``number`` or ``boolean``, from what the code makes of it.
    secret : bool
        Whether it is a key by its name.
    """

    name: str
    required: bool
    default: str | None = None
    kind: str = "string"
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the inputs.

    Attributes
    ----------
    name : str
    types : tuple of str
        JSON types seen, sorted.
    always : bool
        Whether every input had it.
    example : object
    """

    name: str
    types: tuple[str, ...]
    always: bool
    example: Any


def variables_of(trees: Iterable[ast.Module]) -> tuple[Variable, ...]:
    """Environment variables that modules read by a literal name, sorted."""
    from kit.secret import is_key_name

    found: dict[str, Variable] = {}
    for tree in trees:
        for variable in _read(tree):
            if variable.name.startswith(_GIVEN):
                continue
            before = found.get(variable.name)
            if before is not None:
                variable = replace(
                    before,
                    required=before.required or variable.required,
                    default=before.default if before.default is not None else variable.default,
                    kind=before.kind if before.kind != "string" else variable.kind,
                )
            found[variable.name] = replace(variable, secret=is_key_name(variable.name))
    return tuple(found[name] for name in sorted(found))


def keys_of(inputs: Sequence[Any]) -> tuple[Key, ...]:
    """Keys of the inputs that are objects, in the order in which they were first seen."""
    objects = [value for value in inputs if isinstance(value, dict)]
    names = dict.fromkeys(name for value in objects for name in value)
    return tuple(
        Key(
            name,
            tuple(sorted({type_of(value[name]) for value in objects if name in value})),
            all(name in value for value in objects),
            next(value[name] for value in reversed(objects) if name in value),
        )
        for name in names
    )


def type_of(value: Any) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", list: "array"}
    return names.get(type(value), "object")


def _read(tree: ast.Module) -> Iterator[Variable]:
    getters, environs = {"os.getenv"}, {"os.environ"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            for alias in node.names:
                if alias.name == "getenv":
                    getters.add(alias.asname or alias.name)
                elif alias.name == "environ":
                    environs.add(alias.asname or alias.name)
    made = _made_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            if ast.unparse(node.value) in environs:
                name = _text(node.slice)
                if name:
                    yield Variable(name, True, None, made.get(id(node), "string"))
        elif isinstance(node, ast.Call) and node.args:
            func = ast.unparse(node.func)
            if func in getters or any(func == f"{environ}.get" for environ in environs):
                name = _text(node.args[0])
                if name:
                    yield _with_default(name, node, made.get(id(node), ""))


def _with_default(name: str, node: ast.Call, kind: str) -> Variable:
    given = node.args[1] if len(node.args) > 1 else None
    value = given.value if isinstance(given, ast.Constant) else None
    default = str(value) if value is not None else None
    if not kind and default is not None and default.lower() in ("true", "false"):
        kind = "boolean"
    return Variable(name, False, default, kind or "string")


def _made_of(tree: ast.Module) -> dict[int, str]:
    """What an expression is made into: ``int(os.environ[...])``, ``os.getenv(...) == "1"``."""
    made: dict[int, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
            if node.func.id in _NUMBERS:
                made[id(node.args[0])] = "number"
        elif isinstance(node, ast.Compare) and len(node.comparators) == 1:
            value = _text(node.comparators[0])
            left = node.left
            while (
                isinstance(left, ast.Call)
                and isinstance(left.func, ast.Attribute)
                and not left.args
            ):
                left = left.func.value  # os.getenv("X", "0").lower() == "true"
            if value.lower() in _OFF:
                made[id(left)] = "boolean"
    return made


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
