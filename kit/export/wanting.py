"""Which environment variable a worker failed for: a KeyError says a name and not whose it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from kit.export.place import manifest
from kit.export.surface import variables_of
from kit.recorded import image_env

_MISSING = re.compile(r"KeyError(?:'>)?: ['\"]+([A-Za-z_][A-Za-z0-9_]*)['\"]")


def wanting(folder: Path, said: str) -> str:
    """How to go on if what a worker said is a KeyError of a variable that its code reads.

    Parameters
    ----------
    folder : Path
        The worker's; its Python files are read.
    said : str
        An error with its type in front, or what the process printed last.

    Returns
    -------
    str
        A sentence without its full stop; ``""`` if that is not what happened.
    """
    names = set(_MISSING.findall(said)) - set(image_env(folder))
    if not names:
        return ""
    read = {variable.name for variable in variables_of(_trees(folder)) if variable.required}
    found = sorted(names & read)
    if not found:
        return ""
    name = found[0]
    return (
        f"the worker has no environment variable {name}: write `%env {name}=...` in a cell or "
        f'kit.export(env={{"{name}": ...}}), and export again; a key is set where the worker is started, '
        "and on the endpoint"
    )


def _trees(folder: Path) -> list[ast.Module]:
    trees = []
    # not all below the folder: it may be a person's own, with an environment in it
    copied = [folder / name for name in manifest(folder) or () if name.endswith(".py")]
    for path in sorted({*folder.glob("*.py"), *copied}):
        try:
            trees.append(ast.parse(path.read_text("utf-8")))
        except (OSError, SyntaxError, ValueError):
            continue  # not what failed with a KeyError
    return trees
