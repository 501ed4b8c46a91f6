"""RunPod's REST API v2, as far as the kit needs it: which pods there are, and how to reach them.

It only reads: nothing here starts, stops or creates anything, so nothing here costs money. The paths,
names and errors are those of RunPod's published contract (OpenAPI document of API 2.0.0, server
``https://api.runpod.io``): ``GET /v2/pods``, ``GET /v2/pods/{id}``, errors as problem+json.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kit.errors import RunpodError, UsageError
from kit.podinfo import PodInfo
from kit.secret import Secret, redact

API_URL = "https://api.runpod.io/v2"

#: what a template may call the token of its Jupyter; RunPod's own images: the first
TOKEN_NAMES = ("JUPYTER_PASSWORD", "JUPYTER_TOKEN")

#: an answer is a list of pods; more than this is something else
_LARGEST_BYTES = 32_000_000
_ATTEMPTS = 3
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REFERENCE = re.compile(r"\{\{.*\}\}", re.DOTALL)


def config_file() -> Path:
    """Where ``runpod config`` keeps the key."""
    return Path.home() / ".runpod" / "config.toml"


def find_key(key: str | Secret | None = None) -> Secret:
    """The RunPod API key: the argument, else ``RUNPOD_API_KEY``, else runpod's own config file.

    It is looked up when it is needed and never stored.

    Raises
    ------
    UsageError
        There is none; the message names the three places.
    """
    if isinstance(key, Secret):
        return key
    found = key or os.environ.get("RUNPOD_API_KEY") or _from_config()
    if not found:
        raise UsageError(
            "No RunPod API key: pass key=..., set RUNPOD_API_KEY, or run `runpod config` once "
            f"(it writes {config_file()})."
        )
    found = found.strip()
    if not found or not found.isprintable() or not found.isascii() or " " in found:
        # the value stays out of the message
        raise UsageError("The RunPod API key has spaces or other characters that no key has.")
    return Secret(found)


def _from_config() -> str | None:
    try:
        text = config_file().read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{config_file()} cannot be read: {type(error).__name__}.") from None
    try:
        import tomllib as toml  # type: ignore[import-not-found,unused-ignore]
    except ImportError:  # Python 3.10; runpod itself depends on tomli
        import tomli as toml  # type: ignore[no-redef,import-not-found,unused-ignore]
    try:
        profile = toml.loads(text).get("default", {})
    except toml.TOMLDecodeError:
        # toml's message may quote the line with the key
        raise UsageError(f"{config_file()} is not valid TOML; `runpod config` writes it.") from None
    value = profile.get("api_key") if isinstance(profile, dict) else None
    return value if isinstance(value, str) and value else None


class RunpodApi:
    """A reader of RunPod's REST API v2.

    The methods are coroutines. The key goes to the host of `url` and nowhere else: redirects are not
    followed, certificates are always checked.

    Parameters
    ----------
    key : str, Secret or None
        See :func:`find_key`.
    url : str
        Another address of the API; plain http only on this machine.
    timeout_s : float
        For each request.
    """

    def __init__(
        self, key: str | Secret | None = None, *, url: str = API_URL, timeout_s: float = 20.0
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise UsageError(f"{url!r}: a key is sent by https only.")
        self._key = find_key(key)
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s

    async def pods(self) -> tuple[PodInfo, ...]:
        """All pods of the account, without members of clusters, as RunPod orders them.

        Raises
        ------
        RunpodError
            In RunPod's own words where it answered.
        """
        body = await self._get("/pods")
        pods = body.get("pods")
        if not isinstance(pods, list):
            raise _unexpected("/pods", "no list `pods`")
        return tuple(_pod(item, "/pods") for item in pods)

    async def pod(self, id: str) -> PodInfo:
        """One pod.

        Raises
        ------
        UsageError
            `id` cannot be the id of a pod.
        RunpodError
            There is none, or RunPod refused; in its own words.
        """
        if not _ID.fullmatch(id):
            raise UsageError(
                f"{id!r} is not the id of a pod: letters and digits, as `kit.pods()` shows."
            )
        return _pod(await self._get(f"/pods/{id}"), f"/pods/{id}")

    async def _get(self, path: str) -> dict[str, Any]:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        headers = {"Authorization": f"Bearer {self._key.reveal()}", "Accept": "application/json"}
        async with aiohttp.ClientSession(timeout=timeout) as client:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    async with client.get(
                        self._url + path,
                        headers=headers,
                        allow_redirects=False,
                        proxy=proxy_of(self._url),
                    ) as answer:
                        if answer.status >= 500 and attempt < _ATTEMPTS:
                            await asyncio.sleep(0.2 * attempt)
                            continue
                        raw = await _bounded(answer, path)
                        return _read(path, answer.status, dict(answer.headers), raw)
                except aiohttp.ClientSSLError as error:
                    raise RunpodError(
                        f"The certificate of {self._url} is not trusted: {redact(str(error))}. "
                        "The key was not sent."
                    ) from None
                except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
                    if attempt == _ATTEMPTS:
                        said = redact(str(error)) or f"no answer in {self._timeout_s:g} s"
                        raise RunpodError(
                            f"RunPod's API at {self._url} cannot be reached: {said}. "
                            "Check the network and try again."
                        ) from None
                    await asyncio.sleep(0.2 * attempt)
        raise AssertionError("every attempt returns or raises")


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for a URL; None for none.

    aiohttp's own ``trust_env`` would look into ~/.netrc too, and refuse our header for what it finds.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


async def _bounded(answer: Any, path: str) -> bytes:
    raw = b""
    async for part in answer.content.iter_chunked(65_536):
        raw += part
        if len(raw) > _LARGEST_BYTES:
            raise _unexpected(path, f"more than {_LARGEST_BYTES:,} bytes")
    return raw


def _read(path: str, status: int, headers: Mapping[str, str], raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if status == 200:
        if not isinstance(body, dict):
            raise _unexpected(path, "not a JSON object")
        return body
    if 300 <= status < 400:
        raise RunpodError(
            f"RunPod's API redirected {path} elsewhere. The key was not sent there. "
            "Is a proxy in between?",
            status=status,
        )
    raise RunpodError(_problem(path, status, headers, body), status=status)


#: what to do next, for each answer of the contract
_REMEDY = {
    400: "This is a fault of the kit; please report it.",
    401: "Check the key: argument, RUNPOD_API_KEY, or the file of `runpod config`, in this order.",
    403: "The key is valid but lacks the permission; make one in RunPod's console that may read pods.",
    404: "`kit.pods()` lists the pods that this key can see.",
}


def _problem(path: str, status: int, headers: Mapping[str, str], body: object) -> str:
    """RunPod's own words (problem+json, RFC 9457), and what to do next."""
    if isinstance(body, dict) and ("detail" in body or "title" in body):
        words = [str(body.get("title") or ""), str(body.get("detail") or "")]
        errors = body.get("errors")
        words += [str(error) for error in errors[:5]] if isinstance(errors, list) else []
        said = ": ".join(dict.fromkeys(word.strip() for word in words if word.strip()))
    else:
        said = "no words"
    said = redact(said)[:1000]
    wait = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    if status == 429:
        remedy = f"Try again in {wait} s." if wait else "Try again in a minute."
    elif status >= 500:
        remedy = "RunPod has a fault of its own; try again in a minute."
    else:
        remedy = _REMEDY.get(status, "")
    return f"RunPod answered {status} to {path}: {said.rstrip('.')}. {remedy}".rstrip()


def _unexpected(path: str, what: str) -> RunpodError:
    return RunpodError(
        f"RunPod's API answered {path} with something that its contract does not know: {what}."
    )


def _pod(item: object, path: str) -> PodInfo:
    if not isinstance(item, dict):
        raise _unexpected(path, "a pod that is not an object")
    try:
        gpu = item.get("gpu") or None
        runtime = item.get("runtime") or {}
        return PodInfo(
            id=str(item["id"]),
            name=str(item["name"] or ""),
            image=str(item["image"] or ""),
            status=str(item["status"]),
            gpu=str(gpu["id"]) if gpu else None,
            gpu_count=int(gpu.get("count", 1)) if gpu else 0,
            cost_per_hour_usd=float(item["cost"]),
            data_center=item["dataCenterId"],
            ports=tuple(map(str, item["ports"] or ())),
            uptime_s=int(runtime["uptime"]) if "uptime" in runtime else None,
            jupyter_token=_token(item.get("env") or {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unexpected(path, f"a pod without a usable {error}") from None


def _token(env: Mapping[str, object]) -> Secret | None:
    for name in TOKEN_NAMES:
        value = env.get(name)
        # {{ RUNPOD_SECRET_name }}: RunPod fills it in on the pod and never shows it again
        if isinstance(value, str) and value and not _REFERENCE.fullmatch(value.strip()):
            return Secret(value)
    return None
