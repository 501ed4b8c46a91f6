"""What a person chooses about a bundle, checked before anything else: no choice becomes code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kit.errors import UsageError
from kit.export.bases import is_image
from kit.export.piplines import Wish, wish_of

#: parts of a bundle beside handler.py and what it imports, each with the files it stands for
PARTS = {
    "requirements": "requirements.txt",
    "dockerfile": "Dockerfile and .dockerignore; takes requirements with it",
    "test_input": "test_input.json",
    "hub": ".runpod/hub.json and .runpod/tests.json",
    "github": ".github/tests.json",
    "readme": "README.md",
}
COMMAND = ("python", "-u", "/handler.py")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Debian policy 5.6.1, with a version or none
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?")
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Choices:
    """Choices of one export, all of them safe to write.

    Attributes
    ----------
    files : frozenset of str
        Of :data:`PARTS`.
    base_image : str
        ``""`` for the one that fits.
    env : tuple of (str, str)
        Variables of the image.
    packages : tuple of str
        Debian packages to install.
    requirements : tuple of Wish
    command : tuple of str
        What the image runs.
    """

    files: frozenset[str] = frozenset(PARTS)
    base_image: str = ""
    env: tuple[tuple[str, str], ...] = ()
    packages: tuple[str, ...] = ()
    requirements: tuple[Wish, ...] = ()
    command: tuple[str, ...] = COMMAND


#: what is written when nobody chooses
ALL = Choices()


def choose(
    files: Iterable[str] | None = None,
    base_image: str | None = None,
    env: Mapping[str, str] | None = None,
    packages: Iterable[str] = (),
    requirements: Iterable[str] = (),
    command: Iterable[str] = COMMAND,
) -> Choices:
    """Check choices; see ``kit.export`` for their meaning.

    Raises
    ------
    UsageError
        One of them is not what it should be; the sentence says which.
    """
    return Choices(
        _files(files),
        _image(base_image),
        tuple(_variable(name, value) for name, value in (env or {}).items()),
        tuple(_package(name) for name in _several("packages", packages)),
        tuple(_requirement(text) for text in _several("requirements", requirements)),
        tuple(_word(word) for word in _several("command", command)),
    )


def _files(given: Iterable[str] | None) -> frozenset[str]:
    if given is None:
        return frozenset(PARTS)
    found = set(_several("files", given))
    unknown = sorted(repr(name)[:40] for name in found if name not in PARTS)
    if unknown:
        raise UsageError(
            f"a bundle has no part {', '.join(unknown)}. It has: {', '.join(PARTS)}; handler.py and "
            "what it imports are always written."
        )
    return frozenset(found | ({"requirements"} if "dockerfile" in found else set()))


def _several(what: str, given: Iterable[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        given = (given,)
    try:
        values = tuple(given)
    except TypeError:
        values = (given,)  # type: ignore[assignment]
    if not all(isinstance(value, str) for value in values):
        raise UsageError(f"{what} takes strings, not {values!r:.80}.")
    return values


def _image(given: str | None) -> str:
    if given is None:
        return ""
    if not is_image(str(given)):
        raise UsageError(
            f"base_image={given!r:.120} is no name of an image: give one like "
            "`runpod/base:1.0.3-cuda1281-ubuntu2204`."
        )
    return given


def _variable(name: str, value: str) -> tuple[str, str]:
    why = env_refusal(name, value)
    if why:
        raise UsageError(f"env: {name!r:.60} {why}.")
    return name, value


def env_refusal(name: str, value: str) -> str:
    """Why a variable cannot be written into an image, as the end of a sentence; ``""`` if it can."""
    from kit.secret import find_secrets

    if not _ENV_NAME.fullmatch(str(name)):
        return "is no name of an environment variable"
    if type(value) is not str or not _is_line(value):
        return "has a value that is not one line of text"
    if find_secrets(f'{name} = "{value}"') or find_secrets(value):
        return "holds what looks like a key: set it on the endpoint, as a secret"
    return ""


def _package(name: str) -> str:
    if not _PACKAGE.fullmatch(name) or len(name) > 200:
        raise UsageError(f"packages: {name!r:.80} is no name of a Debian package.")
    return name


def _requirement(text: str) -> Wish:
    try:
        wish = wish_of(text)
    except ValueError:
        raise UsageError(
            f"requirements: {text!r:.80} is no requirement: give one like `accelerate` or `numpy>=2,<3`."
        ) from None
    if wish.url:
        raise UsageError(
            f"requirements: {text!r:.80} names a URL. Install it here: what is installed from git or a "
            "wheel is written with its commit or address."
        )
    return wish


def _word(word: str) -> str:
    if not word or not _is_line(word):
        raise UsageError(f"command: {word!r:.80} is not one line of text.")
    return word


def _is_line(text: str) -> bool:
    # what is not printable includes lone surrogates and the separators that some readers break lines at
    return len(text) <= _LONGEST and text.isprintable()
