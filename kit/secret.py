"""Keys stay out of files: a value that does not show itself, and masks for those that would.

Known are the values of environment variables that are named like keys, and of every live
:class:`Secret`; they are found also in base64, hex, URL-escaped, JSON-escaped and reversed form.
Unknown keys are found by their shapes (:mod:`kit.shapes`).
"""

from __future__ import annotations

import base64
import json
import os
import re
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

from kit.scan import shapes_in
from kit.shapes import mask_shapes

MASK = "[redacted]"

#: shorter values are left alone: masking every "true" would make logs unreadable
_SHORTEST = 8
_NUMBER = re.compile(r"[0-9]+")
_NAMED_LIKE_A_KEY = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)$", re.IGNORECASE
)


class Secret:
    """A key that shows itself only to :meth:`reveal`.

    It has no value in ``repr``, ``str``, ``format``, ``vars`` or JSON, and cannot be pickled. While
    it lives, :func:`redact` masks its value.

    Parameters
    ----------
    value : str
    """

    __slots__ = ("__weakref__", "_reveal")
    _reveal: Callable[[], str]

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            # the value stays out of the message
            raise TypeError(f"a Secret is made of a str, not of {type(value).__name__}")
        # in a closure, so that whoever copies or prints the slots copies a function
        object.__setattr__(self, "_reveal", lambda: value)
        _live[id(self)] = self

    def reveal(self) -> str:
        """The value itself. Give it to nothing that prints, logs or stores."""
        return self._reveal()

    def __repr__(self) -> str:
        return "<Secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("<Secret>", spec)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret does not change")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        from hmac import compare_digest

        return compare_digest(self.reveal().encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash(("kit.Secret", self.reveal()))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: look the key up where it is needed")

    def __getstate__(self) -> NoReturn:
        self.__reduce_ex__(2)


_live: weakref.WeakValueDictionary[int, Secret] = weakref.WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class SecretHit:
    """A place where a key stands in a text.

    Attributes
    ----------
    line : int
        From 1.
    kind : str
        What it looks like, e.g. ``RunPod key`` or ``the value of HF_TOKEN``; never the key itself.
    known : bool
        Whether it is the value of a variable or of a :class:`Secret`, and no guess.
    """

    line: int
    kind: str
    known: bool = False


def redact(text: str) -> str:
    """The text with every known key, and everything shaped like one, replaced by ``[redacted]``.

    JSON text stays JSON.
    """
    if len(text) < _SHORTEST:
        return text
    for form in _all_forms():
        if form not in text:
            continue
        if _NUMBER.fullmatch(form):
            # a masked number would break JSON: only where it is text
            text = re.sub(f"(?<=[\"'=/@]){form}|{form}(?=[\"'@/])", MASK, text)
        else:
            text = text.replace(form, MASK)
    return mask_shapes(text, MASK)


def live_values() -> list[str]:
    """The values of all live Secrets, for a process of ours that masks what this one masks."""
    return [secret.reveal() for secret in list(_live.values())]


def find_secrets(text: str) -> list[SecretHit]:
    """Where keys stand in a text that is to become a file; empty if nowhere.

    Stricter than :func:`redact`: also what is assigned to a name such as ``api_key``, and any random
    string of 32 characters or more. Hex digests, UUIDs, URLs, base64 pictures and other long data are
    not keys.

    Returns
    -------
    list of SecretHit
        In order of the lines; each kind once a line.
    """
    hits = [SecretHit(line, kind) for line, kind in shapes_in(text)]
    for name, value in _known():
        for form in _forms(value):
            at = text.find(form)
            while at >= 0:
                hits.append(SecretHit(text.count("\n", 0, at) + 1, f"the value of {name}", True))
                at = text.find(form, at + len(form))
    return sorted(set(hits), key=lambda hit: (hit.line, hit.kind))


def strip_request(request: dict[str, Any]) -> dict[str, Any]:
    """What may be kept of a request: no ``s3Config``, and of ``webhook`` no query and no user.

    Returns
    -------
    dict
        A new dict; values are shared with the request.
    """
    kept = {key: value for key, value in request.items() if str(key).lower() != "s3config"}
    if kept.get("webhook") is not None:
        url = _plain_url(kept["webhook"])
        if url is None:
            del kept["webhook"]
        else:
            kept["webhook"] = url
    return kept


def _plain_url(url: object) -> str | None:
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host = parts.netloc.rpartition("@")[2]
    return redact(urlunsplit((parts.scheme, host, parts.path, "", ""))) if host else None


@dataclass(frozen=True, slots=True)
class _Environment:
    """The keys among the variables, and every way in which one may be written, the longest first."""

    raw: dict[Any, Any] | None
    known: tuple[tuple[str, str], ...]
    forms: tuple[str, ...]


_seen = _Environment(None, (), ())


def _environment() -> _Environment:
    global _seen
    # A card asks some thirty times, and to walk the environment costs 25 us. To compare what
    # os.environ holds with a copy costs 1 us, and no change goes unseen.
    raw: object = getattr(os.environ, "_data", None)
    if not isinstance(raw, dict) or raw != _seen.raw:
        known = tuple(_in_environment())
        copy = dict(raw) if isinstance(raw, dict) else None
        _seen = _Environment(copy, known, _written(value for _, value in known))
    return _seen


def _written(values: Iterable[str]) -> tuple[str, ...]:
    # the longest first: one may be the beginning of another
    forms = {form for value in values for form in _forms(value)}
    return tuple(sorted(forms, key=len, reverse=True))


def _known() -> Iterator[tuple[str, str]]:
    """Names and values of all known keys."""
    yield from _environment().known
    for secret in list(_live.values()):
        value = secret.reveal()
        if len(value) >= _SHORTEST:
            yield "a Secret", value


def _in_environment() -> Iterator[tuple[str, str]]:
    for name in filter(is_key_name, list(os.environ)):
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST:
            yield name, value


def _all_forms() -> tuple[str, ...]:
    """Every way in which any known key may be written, the longest first."""
    return _written({value for _, value in _known()}) if _live else _environment().forms


@lru_cache(maxsize=1024)
def is_key_name(name: str) -> bool:
    """Whether an environment variable is, by its name, a key."""
    # RunPod puts the person's public SSH key into PUBLIC_KEY
    return "PUBLIC" not in name.upper() and bool(_NAMED_LIKE_A_KEY.search(name))


@lru_cache(maxsize=256)
def _forms(value: str) -> tuple[str, ...]:
    """The ways in which a value may be written."""
    raw = value.encode("utf-8", "surrogatepass")
    forms = {
        value,
        value[::-1],
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        quote(raw),
        quote(raw, safe=""),
        quote_plus(raw),
        raw.hex(),
        raw.hex().upper(),
    }
    for offset in range(3):
        # in the middle of other bytes ("user:key" in a header, say) base64 has three ways to write it
        text = base64.b64encode(b"\0" * offset + raw).decode()
        core = text[(offset * 8 + 5) // 6 : (offset + len(raw)) * 8 // 6]
        forms |= {core, core.translate(str.maketrans("+/", "-_"))}
    return tuple(form for form in forms if len(form) >= _SHORTEST)
