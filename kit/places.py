"""The places where a session's jobs can run: this kernel, real workers beside it, pods."""

from __future__ import annotations

import getpass
import hashlib
import os
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import TargetError
from kit.handler import Handler
from kit.pod import Pod
from kit.podinfo import Provider
from kit.targets import NAMES

if TYPE_CHECKING:
    from kit.session import Session
    from kit.targets.pod.server import Server
    from kit.targets.pod.target import PodTarget
    from kit.targets.pod.terms import Pace
    from kit.targets.process import ProcessTarget


class Places:
    """Makes a session's targets when they are first named; their modules are loaded then.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.RLock()
        self._process: ProcessTarget | None = None
        self._pods: dict[str, PodTarget] = {}

    def check(self, target: object) -> str:
        """The name of a target, made if it was not there; TargetError for any other.

        Blocks until a pod that is named for the first time has answered.
        """
        if isinstance(target, Pod):
            return self.open_pod(target)
        if target in self._pods:
            return str(target)
        if (
            isinstance(target, str) and "://" in target
        ):  # it may hold a token, so it is not repeated
            raise TargetError(
                "an address is used by kit.use(kit.Pod(url, token=...)), or %kit use pod URL."
            )
        if target not in NAMES:
            names = ", ".join([*NAMES, *self._pods])
            raise TargetError(
                f"there is no target {target!r} here. Targets: {names}, kit.Pod(...)."
            )
        if target == "process" and self._process is None:
            self._open_process()
        return str(target)

    def news(self, target: str) -> str:
        """What a person should know who has just chosen a target, once; empty if nothing."""
        pod = self._pods.get(target)
        if pod is None or not pod.former:
            return ""
        count, pod.former = pod.former, 0
        of = "1 job" if count == 1 else f"{count:,} jobs"
        return (
            f"{of} of this notebook's former kernel went on there: the end of each goes into the "
            "journal, kit.jobs() shows it. pod.end() ends them."
        )

    def trouble(self, target: str) -> str:
        """Why a pod does not answer at the moment; empty for any other target."""
        pod = self._pods.get(target)
        return "" if pod is None else pod.trouble

    def provider(self, module: str) -> Provider | None:
        """Which distribution of a pod in use provides a module; None: none, or it does not answer.

        Blocks for at most a few seconds.
        """
        for name, pod in list(self._pods.items()):
            found = pod.provider(module)
            if found is not None:
                return Provider(*found, name)
        return None

    @property
    def remote(self) -> bool:
        """Whether a pod is in use."""
        return bool(self._pods)

    def forget(self) -> None:
        """The session is closed: its worker has closed them all."""
        self._process = None
        self._pods = {}

    def rest(self) -> int:
        """End worker processes that have no job; blocks until they are gone."""
        return 0 if self._process is None else self._process.rest()

    def _open_process(self) -> None:
        session = self._session
        worker = session.worker
        with self._lock:
            if self._process is not None:
                return
            from kit.targets.process import ProcessTarget

            self._process = ProcessTarget(
                worker,
                self._write_worker,
                session.second_copy_fits,
                lambda: session.sampler.hz,
                session.store.append_samples,
            )
            worker.attach(self._process)

    def _write_worker(self, handler: Handler, folder: Path) -> None:
        self._session.export_to(folder, handler, verify=False)

    def open_pod(self, pod: Pod, pace: Pace | None = None) -> str:
        """Connect a pod at its first use; TargetError says why it cannot be used."""
        with self._lock:
            name = pod.name
            known = self._pods.get(name)
            if known is None:
                known = self._pods[name] = self._attach(pod, pace)
            elif pod.target is not known:  # a new Pod for it may bring a new token
                known.readdress(_client(pod))
            pod.target, pod.session = known, self._session
            return name

    def _attach(self, pod: Pod, pace: Pace | None) -> PodTarget:
        from kit.targets.pod.setups import Hooks
        from kit.targets.pod.target import PodTarget
        from kit.targets.pod.terms import Who

        session = self._session
        identity, words = _notebook()
        target = PodTarget(
            pod.name,
            session.worker,
            _client(pod),
            pod.kernel or identity,
            Who(secrets.token_hex(16), identity, words, pod.share),
            Hooks(
                session.record.cells,
                session.intake.new_key,
                session.store.append_samples,
                session.store.view,
            ),
            pace,
        )
        try:
            target.open()
        except BaseException:
            target.close()
            raise
        session.worker.attach(target)
        return target


def _client(pod: Pod) -> Callable[[], Server]:
    from kit.targets.pod.server import Server

    address, ca = pod.address, pod.ca
    return lambda: Server(address, ca)


def _notebook() -> tuple[str, str]:
    """A name that is the same for every kernel of one notebook, and words for it."""
    # the server tells the kernel which notebook it belongs to
    path = os.environ.get("JPY_SESSION_NAME") or str(Path.cwd())
    host = socket.gethostname()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getpid())
    digest = hashlib.sha256("\0".join((path, host, user)).encode()).hexdigest()
    return digest[:12], f"{Path(path).name or path} on {host}"
