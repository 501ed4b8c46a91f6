"""The REST side of a pod's Jupyter server: what it says, or in one sentence why it says nothing.

The token goes to the host it was given for, in a header, and to no other: redirects are followed
by hand, and only within that host. Certificates are always verified; ``SSL_CERT_FILE`` or ``ca=``
adds a private authority.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from kit.errors import TargetError
from kit.targets.pod.address import Address

_TRIES = 5


class Away(TargetError):
    """The pod does not answer just now; it may in a moment."""


class Server:
    """One Jupyter server. All methods belong to one event loop.

    Parameters
    ----------
    address : Address
    ca : path or None
        PEM file of a certificate authority to trust besides the system's.
    timeout_s : float
        Of one request.
    """

    def __init__(self, address: Address, ca: str | None = None, timeout_s: float = 10.0) -> None:
        self.address, self._timeout_s = address, timeout_s
        self._tls = _tls(ca) if address.base.startswith("https") else None
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def become(self, other: Server) -> None:
        """Take over another client's address, token and authorities for whatever comes next."""
        self.address, self._tls = other.address, other._tls

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # no trust_env: it would put ~/.netrc's password in the place of the token
            trace = aiohttp.TraceConfig()
            trace.on_request_redirect.append(self._redirected)
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[trace]
            )
        return self._session

    async def _redirected(self, _session: object, _context: object, about: Any) -> None:
        # of a websocket's handshake, which aiohttp would follow by itself
        self._follow(str(about.url), about.response.headers.get("Location", ""))
        raise TargetError(f"{self.address.label} redirects its websockets; give its own address.")

    def _headers(self) -> dict[str, str]:
        token = self.address.token.reveal()
        return {"Authorization": f"token {token}"} if token else {}

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"headers": self._headers(), "proxy": _proxy(self.address)}
        if self._tls is not None:
            options["ssl"] = self._tls
        return options

    async def request(self, verb: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request.

        Returns
        -------
        status : int
        answer : JSON value
            None if it is not JSON.

        Raises
        ------
        Away
            No answer, or a proxy's that says the server is not there yet.
        TargetError
            Anything that waiting does not cure.
        """
        url = self.address.base + path
        limit = aiohttp.ClientTimeout(total=self._timeout_s)
        for _ in range(_TRIES):
            try:
                async with self._open().request(
                    verb, url, json=body, timeout=limit, allow_redirects=False, **self._options()
                ) as response:
                    if 300 <= response.status < 400 and response.headers.get("Location"):
                        url = self._follow(url, response.headers["Location"])
                        continue
                    return response.status, await self._read(response)
            except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as exc:
                raise self.why(exc) from None
        raise TargetError(f"{self.address.label} redirects in a circle: is this a Jupyter server?")

    def _follow(self, url: str, location: str) -> str:
        new = urljoin(url, location)
        parts = urlsplit(new)
        if (parts.scheme, parts.netloc) != self.address.origin:
            raise TargetError(
                f"{self.address.label} redirects to another host ({parts.scheme}://{parts.netloc}). "
                "The token was not sent there. If that is the right server, give its own address."
            )
        if parts.path.rstrip("/").endswith("/login"):
            raise self.refused()
        return new

    async def _read(self, response: aiohttp.ClientResponse) -> Any:
        status = response.status
        if status in (401, 403):
            raise self.refused()
        if status >= 500:
            raise Away(self._starting(status))
        if response.content_type != "application/json":
            return None
        return await response.json()

    def refused(self) -> TargetError:
        """The token was not taken."""
        label = self.address.label
        if not self.address.token.reveal():
            return TargetError(f"{label} wants a token: kit.Pod(url, token=...).")
        return TargetError(
            f"{label} does not take this token: it is wrong, or has expired. On the pod, "
            "`jupyter server list` shows the one it has."
        )

    def _starting(self, status: int) -> str:
        label = self.address.label
        if status in (502, 503, 504, 521, 522, 523, 524):
            return (
                f"{label} is up to its proxy only (HTTP {status}): the pod is still starting, or "
                "nothing listens on that port. Try again in a moment."
            )
        return f"the Jupyter server of {label} answered HTTP {status}; its log says why."

    def why(self, exc: BaseException) -> TargetError:
        """An exception of the network as a sentence."""
        label, host = self.address.label, self.address.host
        if isinstance(exc, TargetError):
            return exc
        if isinstance(exc, aiohttp.WSServerHandshakeError):
            return self._handshake(exc)
        if isinstance(exc, (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError)):
            return self._untrusted(exc)
        if isinstance(exc, (aiohttp.ClientSSLError, ssl.SSLError)):
            return TargetError(
                f"{host} does not speak TLS as it should ({_words(exc)}): is it https:// at all?"
            )
        if isinstance(exc, aiohttp.ClientConnectorDNSError) or isinstance(
            getattr(exc, "os_error", exc), socket.gaierror
        ):
            return Away(f"{host} is unknown: look at the address, or at this machine's network.")
        if isinstance(exc, asyncio.TimeoutError):
            plain = self.address.base.startswith("https") and self.address.port is not None
            hint = " If it speaks plain HTTP, its address begins with http://." if plain else ""
            return Away(f"{label} did not answer within {self._timeout_s:g} s.{hint}")
        return Away(
            f"{label} is unreachable ({_words(exc)}): is the pod running, and is that its port?"
        )

    def _handshake(self, exc: aiohttp.WSServerHandshakeError) -> TargetError:
        if exc.status in (401, 403):
            return self.refused()
        if exc.status >= 500:
            return Away(self._starting(exc.status))
        if exc.status == 404:
            return Away(f"{self.address.label} no longer has this kernel.")
        return TargetError(
            f"{self.address.label} opens no websocket (HTTP {exc.status}): a proxy before it must "
            "let websockets pass."
        )

    def _untrusted(self, exc: BaseException) -> TargetError:
        inner = getattr(exc, "certificate_error", exc)
        reason = getattr(inner, "verify_message", "") or _words(inner)
        return TargetError(
            f"the certificate of {self.address.host} is not trusted: {reason}. Nothing was sent. For "
            "a private authority set SSL_CERT_FILE, or give its PEM file as kit.Pod(..., ca=...)."
        )

    # -- what is asked --------------------------------------------------------------------------

    async def check(self) -> None:
        """Look whether a Jupyter server is there and takes the token; TargetError if not."""
        label = self.address.label
        status, answer = await self.request("GET", "/api")
        if status == 404 or not (isinstance(answer, dict) and "version" in answer):
            if self.address.pod_id is not None:
                raise TargetError(
                    f"there is no Jupyter server behind {self.address.host} (HTTP {status}): the pod "
                    "is stopped, or does not run Jupyter on that port."
                )
            raise TargetError(f"there is no Jupyter server at {self.address.base} (HTTP {status}).")
        status, _ = await self.request("GET", "/api/status")
        if status != 200:
            raise TargetError(
                f"the Jupyter server of {label} answered HTTP {status} to /api/status."
            )

    async def kernel(self, name: str) -> tuple[str, bool]:
        """Find or start the kernel of a session by the session's name.

        Returns
        -------
        id : str
        fresh : bool
            Whether it was started just now.
        """
        path = f"kit/{name}"
        _, sessions = await self.request("GET", "/api/sessions")
        for session in sessions if isinstance(sessions, list) else []:
            if session.get("path") == path and session.get("kernel"):
                return str(session["kernel"]["id"]), False
        body = {
            "path": path,
            "name": path,
            "type": "console",
            "kernel": {"name": await self._spec()},
        }
        status, made = await self.request("POST", "/api/sessions", body)
        if status not in (200, 201) or not isinstance(made, dict):
            said = made.get("message") if isinstance(made, dict) else None
            raise TargetError(
                f"{self.address.label} started no kernel (HTTP {status}{f': {said}' if said else ''})."
            )
        return str(made["kernel"]["id"]), True

    async def _spec(self) -> str:
        _, found = await self.request("GET", "/api/kernelspecs")
        specs = found.get("kernelspecs", {}) if isinstance(found, dict) else {}
        python = [
            name
            for name, spec in specs.items()
            if str(spec.get("spec", {}).get("language", "")).lower() == "python"
        ]
        if not python:
            raise TargetError(f"the Jupyter server of {self.address.label} has no Python kernel.")
        default = found.get("default")
        return str(default if default in python else python[0])

    async def kernel_lives(self, kernel: str) -> bool:
        """Whether the server still has a kernel."""
        status, _ = await self.request("GET", f"/api/kernels/{kernel}")
        return status == 200

    async def end(self, kernel: str) -> None:
        """Shut a kernel down; it is no error if it is gone."""
        await self.request("DELETE", f"/api/kernels/{kernel}")

    async def websocket(
        self, kernel: str, session: str, protocols: tuple[str, ...], heartbeat_s: float
    ) -> Any:
        """Open a kernel's channels: aiohttp's ClientWebSocketResponse."""
        url = f"{self.address.base}/api/kernels/{kernel}/channels?session_id={session}"
        opening = self._open().ws_connect(
            url, protocols=protocols, heartbeat=heartbeat_s, max_msg_size=0, **self._options()
        )

        async def opened() -> Any:
            return await opening

        try:
            return await asyncio.wait_for(opened(), self._timeout_s)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as exc:
            raise self.why(exc) from None


def _tls(ca: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(cafile=str(Path(ca).expanduser()))
        except (OSError, ssl.SSLError) as exc:
            raise TargetError(f"ca={ca!r} cannot be read as PEM: {_words(exc)}.") from None
    return context


def _proxy(address: Address) -> str | None:
    parts = urlsplit(address.base)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _words(exc: BaseException) -> str:
    inner = getattr(exc, "os_error", exc)
    if isinstance(inner, ConnectionRefusedError):
        return "nothing listens there"
    return str(getattr(inner, "strerror", None) or inner or type(inner).__name__)
