"""``kit.pods()``: the pods of an account, and whether their Jupyter answers; and one pod's address."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from kit.errors import TargetError
from kit.podinfo import PROXY_URL, PodInfo
from kit.runpod_api import API_URL, RunpodApi, proxy_of
from kit.secret import Secret

if TYPE_CHECKING:
    import pandas

_T = TypeVar("_T")
_PROBE_TIMEOUT_S = 8.0


@dataclass(frozen=True)
class PodAddress:
    """Where a pod's Jupyter server is, and its token.

    Attributes
    ----------
    url : str
    token : Secret or None
        None if the pod's environment names none.
    label : str
        The pod's id, and its name if it has one.
    """

    url: str
    token: Secret | None
    label: str


def listed(
    key: str | Secret | None = None,
    *,
    probe: bool = True,
    api_url: str = API_URL,
    proxy_url: str = PROXY_URL,
) -> pandas.DataFrame:
    """See :func:`kit.pods`; the addresses are for other installations of the API and the proxy."""
    found, said = in_own_loop(_listed(RunpodApi(key, url=api_url), probe, proxy_url))
    from kit.views.frame import pods_frame

    return pods_frame(found, said)


def resolve(
    id: str,
    key: str | Secret | None = None,
    *,
    api_url: str = API_URL,
    proxy_url: str = PROXY_URL,
) -> PodAddress:
    """Where the Jupyter server of the pod `id` is. Blocks for one request.

    Raises
    ------
    UsageError
        No key, or no id.
    TargetError
        There is no such pod, it is not running, or it shows no Jupyter; the message says which.
    """
    pod = in_own_loop(RunpodApi(key, url=api_url).pod(id))
    label = f"{pod.id} ({pod.name})" if pod.name else pod.id
    return PodAddress(pod.jupyter_url(proxy_url), pod.jupyter_token, label)


def in_own_loop(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end on a thread of its own: the kernel's loop is running already.

    Blocks; an interrupt ends the waiting and cancels the work.
    """
    ended: list[_T] = []
    raised: list[BaseException] = []
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)

    def turn() -> None:
        try:
            ended.append(loop.run_until_complete(task))
        except BaseException as error:  # handed to the caller, whatever it is
            raised.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=turn, name="kit-request", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.1)  # in slices, or the stop button would wait
    except BaseException:
        if not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
        raise
    if raised:
        raise raised[0]
    return ended[0]


async def _listed(
    api: RunpodApi, probe: bool, proxy_url: str
) -> tuple[tuple[PodInfo, ...], list[str | None]]:
    found = await api.pods()
    if not probe:
        return found, [None] * len(found)
    said = await asyncio.gather(*(_jupyter(pod, proxy_url) for pod in found))
    return found, list(said)


async def _jupyter(pod: PodInfo, proxy_url: str) -> str:
    """Say in a few words whether the Jupyter server of a pod answers, and to its token."""
    try:
        url = pod.jupyter_url(proxy_url)
    except TargetError:
        return "not running" if pod.status != "RUNNING" else "no port 8888/http"
    import aiohttp

    token = pod.jupyter_token
    headers = {"Authorization": f"token {token.reveal()}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=_PROBE_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as client:
            # /api/status wants the token, /api does not
            async with client.get(
                f"{url}/api/status", headers=headers, allow_redirects=False, proxy=proxy_of(url)
            ) as answer:
                if answer.status == 200:
                    await answer.json()
                    return "answers"
                if answer.status in (401, 403):
                    return "wrong token" if token else "answers, token unknown"
                return f"no Jupyter (HTTP {answer.status})"
    except aiohttp.ClientSSLError:
        return "certificate not trusted"
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError):
        return "does not answer"
