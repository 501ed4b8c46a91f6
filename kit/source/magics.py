"""Magics and shell lines as IPython's own transformer reads them."""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from typing import Any

#: cell magics whose body runs in the notebook's namespace, and line magics whose argument does
_TRANSPARENT = ("time", "capture", "prun")
_SHELL = {"system", "getoutput"}
#: IPython takes these without their % sign if nothing else is in the cell
_AUTOMAGIC = {"cd", "conda", "mamba", "micromamba", "pip", "pushd", "run", "set_env", "uv"}


@dataclass(frozen=True, slots=True)
class Magic:
    """A magic or shell line. ``kind`` is ``"line"``, ``"cell"`` or ``"shell"``."""

    kind: str
    name: str
    line: str
    body: str = ""


def signed(typed: str) -> str:
    """A cell of one line such as ``pip install x`` with the % sign that IPython puts there."""
    words = typed.split(None, 1)
    if not words or words[0] not in _AUTOMAGIC:
        return typed
    lines = [line for line in typed.splitlines() if line.strip()]
    words = lines[0].split() if len(lines) == 1 else []
    if words[1:] and words[0] in _AUTOMAGIC and words[1][0] not in "=,":
        return typed.replace(lines[0].strip(), "%" + lines[0].strip(), 1)
    return typed


def transformed(source: str) -> str:
    """Source as IPython would run it: its magics are calls."""
    from IPython.core.inputtransformer2 import TransformerManager

    manager: Any = TransformerManager  # untyped
    return str(manager().transform_cell(source))


def line_map(typed: str, source: str) -> list[int]:
    """For each line of the transformed source its line as typed, from 1."""
    a, b = typed.splitlines(), source.splitlines()
    # IPython takes blank lines off the top
    lead = next((i for i, line in enumerate(a) if line.strip()), 0)
    a = a[lead:]
    result = [lead + 1] * len(b)
    for _tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        for k in range(b1, b2):
            result[k] = lead + min(a1 + (k - b1), max(a2 - 1, a1)) + 1
    return result


def is_transparent(magic: Magic) -> bool:
    """Whether a magic runs Python of the notebook itself."""
    return magic.name in _TRANSPARENT and (magic.kind == "cell" or bool(magic.line.strip()))


def magic_of(node: ast.stmt) -> Magic | None:
    """The magic that IPython's transformer made of a line, if it is one."""
    value = getattr(node, "value", None)
    if not isinstance(node, (ast.Expr, ast.Assign)) or not isinstance(value, ast.Call):
        return None
    func = value.func
    if not (
        isinstance(func, ast.Attribute)
        and isinstance(func.value, ast.Call)
        and isinstance(func.value.func, ast.Name)
        and func.value.func.id == "get_ipython"
    ):
        return None
    texts = [a.value for a in value.args if isinstance(a, ast.Constant) and type(a.value) is str]
    if func.attr in _SHELL and texts:
        return Magic("shell", func.attr, texts[0])
    if func.attr == "run_line_magic" and len(texts) == 2:
        return Magic("line", texts[0], texts[1])
    if func.attr == "run_cell_magic" and len(texts) == 3:
        return Magic("cell", texts[0], texts[1], texts[2])
    return None
