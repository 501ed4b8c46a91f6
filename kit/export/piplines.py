"""What a notebook installs by ``%pip install`` and ``!pip install``, as wishes and never as text.

No word of such a line reaches a file: names, extras and versions are parsed by
``packaging.requirements``, and what the bundle says is put together anew from them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement

from kit.export.indexes import is_plain_url
from kit.export.installed import canonical
from kit.export.place import plain

_USER = re.compile(r"://[^/\s]*@")  # who is asked for a password in a URL, and it
#: where the shell ends the command
_ENDS = {";", "&", "&&", "|", "||", "<", ">"}
#: options with a value of their own; the value must not be taken for a package
_WITH_VALUE = {
    *("-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-f", "--find-links"),
    *("-i", "--index-url", "--extra-index-url", "-t", "--target", "--prefix", "--root", "--src"),
    *("--platform", "--python-version", "--implementation", "--abi", "--progress-bar", "--proxy"),
    *(
        "--timeout",
        "--retries",
        "--cache-dir",
        "--log",
        "--cert",
        "--client-cert",
        "--trusted-host",
    ),
    *("--root-user-action", "--upgrade-strategy", "--no-binary", "--only-binary", "--report"),
    *("--config-settings", "--global-option", "--exists-action", "--use-feature", "--python", "-p"),
}
_INDEX = {"-i", "--index-url", "--extra-index-url"}
#: options that change what is installed: a bundle cannot follow them
_TOLD = {
    *("-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-f", "--find-links"),
    *("--target", "-t", "--platform", "--no-binary", "--trusted-host"),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """One package that somebody asked for.

    Attributes
    ----------
    name : str
        ``""`` if only a URL was given.
    extras : tuple of str
    specifier : str
        ``>=2,<3``; ``""`` for any.
    url : str
        Where it was to come from; ``""`` for the index.
    """

    name: str
    extras: tuple[str, ...] = ()
    specifier: str = ""
    url: str = ""

    @property
    def text(self) -> str:
        """A requirement line that asks an index for it."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}{self.specifier}"


@dataclass(slots=True)
class Wishes:
    """All pip lines of a notebook together; what could not be read is in the notes."""

    packages: list[Wish] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def wishes_of(lines: Iterable[str]) -> Wishes:
    """Read the arguments of ``pip install`` lines.

    Parameters
    ----------
    lines : iterable of str
        What stands behind ``pip install``, one element a line.
    """
    wishes = Wishes()
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError as exc:
            wishes.notes.append(f"the pip line `{plain(_masked(line))}` cannot be read ({exc}).")
            continue
        if words[:1] in (["uninstall"], ["list"], ["freeze"], ["show"]):
            continue
        _read(iter(words[1:] if words[:1] == ["install"] else words), wishes)
    return wishes


def _read(words: Iterator[str], wishes: Wishes) -> None:
    for word in words:
        if word.startswith("#") or word in _ENDS:
            return  # a comment, or another command, as the shell reads it
        if not word.startswith("-"):
            _package(word, wishes)
            continue
        option, joined, value = word.partition("=")
        if option in _WITH_VALUE and not joined:
            value = next(words, "")
        if option in _INDEX:
            if is_plain_url(value):
                wishes.indexes.append(value)
            else:
                wishes.notes.append(
                    f"the notebook's pip line names an index (`{option}`) that a bundle cannot name: it "
                    "is no plain https URL. Add it to the build yourself."
                )
        elif option in _TOLD:
            wishes.notes.append(
                f"the notebook's pip line has `{plain(f'{option} {_masked(value)}'.strip())}`, which a "
                "bundle does not follow: what the code imports decides."
            )


def _package(word: str, wishes: Wishes) -> None:
    if any(sign in word for sign in "${}\n\r\0"):
        wishes.notes.append(
            f"the notebook's pip line installs `{plain(_masked(word))}`, which is filled in while it runs."
        )
        return
    if word.startswith(("git+", "http://", "https://")):
        wishes.packages.append(Wish("", url=word))
        return
    try:
        wishes.packages.append(wish_of(word))
    except ValueError:
        wishes.notes.append(
            f"the notebook's pip line installs `{plain(_masked(word))}`, which is not a package's name: "
            "put what it provides into the image yourself."
        )


def wish_of(text: str) -> Wish:
    """One requirement as a wish; markers are dropped.

    Raises
    ------
    ValueError
        It is none.
    """
    if not text.isprintable() or len(text) > 500:
        raise ValueError("not a requirement")
    try:
        read = Requirement(text)
    except InvalidRequirement as exc:
        raise ValueError(str(exc)) from None
    return Wish(read.name, tuple(sorted(read.extras)), str(read.specifier), read.url or "")


def same(one: str, other: str) -> bool:
    """Whether two distribution names mean the same."""
    return canonical(one) == canonical(other)


def _masked(text: str) -> str:
    from kit.secret import redact

    return redact(_USER.sub("://...@", text))
