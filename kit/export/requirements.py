"""``requirements.txt``: what the exported code imports, in the versions installed here."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.export.imports import Import, imports_of
from kit.export.installed import Line, canonical, direct_url, folder_of, line_of, line_there
from kit.export.owners import owners, providers
from kit.export.piplines import Wish, Wishes
from kit.export.unseen import unseen
from kit.podinfo import Provider

#: a notebook's own tools: installed by its pip lines, and no part of a worker
_TOOLS = {
    *("handler-kit", "ipykernel", "ipython", "ipywidgets", "jupyter", "jupyterlab", "nbformat"),
    *("notebook", "pip", "setuptools", "wheel", "uv", "anywidget", "jupyterlab-widgets"),
}


#: gives the distribution of another machine that provides a module, by the module's first name
There = Callable[[str], Provider | None]


def nowhere(module: str) -> Provider | None:  # noqa: ARG001 - as any other
    """No other machine is in use."""
    return None


@dataclass(frozen=True, slots=True)
class Requirements:
    """The file's text, and what it could not say.

    Attributes
    ----------
    text : str
    notes : tuple of str
        One sentence each.
    local : tuple of str
        Imported modules that are of no installed distribution and no siblings.
    names : tuple of str
        Distributions it names, in their canonical form.
    git : bool
        Whether a line needs ``git`` to be installed.
    unknown : tuple of str
        First names of imported modules that nothing here or on a pod provides: no line has them.
    """

    text: str
    notes: tuple[str, ...]
    local: tuple[str, ...]
    names: tuple[str, ...] = ()
    git: bool = False
    unknown: tuple[str, ...] = ()


def requirements(
    sources: str | Sequence[ast.Module],
    *,
    siblings: Collection[str] = (),
    outside: Mapping[str, str] | None = None,
    wishes: Wishes | None = None,
    also: Sequence[Wish] = (),
    notebook: Collection[str] = (),
    there: There = nowhere,
) -> Requirements:
    """Requirements of modules.

    Parameters
    ----------
    sources : str or sequence of ast.Module
        Source or parsed modules; imports inside functions count too.
    siblings : collection of str
        First names of modules that the bundle holds itself.
    outside : mapping of str to str or None
        First names of modules that it should hold and cannot, with the reason.
    wishes : Wishes or None
        What the notebook's pip lines install.
    also : sequence of Wish
        Further requirements that a person has asked for; they hold as they are.
    notebook : collection of str
        First names of all modules that the notebook imports anywhere: what it installs and imports
        only for itself is no requirement.
    there : callable
        Which distribution of a pod in use provides a module that is not here.

    Returns
    -------
    Requirements
        ``runpod`` is always among them; the standard library never is.
    """
    trees = [ast.parse(sources)] if isinstance(sources, str) else list(sources)
    return _Collector(siblings, outside or {}, wishes or Wishes(), notebook, there).run(trees, also)


class _Collector:
    def __init__(
        self,
        siblings: Collection[str],
        outside: Mapping[str, str],
        wishes: Wishes,
        notebook: Collection[str],
        there: There,
    ) -> None:
        self.there = there
        self.unknown: list[str] = []
        self.owners = owners()
        self.siblings, self.outside, self.wishes = set(siblings), outside, wishes
        self.notebook = notebook
        self.extras: dict[str, set[str]] = {}
        self.lines: dict[str, Line] = {}
        self.notes: list[str] = list(wishes.notes)
        self.local: list[str] = []

    def run(self, trees: Sequence[ast.Module], also: Sequence[Wish]) -> Requirements:
        for wish in (*self.wishes.packages, *also):
            self.extras.setdefault(canonical(wish.name), set()).update(wish.extras)
        for found in (Import("runpod"), *(i for tree in trees for i in imports_of(tree))):
            self._import(found)
        for tree in trees:
            self._unseen(tree)
        self._wished()
        for wish in also:
            self.lines[canonical(wish.name)] = Line(wish.text) if wish.specifier else self._of(wish)
        lines = [self.lines[key] for key in sorted(self.lines)]
        indexes = dict.fromkeys(line.index for line in lines if line.index)
        text = "".join(f"--extra-index-url {index}\n" for index in indexes)
        return Requirements(
            text + "".join(f"{line.text}\n" for line in lines),
            tuple(dict.fromkeys(self.notes)),
            tuple(self.local),
            tuple(sorted(self.lines)),
            any(" @ git+" in line.text for line in lines),
            tuple(self.unknown),
        )

    def _import(self, found: Import) -> None:
        top = found.module.partition(".")[0]
        if not top or top in sys.stdlib_module_names or top in self.local or top in self.siblings:
            return
        names = providers(found.module, self.owners.get(top, ()))
        if not names:
            self._unowned(found, top)
        elif len(names) > 1:
            self.notes.append(
                f"`{found.module}` comes from several distributions ({', '.join(names)}); "
                "requirements.txt names them all."
            )
        for name in names:
            self._add(name)

    def _add(self, name: str) -> None:
        key = canonical(name)
        if key not in self.lines:
            self.lines[key] = line_of(name, self.extras.get(key, ()), self.wishes.indexes)
            if self.lines[key].note:
                self.notes.append(self.lines[key].note)

    def _unowned(self, found: Import, top: str) -> None:
        if top == "runpod":
            self.lines["runpod"] = Line("runpod")
            self.notes.append(
                "runpod is not installed here, so requirements.txt names no version of it."
            )
            return
        origin = _origin(top)
        if origin is not None:
            owner = _installed_from(origin)
            if owner is not None:
                self._add(owner)
                return
            self.local.append(top)
            why = self.outside.get(top, "belongs to no installed distribution")
            self.notes.append(
                f"`{top}` ({origin.name}) {why} and is not copied: "
                "put it beside handler.py and into the Dockerfile's COPY."
            )
        elif (far := self.there(top)) is not None:
            self.lines[canonical(far.name)] = line = line_there(
                far.name, far.version, far.target, self.wishes.indexes
            )
            self.notes.append(line.note)
        elif not found.optional:
            self.unknown.append(top)
            self.notes.append(
                f"no installed distribution provides `{found.module}`: add what does."
            )

    def _unseen(self, tree: ast.Module) -> None:
        for name, word in unseen(tree):
            if name in self.lines:
                continue
            if _is_installed(name):
                self._add(name)
            else:
                self.notes.append(f"`{word}` needs {name}, which is not installed here.")

    # -- what the notebook installs -----------------------------------------------------------------

    def _wished(self) -> None:
        unused = []
        for wish in self.wishes.packages:
            name = wish.name or _from_url(wish.url)
            key = canonical(name)
            if not name:
                self.notes.append(
                    "the notebook installs something from a URL, and nothing that is installed here says "
                    "that it came from there: add it to requirements.txt."
                )
            elif key in self.lines or key in _TOOLS:
                continue
            elif not _is_installed(name):
                self.lines[key] = Line(Wish(name, wish.extras, wish.specifier).text)
                self.notes.append(
                    f"the notebook installs {name}, which is not there in this kernel."
                )
            elif self._modules(key) & set(self.notebook):
                unused.append(name)
            else:  # imported by nobody: a plug-in of another package
                self._add(_proper(name))
        if unused:
            self.notes.append(
                f"installed by the notebook and left out, because nothing that was kept imports it: "
                f"{', '.join(sorted(unused))}."
            )

    def _modules(self, key: str) -> set[str]:
        return {top for top, names in self.owners.items() if key in map(canonical, names)}

    def _of(self, wish: Wish) -> Line:
        if _is_installed(wish.name):
            return line_of(_proper(wish.name), wish.extras, self.wishes.indexes)
        return Line(wish.text)


def _origin(top: str) -> Path | None:
    """The file or folder of a module that no distribution lists; None if there is no such module."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if spec.origin and spec.origin != "namespace":
        return Path(spec.origin)
    return Path(next(iter(spec.submodule_search_locations or [top]), top))


def _installed_from(origin: Path) -> str | None:
    """The editable distribution whose folder holds a file: its wheel lists no modules."""
    for dist in importlib.metadata.distributions():
        folder = folder_of(dist)
        if folder is not None and origin.is_relative_to(folder):
            return str(dist.metadata["Name"])
    return None


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False
    return True


def _proper(name: str) -> str:
    """How an installed distribution spells its own name."""
    return str(importlib.metadata.distribution(name).metadata["Name"] or name)


def _from_url(url: str) -> str:
    """The distribution that was installed from a URL; ``""`` if none says so."""
    wanted = url.removeprefix("git+").partition("#")[0].rstrip("/")
    for dist in importlib.metadata.distributions():
        origin = direct_url(dist) or {}
        have = str(origin.get("url", "")).rstrip("/")
        if have and (
            wanted == have or wanted.rpartition("@")[0] == have or wanted == f"{have}.git"
        ):
            return str(dist.metadata["Name"])
    return ""
