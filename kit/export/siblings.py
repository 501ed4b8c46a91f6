"""Modules of the project that the handler imports, with their own imports and their data.

Found as Python would find them now: what the kernel has loaded first, then the working directory
and ``sys.path``. Nothing is imported. A module keeps its place relative to the ``sys.path`` entry it
was found under, so that ``handler.py`` beside it imports it by the same name.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import ExportError
from kit.export.imports import imports_of
from kit.export.project import Project, is_own

#: never copied: the kit is no part of a worker
_KIT = "kit"
_COMPILED = tuple(importlib.machinery.EXTENSION_SUFFIXES)
_MANY = 500  # files of data in one folder of a package
_LEFT = (".pyc", ".pyo", ".ipynb", ".py")


@dataclass(frozen=True, slots=True)
class Sibling:
    """One file to be copied.

    Attributes
    ----------
    name : str
        Its path in the bundle, ``/`` between the parts.
    path : Path
        Where it lies, links resolved.
    module : str
        Dotted name; ``""`` for a package's data.
    tree : ast.Module or None
        Parsed; None for data and compiled modules.
    text : str
        Source; ``""`` for data.
    """

    name: str
    path: Path
    module: str
    tree: ast.Module | None = None
    text: str = ""


@dataclass(slots=True)
class Siblings:
    """What was found.

    Attributes
    ----------
    files : dict of str to Sibling
        By path in the bundle, in the order in which they were reached.
    tops : set of str
        First names of the modules that are copied.
    outside : dict of str to str
        First names of modules of no distribution that cannot be copied, each with the reason.
    notes : list of str
    """

    files: dict[str, Sibling] = field(default_factory=dict)
    tops: set[str] = field(default_factory=set)
    outside: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Top:
    """A module or package of the project: the folder that holds it, and what stands before its name."""

    base: Path
    prefix: str


def find_siblings(source: str, project: Project) -> Siblings:
    """Everything of the project that ``handler.py`` needs in order to be imported.

    Parameters
    ----------
    source : str
        Of ``handler.py``.
    project : Project

    Raises
    ------
    ExportError
        A module that is needed is not Python, or has the exported file's own name.
    """
    return _Search(ast.parse(source), project).run()


class _Search:
    def __init__(self, tree: ast.Module, project: Project) -> None:
        self.tree = tree
        self.project = project
        self.found = Siblings()
        self.places: dict[str, _Top | None] = {}
        self.kept_paths = _path_constants(tree)
        self.whole: set[str] = set()

    def run(self) -> Siblings:
        todo = [(self.tree, "", "handler.py")]
        while todo:
            tree, package, where = todo.pop()
            for imported in imports_of(tree, package):
                if not imported.module:
                    todo += self._unknown(package, where)
                    continue
                for sibling in self._reach(imported.module):
                    if sibling.tree is not None:
                        todo.append((sibling.tree, _package(sibling), sibling.name))
        self._package_data()
        return self.found

    def _reach(self, module: str) -> Iterator[Sibling]:
        """Files that importing a dotted name runs, those that are new."""
        parts = module.split(".")
        top = self._place(parts[0])
        if top is None:
            return
        folder, shown = top.base, top.prefix
        for depth, part in enumerate(parts):
            if not part.isidentifier():
                return
            # the order in which Python looks: a package, a module, a folder without __init__.py
            package = folder / part / "__init__.py"
            files = [folder / f"{part}{suffix}" for suffix in (*_COMPILED, ".py")]
            module_file = next((path for path in files if path.is_file()), None)
            if package.is_file():
                yield from self._add(package, f"{shown}{part}/__init__.py", parts[: depth + 1])
            elif module_file is not None:
                yield from self._add(module_file, shown + module_file.name, parts[: depth + 1])
                return
            elif not (folder / part).is_dir():
                return
            folder, shown = folder / part, f"{shown}{part}/"

    def _add(self, path: Path, name: str, parts: list[str]) -> Iterator[Sibling]:
        if name in self.found.files:
            return
        why = self.project.refusal(path)
        if why:
            self.found.notes.append(f"`{'.'.join(parts)}` ({name}) {why} and is not copied.")
            return
        if name == "handler.py":
            raise ExportError(
                "the code imports `handler` from handler.py beside it, which is also the name of the "
                "exported file: rename that module, import it by its new name, and export again."
            )
        module = ".".join(parts)
        sibling = Sibling(name, path.resolve(), module)
        if path.suffix == ".py":
            text, tree = _parsed(path, name)
            sibling = Sibling(name, path.resolve(), module, tree, text)
        else:
            self.found.notes.append(
                f"{name} is compiled for this Python and this machine; the image must be alike."
            )
        self.found.files[name] = sibling
        self.found.tops.add(parts[0])
        yield sibling

    def _unknown(self, package: str, where: str) -> list[tuple[ast.Module, str, str]]:
        """After an import of a name that only the program knows: the whole package it is in."""
        top = package.partition(".")[0]
        if top not in self.found.tops:
            self.found.notes.append(
                f"{where} imports modules whose names only the running program knows: "
                "what they are cannot be seen, and is not copied."
            )
            return []
        place = self.places.get(top)
        if top in self.whole or place is None:
            return []
        self.whole.add(top)
        new: list[tuple[ast.Module, str, str]] = []
        for path in sorted((place.base / top).rglob("*.py")):
            inner = path.relative_to(place.base)
            parts = (
                [*inner.parts[:-1], inner.stem] if inner.stem != "__init__" else inner.parts[:-1]
            )
            if any(part.startswith(".") for part in inner.parts) or not is_own(path.resolve()):
                continue
            for sibling in self._add(path, place.prefix + inner.as_posix(), list(parts)):
                if sibling.tree is not None:
                    new.append((sibling.tree, _package(sibling), sibling.name))
        return new

    # -- where a first name lies --------------------------------------------------------------------

    def _place(self, top: str) -> _Top | None:
        if top not in self.places:
            self.places[top] = self._find(top)
        return self.places[top]

    def _find(self, top: str) -> _Top | None:
        if top == _KIT or top in sys.builtin_module_names:
            return None
        for path in _candidates(top, self.project.folder):
            real = path.resolve()
            if not is_own(real):
                return None  # an installed one comes first
            if not real.is_relative_to(self.project.root):
                if not _is_standard(top):
                    self.found.outside[top] = f"lies in {path.parent}, outside of the project"
                return None
            if _is_standard(top) and top not in sys.modules:
                return None  # the standard library's is found first by a kernel, and by a worker
            return _Top(path.parent, self._prefix(path.parent))
        return None

    def _prefix(self, base: Path) -> str:
        """What stands before a module's name in the bundle.

        ``src/`` if the handler itself puts ``src`` on ``sys.path``, relative to the working directory;
        else nothing, so that it is found beside ``handler.py``.
        """
        folder = self.project.folder
        for text in self.kept_paths:
            if (folder / text).resolve() == base.resolve() != folder:
                inside = base.resolve()
                if inside.is_relative_to(folder):
                    return inside.relative_to(folder).as_posix() + "/"
        return ""

    # -- data of packages ---------------------------------------------------------------------------

    def _package_data(self) -> None:
        """Files beside a package's modules, and below it in folders without modules, as a wheel has."""
        folders = {
            (sibling.path.parent, sibling.name.rpartition("/")[0])
            for sibling in list(self.found.files.values())
            if "/" in sibling.name
            if sibling.name.endswith("/__init__.py") or sibling.module.count(".")
        }
        for folder, shown in sorted(folders):
            self._data_below(folder, shown)

    def _data_below(self, folder: Path, shown: str) -> None:
        for path in sorted(folder.iterdir()):
            name = f"{shown}/{path.name}"
            if path.name.startswith((".", "__pycache__")) or name in self.found.files:
                continue
            if path.is_dir():
                if path.is_symlink() or not is_own(path):
                    continue
                files = list(itertools.islice(path.rglob("*"), _MANY + 1))
                if len(files) > _MANY:
                    self.found.notes.append(
                        f"{name} holds more than {_MANY} files and is not copied: put it on the network "
                        "volume or into the image."
                    )
                elif not any(file.suffix == ".py" for file in files):
                    self._data_below(path, name)
            elif path.suffix not in _LEFT and not path.name.endswith(_COMPILED):
                why = self.project.refusal(path)
                if why:
                    self.found.notes.append(f"{name} {why} and is not copied.")
                else:
                    self.found.files[name] = Sibling(name, path.resolve(), "")


def _candidates(top: str, folder: Path) -> Iterator[Path]:
    """The file or folder of a module, the likeliest first; a package is its folder."""
    loaded = sys.modules.get(top)
    spec = getattr(loaded, "__spec__", None) if loaded is not None else None
    if loaded is None:
        try:
            path = [str(folder), *(entry or str(folder) for entry in sys.path)]
            spec = importlib.machinery.PathFinder.find_spec(top, path)
            spec = spec or importlib.util.find_spec(top)
        except (ImportError, ValueError, AttributeError):
            spec = None
    places = list(getattr(spec, "submodule_search_locations", None) or ())
    origin = getattr(spec, "origin", None) or getattr(loaded, "__file__", None)
    if places:
        for place in places:
            yield Path(place)
    elif isinstance(origin, str) and origin not in ("built-in", "frozen", "namespace"):
        yield Path(origin)


def _is_standard(top: str) -> bool:
    return top in sys.stdlib_module_names


def _package(sibling: Sibling) -> str:
    """The package that a module's relative imports start from."""
    if sibling.name.endswith("/__init__.py"):
        return sibling.module
    return sibling.module.rpartition(".")[0]


def _parsed(path: Path, name: str) -> tuple[str, ast.Module]:
    try:
        data = path.read_bytes()
        return importlib.util.decode_source(data), ast.parse(data, filename=name)
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError) as exc:
        line = getattr(exc, "lineno", None)
        where = f", line {line}" if line else ""
        reason = getattr(exc, "msg", None) or getattr(exc, "strerror", None) or str(exc)
        raise ExportError(
            f"{name}, which the handler imports, cannot be used: {reason}{where}. Correct it, restart "
            "the kernel or reload the module, and export again."
        ) from None


def _path_constants(tree: ast.Module) -> list[str]:
    """Strings of a module that touches ``sys.path``; one of them may be the folder it adds."""
    touches = any(
        isinstance(node, ast.Attribute)
        and node.attr == "path"
        and isinstance(node.value, ast.Name)
        and node.value.id == "sys"
        for node in ast.walk(tree)
    )
    if not touches:
        return []
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and 0 < len(node.value) < 400
        and "\0" not in node.value
    ]
