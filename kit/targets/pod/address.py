"""Where a pod's Jupyter server is, and the token it wants: checked, and safe to show."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from kit.errors import UsageError
from kit.secret import Secret

#: what people have in their browser's address bar behind the server's own base
_PAGES = re.compile(r"/(?:lab|tree|notebooks|doc|edit|login|api|retro)(?:/.*)?$")
_RUNPOD = re.compile(r"([a-z0-9]+)-\d+\.proxy\.runpod\.net")
_MISTYPED = re.compile(r"https?:(?!//)", re.IGNORECASE)
_TOKENS = ("KIT_POD_TOKEN", "JUPYTER_TOKEN")


@dataclass(frozen=True, slots=True)
class Address:
    """A Jupyter server.

    Attributes
    ----------
    base : str
        ``https://host:port/base``, without a slash at the end, user or query.
    token : Secret
        Empty for a server that wants none.
    label : str
        A short name for tables and sentences.
    pod_id : str or None
        RunPod's id of the pod, if the host is one of its proxy's.
    """

    base: str
    token: Secret = field(repr=False)
    label: str
    pod_id: str | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.base).netloc

    @property
    def port(self) -> int | None:
        """The port, if the address names one."""
        return urlsplit(self.base).port

    @property
    def origin(self) -> tuple[str, str]:
        parts = urlsplit(self.base)
        return parts.scheme, parts.netloc


def parse(url: object, token: str | Secret | None = None) -> Address:
    """Read an address as it may be copied from a browser: ``https://host/lab/tree/x?token=...``.

    Parameters
    ----------
    url : str
    token : str, Secret or None
        None takes the one in the URL, else ``KIT_POD_TOKEN`` or ``JUPYTER_TOKEN``.

    Raises
    ------
    UsageError
        It is no address, or would send the token in the clear over the internet.
    """
    if not isinstance(url, str) or not url.strip():
        raise UsageError("kit.Pod takes the address of a Jupyter server: kit.Pod('https://...').")
    if _MISTYPED.match(url.strip()):
        raise UsageError("an address begins with https:// (or http://): there are two slashes.")
    try:
        parts = urlsplit(url.strip() if "://" in url else f"{_scheme(url)}://{url.strip()}")
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise UsageError(f"this is no address of a Jupyter server: {exc}.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(
            f"a pod's address begins with https:// (or http://), not {parts.scheme}://."
        )
    if parts.username or parts.password:
        raise UsageError("an address with a user in it is not used: give the token as token=...")
    if parts.scheme == "http" and not _private(host):
        raise UsageError(
            f"http:// would send the token readably to {host}: use its https:// address, or an SSH "
            "tunnel (ssh -L 8888:localhost:8888 ...) and http://localhost:8888."
        )
    given = parse_qs(parts.query).get("token", [""])[0]
    path = _PAGES.sub("", parts.path.rstrip("/"))
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if port is None else f"{shown}:{port}"
    runpod = _RUNPOD.fullmatch(host)
    label = runpod[1] if runpod else netloc
    return Address(
        f"{parts.scheme}://{netloc}{path}",
        _token(token, given),
        label,
        runpod[1] if runpod else None,
    )


def _scheme(url: str) -> str:
    """What is meant where none is written: a server on this machine speaks plain HTTP."""
    host = urlsplit(f"//{url.strip()}").hostname or ""
    return "http" if host in ("localhost", "127.0.0.1", "::1") else "https"


def _token(token: str | Secret | None, given: str) -> Secret:
    if isinstance(token, Secret):
        return token
    found = token if token is not None else given
    if not found:
        found = next((os.environ[name] for name in _TOKENS if os.environ.get(name)), "")
    if not isinstance(found, str):
        raise UsageError("token= takes a string.")
    if any(ord(c) < 33 or ord(c) > 126 for c in found):
        raise UsageError("the token has characters that no Jupyter token has: copy it once more.")
    return Secret(found)


def _private(host: str) -> bool:
    """Whether a host is this machine or one of the network around it."""
    if host == "localhost" or ("." not in host.rstrip(".") and ":" not in host):
        return True
    if host.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_private or address.is_loopback or address.is_link_local
