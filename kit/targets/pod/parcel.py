"""The kit's own part that runs on a pod: the modules it needs, as text, under a name of their own.

The name holds the hash of the text, so that two versions never mix and a kernel that was booted by
another one is recognised.
"""

from __future__ import annotations

import ast
import base64
import functools
import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_ENTRY = "targets.pod.remote"
_IMPORT = re.compile(r"^(\s*(?:from|import) )kit(?=[.\s])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent.

    Attributes
    ----------
    package : str
        Under which it is imported there.
    code : str
        One expression statement for the pod's kernel that boots it and binds no name.
    """

    package: str
    code: str


@functools.lru_cache(maxsize=1)
def parcel() -> Parcel:
    """The modules that the pod's side imports, directly or not."""
    sources: dict[str, str] = {}
    todo = [_ENTRY]
    while todo:
        name = todo.pop()
        file = _file(name)
        if file is None or file in sources:
            continue
        sources[file] = (_ROOT / file).read_text(encoding="utf-8")
        todo += _imported(sources[file])
        todo += [name.rpartition(".")[0]] if "." in name else []
    digest = hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()
    package = f"kit_pod_{digest[:12]}"
    files = {file: _IMPORT.sub(rf"\g<1>{package}", text) for file, text in sources.items()}
    files["__init__.py"] = ""
    blob = base64.b64encode(zlib.compress(json.dumps(files).encode(), 9)).decode()
    boot = Path(__file__).with_name("boot.py").read_text(encoding="utf-8")
    code = (
        f"exec(compile({boot!r} + {_CALL!r}, '<kit boot>', 'exec', dont_inherit=True), "
        f"dict(__name__='kit_boot', PACKAGE={package!r}, BLOB={blob!r}, SHELL=get_ipython()))"
    )
    return Parcel(package, code)


_CALL = "\nboot(PACKAGE, BLOB, SHELL)\n"


def _file(name: str) -> str | None:
    stem = name.replace(".", "/")
    for file in (f"{stem}.py", f"{stem}/__init__.py"):
        if (_ROOT / file).is_file():
            return file
    return None


def _imported(source: str) -> list[str]:
    """Dotted names below ``kit`` that a module imports anywhere but for its types."""
    names: list[str] = []

    def walk(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                names.extend(a.name[4:] for a in child.names if a.name.startswith("kit."))
            elif isinstance(child, ast.ImportFrom) and child.module:
                head, _, rest = child.module.partition(".")
                if head == "kit":
                    names.extend([rest] if rest else [])
                    prefix = f"{rest}." if rest else ""
                    names.extend(f"{prefix}{a.name}" for a in child.names)
            walk(child)

    walk(ast.parse(source))
    return names
