"""The requirement line of an installed distribution: version, origin, build."""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kit.export.indexes import index_of, is_plain_url

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9.!_-]+")
_BUILD = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_VCS_URL = re.compile(r"(https|ssh)://[A-Za-z0-9._~/%:+-]+")
_INSIDE = re.compile(r"[A-Za-z0-9._/-]+")
_EXTRA = _NAME


@dataclass(frozen=True, slots=True)
class Line:
    """One line of requirements.txt.

    Attributes
    ----------
    text : str
        Without the line end; a comment if there is nothing that pip could install.
    note : str
        What a person should know, or ``""``.
    index : str
        The index that must be searched as well, or ``""``.
    """

    text: str
    note: str = ""
    index: str = ""


def canonical(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def line_of(name: str, extras: Iterable[str] = (), indexes: Sequence[str] = ()) -> Line:
    """The line that installs what is installed here.

    Parameters
    ----------
    name : str
        Of a distribution.
    extras : iterable of str
        Extras to ask for.
    indexes : sequence of str
        Index URLs that the notebook's own pip lines name.
    """
    try:
        dist = importlib.metadata.distribution(name)
        version = str(dist.version)
    except (importlib.metadata.PackageNotFoundError, ValueError, KeyError):
        dist, version = None, ""
    if dist is None or not _NAME.fullmatch(name):  # a broken or hostile METADATA file
        return Line(
            "# a distribution with unreadable metadata was left out",
            f"a distribution that calls itself {name[:60]!r} has unreadable metadata",
        )
    asked = sorted(extra for extra in extras if _EXTRA.fullmatch(extra))
    full = f"{name}[{','.join(asked)}]" if asked else name
    public = version.partition("+")[0]
    if not _VERSION.fullmatch(public):
        return Line(
            full, f"{name} has no usable version here ({version[:60]!r}); its line names none."
        )
    origin = direct_url(dist)
    if origin is not None:
        return _from_elsewhere(full, name, public, origin)
    return _versioned(full, name, version, indexes, "here")


def line_there(name: str, version: str, where: str, indexes: Sequence[str] = ()) -> Line:
    """The line that installs what another machine has; its words are not trusted.

    Parameters
    ----------
    name, version : str
        Of the distribution.
    where : str
        The machine, for the sentence.
    indexes : sequence of str
        As in ``line_of``.
    """
    public = version.partition("+")[0]
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(public):
        return Line("# a distribution with unreadable metadata was left out", f"{where} has it")
    line = _versioned(name, name, version, indexes, f"on {where}")
    said = f"{name} is not installed in this kernel: requirements.txt has the version on {where}."
    return Line(line.text, " ".join([said, line.note]).strip(), line.index)


def _versioned(full: str, name: str, version: str, indexes: Sequence[str], where: str) -> Line:
    public, _, build = version.partition("+")
    if not build:
        return Line(f"{full}=={public}")
    build = "".join(c for c in build if c.isalnum() or c in "._-")
    index = index_of(canonical(name), build, indexes) if _BUILD.fullmatch(build) else ""
    if index:
        return Line(f"{full}=={public}+{build}", "", index)
    note = (
        f"{name} {public}+{build} is installed {where}; requirements.txt asks for {public}, because "
        f"a local build ('{build}') is not in the default package index. For that very build add "
        "its index to the pip line of the Dockerfile."
    )
    return Line(f"{full}=={public}  # installed {where}: the local build {public}+{build}", note)


def direct_url(dist: importlib.metadata.Distribution) -> Mapping[str, object] | None:
    """PEP 610: where a distribution came from if not from an index."""
    text = dist.read_text("direct_url.json")
    try:
        data = json.loads(text) if text else None
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def folder_of(dist: importlib.metadata.Distribution) -> Path | None:
    """The folder on this machine that a distribution was installed from; None if from elsewhere."""
    origin = direct_url(dist)
    url = str((origin or {}).get("url", ""))
    if origin is None or "dir_info" not in origin or not url.startswith("file://"):
        return None
    return Path(unquote(urlsplit(url).path))


def _from_elsewhere(full: str, name: str, version: str, origin: Mapping[str, object]) -> Line:
    vcs = origin.get("vcs_info")
    url = str(origin.get("url", ""))
    if isinstance(vcs, dict):
        commit, inner = str(vcs.get("commit_id", "")), str(origin.get("subdirectory", ""))
        plain = _VCS_URL.fullmatch(url) and "@" not in url and _COMMIT.fullmatch(commit)
        if vcs.get("vcs") == "git" and plain and (not inner or _INSIDE.fullmatch(inner)):
            below = f"#subdirectory={inner}" if inner else ""
            return Line(f"{full} @ git+{url}@{commit}{below}")
    if "archive_info" in origin:
        if is_plain_url(url):
            return Line(f"{full} @ {url}")
        return Line(
            f"{full}=={version}",
            f"{name} was installed from a file: requirements.txt asks the index for {version}.",
        )
    return Line(
        f"# {name}=={version} is installed from a folder of this machine",
        f"{name} is installed from a folder of this machine: publish it, or copy it into the "
        "image; requirements.txt has it as a comment.",
    )
