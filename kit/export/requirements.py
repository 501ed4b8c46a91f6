"""``requirements.txt``: what the exported code imports, in the versions installed here."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9.!_-]+")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_VCS_URL = re.compile(r"(https|ssh)://[A-Za-z0-9._~/%:+-]+")


@dataclass(frozen=True, slots=True)
class Requirements:
    """The file's text, and what it could not say.

    Attributes
    ----------
    text : str
    notes : tuple of str
        One sentence each.
    local : tuple of str
        Imported modules that lie beside the notebook, not in an installed distribution.
    """

    text: str
    notes: tuple[str, ...]
    local: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Import:
    module: str  # dotted
    optional: bool  # inside a `try`


def requirements(source: str) -> Requirements:
    """Requirements of a module's source.

    Parameters
    ----------
    source : str
        Python source; imports inside functions count too.

    Returns
    -------
    Requirements
        ``runpod`` is always among them; the standard library never is.
    """
    owners = importlib.metadata.packages_distributions()
    lines: dict[str, str] = {}
    notes: list[str] = []
    local: list[str] = []
    wanted = [_Import("runpod", False), *_imports(ast.parse(source))]
    for found in wanted:
        top = found.module.partition(".")[0]
        if top in sys.stdlib_module_names or top in local:
            continue
        names = _owners(found.module, owners.get(top, ()))
        if not names:
            _unowned(found, top, lines, notes, local)
            continue
        if len(names) > 1:
            notes.append(
                f"`{found.module}` comes from several distributions ({', '.join(names)}); "
                "requirements.txt names them all."
            )
        for name in names:
            key = re.sub(r"[-_.]+", "-", name).lower()
            if key not in lines:
                line, note = _line(name)
                lines[key] = line
                notes.extend([note] if note else [])
    text = "".join(lines[key] + "\n" for key in sorted(lines))
    return Requirements(text, tuple(dict.fromkeys(notes)), tuple(local))


def _unowned(
    found: _Import, top: str, lines: dict[str, str], notes: list[str], local: list[str]
) -> None:
    if top == "runpod":
        lines["runpod"] = "runpod"
        notes.append("runpod is not installed here, so requirements.txt names no version of it.")
        return
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is not None:
        local.append(top)
        where = Path(spec.origin).name if spec.origin and spec.origin != "namespace" else top
        notes.append(
            f"`{top}` ({where}) belongs to no installed distribution and is not copied: "
            "put it beside handler.py and into the Dockerfile's COPY."
        )
    elif not found.optional:
        notes.append(f"no installed distribution provides `{found.module}`: add what does.")


def _imports(tree: ast.Module) -> Iterator[_Import]:
    optional: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            optional |= {id(n) for child in (*node.body, *node.handlers) for n in ast.walk(child)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _Import(alias.name, id(node) in optional)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                # `from google.cloud import storage`: the name may be a module of its own
                yield _Import(f"{node.module}.{alias.name}", id(node) in optional)


def _owners(module: str, names: Sequence[str]) -> list[str]:
    """Distributions that provide a module, where several share its first name."""
    candidates = sorted(set(names))
    if len(candidates) < 2:
        return candidates
    parts = module.split(".")
    for depth in range(len(parts), 1, -1):  # the most exact part that tells them apart
        prefix = "/".join(parts[:depth])
        exact = [n for n in candidates if _provides(n, prefix)]
        if exact:
            return exact
    plain = [n for n in candidates if _provides(n, parts[0], plain=True)]
    return plain or candidates


def _provides(name: str, prefix: str, *, plain: bool = False) -> bool:
    ends = ("/__init__.py",) if plain else ("/__init__.py", ".py", ".so", ".pyd")
    try:
        files = importlib.metadata.distribution(name).files or []
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False
    for file in files:
        text = file.as_posix()
        if not text.startswith(prefix):
            continue
        rest = text[len(prefix) :]
        if rest in ends or (not plain and rest.startswith(".cpython-")):
            return True
    return False


def _line(name: str) -> tuple[str, str]:
    """Requirement line of an installed distribution, and a note if there is something to say."""
    try:
        dist = importlib.metadata.distribution(name)
        version = str(dist.version)
    except (importlib.metadata.PackageNotFoundError, ValueError, KeyError):
        dist, version = None, ""
    if dist is None or not _NAME.fullmatch(name):  # a broken or hostile METADATA file
        note = f"a distribution that calls itself {name[:60]!r} has unreadable metadata"
        return "# a distribution with unreadable metadata was left out", note
    public, _, build = version.partition("+")
    if not _VERSION.fullmatch(public):
        return name, f"{name} has no usable version here ({version[:60]!r}); its line names none."
    origin = _direct_url(dist)
    if origin is not None:
        return _from_elsewhere(name, public, origin)
    if not build:
        return f"{name}=={public}", ""
    build = "".join(c for c in build if c.isalnum() or c in "._-")
    note = (
        f"{name} {public}+{build} is installed here; requirements.txt asks for {public}, because "
        f"a local build ('{build}') is not in the default package index. For that very build add "
        "its index to the pip line of the Dockerfile."
    )
    return f"{name}=={public}  # installed here: the local build {public}+{build}", note


def _direct_url(dist: importlib.metadata.Distribution) -> Mapping[str, object] | None:
    """PEP 610: where a distribution came from if not from an index."""
    text = dist.read_text("direct_url.json")
    try:
        data = json.loads(text) if text else None
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _from_elsewhere(name: str, version: str, origin: Mapping[str, object]) -> tuple[str, str]:
    vcs = origin.get("vcs_info")
    url = str(origin.get("url", ""))
    commit = str(vcs.get("commit_id", "")) if isinstance(vcs, dict) else ""
    if (
        isinstance(vcs, dict)
        and vcs.get("vcs") == "git"
        and _COMMIT.fullmatch(commit)
        and _VCS_URL.fullmatch(url)
    ):
        return f"{name} @ git+{url}@{commit}", ""
    if "archive_info" in origin:
        note = f"{name} was installed from a file: requirements.txt asks the index for {version}."
        return f"{name}=={version}", note
    note = (
        f"{name} is installed from a folder of this machine: publish it, or copy it into the "
        "image; requirements.txt has it as a comment."
    )
    return f"# {name}=={version} is installed from a folder of this machine", note
