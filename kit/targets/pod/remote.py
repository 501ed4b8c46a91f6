"""The pod's side: listens on the kernel's control channel, which no cell and no model load holds up.

One per kernel. Each notebook that uses the kernel is a tenant of it; a second one is refused unless
both said that they share.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

from kit import trace
from kit.capture import Capture
from kit.errors import RegistrationError
from kit.queue import Entry
from kit.sdk import SdkHook
from kit.targets.pod.mailbox import Send
from kit.targets.pod.stage import Stage
from kit.targets.pod.tenant import Tenant

_TYPE = "kit_pod"
#: under which name the kit's part is here; its hash tells one version from another
_PACKAGE = __name__.partition(".")[0]
_remote: Remote | None = None


class _Holder:
    """A tenant with what is known of its notebook."""

    def __init__(self, tenant: Tenant, identity: str, who: str, *, share: bool) -> None:
        self.tenant, self.identity, self.who, self.share = tenant, identity, who, share
        self.heard_at = time.monotonic()
        #: it has gone, and jobs of it still run here or were not fetched
        self.left = False


class Remote:
    """The pod's side of one kernel.

    Parameters
    ----------
    kernel : ipykernel's kernel
    """

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._loop = asyncio.get_running_loop()
        self._holders: dict[str, _Holder] = {}
        self._gone: dict[str, str] = {}
        self._stages: dict[str, Stage] = {}
        self._lock = threading.Lock()
        # the server's; a cell may change the process's later
        self._folder = Path.cwd()
        self.incarnation = secrets.token_hex(8)
        self._capture = Capture(self._sinks, lambda: False)
        self._capture.install()
        SdkHook(_no_start, self._progress).install()
        trace.cell_number = self._number_of
        kernel.control_handlers[_TYPE] = self._heard

    # -- messages (control thread) --------------------------------------------------------------

    def _heard(self, _stream: Any, _ident: Any, message: dict[str, Any]) -> None:
        content = message["content"]
        op, owner = content["op"], content["owner"]
        if op == "hello":
            self._hello(content)
            return
        holder = self._holders.get(owner)
        if holder is None:
            why = self._gone.get(owner, "this kernel does not know this notebook")
            self._send({"op": "gone", "owner": owner, "why": why})
            return
        holder.heard_at = time.monotonic()
        if op == "data":
            holder.tenant.mailbox.take(content, [bytes(b) for b in message["buffers"]])
        elif op == "bye" and holder.tenant.idle:
            self._drop(owner, "it said good-bye")
        elif op == "bye":
            holder.left = True
        if op == "ping" or content.get("again") or content.get("want"):
            self._pong(owner, holder, content)

    def _pong(self, owner: str, holder: _Holder, content: dict[str, Any]) -> None:
        channel = holder.tenant.mailbox.channel
        if op_ack := content.get("ack"):
            holder.tenant.mailbox.acknowledged(op_ack, again=bool(content.get("again")))
        self._send(
            {
                "op": "pong",
                "owner": owner,
                "sent": content.get("sent"),
                "time": time.time(),
                "ack": channel.received,
                "again": channel.gap,
            }
        )

    def _hello(self, content: dict[str, Any]) -> None:
        owner = content["owner"]
        with self._lock:
            holder = self._holders.get(owner)
            if holder is None:
                # one that another has taken over from must not take it back by connecting again
                refusal = self._gone.get(owner) or self._refusal(content)
                if refusal:
                    told = {"op": "refused", "package": _PACKAGE, "owner": owner, "why": refusal}
                    self._send(told)
                    return
                holder = self._inherit(content) or self._admit(content)
        holder.heard_at, holder.left = time.monotonic(), False
        tenant, fresh = holder.tenant, content["fresh"]
        self._send(
            {
                "op": "welcome",
                "package": _PACKAGE,
                "owner": owner,
                "incarnation": self.incarnation,
                "ack": tenant.mailbox.channel.received,
                "time": time.time(),
                "sent": content.get("sent"),
                "facts": _facts(),
                "record": tenant.plays.stage.record if fresh else None,
                "held": tenant.held() if fresh else None,
                "plans": tenant.plays.last,
            }
        )
        tenant.mailbox.resume(content["received"])

    def _refusal(self, content: dict[str, Any]) -> str:
        for holder in list(self._holders.values()):
            if holder.identity == content["identity"] or (holder.share and content["share"]):
                continue
            running = holder.tenant.unfinished
            if holder.left and not running:
                continue  # what it has not fetched is kept for it
            ago = time.monotonic() - holder.heard_at
            state = (
                f"left {ago:.0f} s ago, {running} of its jobs still run"
                if holder.left
                else (f"heard {ago:.0f} s ago")
            )
            return (
                f"this kernel of the pod belongs to {holder.who} ({state}). Take "
                "another one, kit.Pod(..., kernel='name'), or share it: share=True on both sides."
            )
        return ""

    def _inherit(self, content: dict[str, Any]) -> _Holder | None:
        """The same notebook after a restart of its kernel: the newer one takes over, jobs and all."""
        owner = content["owner"]
        for former, holder in list(self._holders.items()):
            if holder.identity == content["identity"]:
                del self._holders[former]
                self._gone[former] = "a newer kernel of the same notebook has taken the pod over"
                holder.tenant.hand_over(self._sender(owner))
                return self._hold(holder.tenant, content)
        return None

    def _admit(self, content: dict[str, Any]) -> _Holder:
        stage = self._stage(content["identity"])
        tenant = Tenant(self._folder, stage, self._loop, self._sender(content["owner"]))
        return self._hold(tenant, content)

    def _hold(self, tenant: Tenant, content: dict[str, Any]) -> _Holder:
        share = bool(content["share"])
        holder = _Holder(tenant, content["identity"], content["who"], share=share)
        self._holders[content["owner"]] = holder
        return holder

    def _sender(self, owner: str) -> Send:
        def send(about: dict[str, Any], buffers: list[bytes]) -> None:
            self._send({**about, "owner": owner}, buffers)

        return send

    def _stage(self, identity: str) -> Stage:
        """The namespace of a notebook; it outlives the notebook's own kernel."""
        if identity not in self._stages:
            if self._stages:
                module = types.ModuleType(f"kit_notebook_{len(self._stages) + 1}")
                sys.modules[module.__name__] = module
                namespace = module.__dict__
            else:
                namespace = self._kernel.shell.user_ns
            self._stages[identity] = Stage(namespace)
        return self._stages[identity]

    def _drop(self, owner: str, why: str) -> None:
        holder = self._holders.pop(owner, None)
        if holder is not None:
            self._gone[owner] = why
            threading.Thread(target=holder.tenant.close, name="kit-close", daemon=True).start()

    def _send(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        kernel = self._kernel
        kernel.session.send(
            kernel.iopub_socket, _TYPE, content, ident=_TYPE.encode(), buffers=buffers or []
        )

    # -- what the process shares ----------------------------------------------------------------

    def _sinks(self) -> list[Entry]:
        return [e for h in list(self._holders.values()) for e in h.tenant.worker.running()]

    def _number_of(self, filename: str) -> int | None:
        for stage in list(self._stages.values()):
            number = stage.number_of(filename)
            if number is not None:
                return number
        return None

    def _progress(self, job: Any, value: Any) -> bool:
        return any(h.tenant.progress(job, value) for h in list(self._holders.values()))


def _no_start(config: Any) -> None:  # noqa: ARG001 - the SDK's signature
    raise RegistrationError(
        "runpod.serverless.start() runs a worker process; on the pod the kit runs the handler."
    )


def _facts() -> dict[str, Any]:
    import importlib.util

    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "pid": os.getpid(),
        "folder": str(Path.cwd()),
        "runpod": importlib.util.find_spec("runpod") is not None,
    }


def open_on(kernel: Any) -> None:
    """Listen on a kernel; a second call does nothing. On the main thread, in its event loop."""
    global _remote
    if _remote is None:
        _remote = Remote(kernel)
