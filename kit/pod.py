"""``kit.Pod``: a machine with a Jupyter server on which jobs can run, as a person holds it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kit.errors import TargetError, UsageError
from kit.secret import Secret
from kit.targets.pod.address import Address, parse
from kit.targets.pod.report import Plan

if TYPE_CHECKING:
    from kit.job import Job
    from kit.session import Session
    from kit.targets.pod.target import PodTarget


class Pod:
    """A pod: any machine with a Jupyter server.

    Nothing is connected until ``kit.use(pod)`` or the first ``kit.run(..., target=pod)``.

    Parameters
    ----------
    url : str
        Address of the server as the browser shows it.
    token : str, Secret or None
        Of the Jupyter server. None takes the one in the URL, else ``KIT_POD_TOKEN`` or
        ``JUPYTER_TOKEN``. It is sent to that host only, in a header, and never stored.
    id : str
        Instead of a URL: RunPod's id of the pod. Its address and token are looked up through
        RunPod's API when it is first used; that costs nothing.
    key : str, Secret or None
        RunPod's API key for that look-up; None takes ``RUNPOD_API_KEY``, else runpod's own config.
    kernel : str or None
        Name of the kernel there. None: one for this notebook, found again after a restart of the
        notebook's own kernel, with the model warm; jobs that went on there meanwhile, LOST here,
        then get their real ends.
    share : bool
        Let another notebook use the same kernel beside this one, each with names of its own. Both
        must say so.
    ca : path or None
        PEM file of a private certificate authority. Certificates are always verified.

    Raises
    ------
    UsageError
        The address is none, or would send the token in the clear.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        id: str | None = None,
        key: str | Secret | None = None,
        token: str | Secret | None = None,
        kernel: str | None = None,
        share: bool = False,
        ca: str | None = None,
    ) -> None:
        name: object = kernel  # a person's, whatever the annotation says
        if name is not None and not (isinstance(name, str) and name.strip("/. ")):
            raise UsageError("kernel= takes a name, e.g. kernel='two'.")
        if (url is None) == (id is None):
            raise UsageError(
                "kit.Pod takes the address of a Jupyter server, or id= of a RunPod pod."
            )
        self._id, self._key = (
            id,
            None if key is None else Secret(key) if isinstance(key, str) else key,
        )
        self._token = None if token is None else Secret(token) if isinstance(token, str) else token
        self._address: Address | None = None if url is None else parse(url, self._token)
        self.kernel, self.share, self.ca = kernel, share, ca
        self.target: PodTarget | None = None
        self.session: Session | None = None

    @property
    def address(self) -> Address:
        """Where it is; by its id it is looked up the first time, which blocks for one request."""
        if self._address is None:
            from kit.podlist import resolve

            found = resolve(str(self._id), self._key)
            self._address = parse(found.url, self._token or found.token)
        return self._address

    @property
    def name(self) -> str:
        """Under which its jobs are journaled: ``pod:`` and a short form of the address."""
        name = f"pod:{self.address.label}"
        return name if self.kernel is None else f"{name}/{self.kernel}"

    def _connected(self) -> PodTarget:
        if self.target is None:
            raise TargetError(f"{self.name} is not in use yet: kit.use(pod), then again.")
        return self.target

    def plan(self) -> Plan:
        """Which statements ran on the pod for the newest version it has seen, and why.

        Raises
        ------
        TargetError
            No job has run there yet.
        """
        report = self._connected().setups.report
        if report is None:
            raise TargetError(f"no job has run on {self.name} yet: kit.run(..., target=pod).")
        return report

    def put(self, *paths: str | os.PathLike[str]) -> list[str]:
        """Send files that the handler reads; those that are there already, as they are, stay. Blocks.

        Parameters
        ----------
        *paths : path
            Files and folders. A relative path keeps its folders below the server's own, an absolute
            one only its name. Nothing is ever written outside the server's folder.

        Returns
        -------
        list of str
            Names of those that were sent.

        Raises
        ------
        UsageError
            A file is not here, or would lie outside.
        TargetError
            The pod could not write one: its disk is full, say. The older file stays then.
        """
        from kit.targets.pod.goods import goods_of

        return self._connected().put(goods_of(paths))

    def install(self, *requirements: str) -> Job:
        """Have the pod's own pip install packages; what it says is the job's log. Returns at once.

        Parameters
        ----------
        *requirements : str
            As for pip. None: whatever the current handler imports and the pod does not have.

        Raises
        ------
        UsageError
            Something is no requirement.
        """
        from kit.job import Job
        from kit.targets.pod.goods import imported_of, wanted_of

        target = self._connected()
        assert self.session is not None
        if requirements:
            wanted = wanted_of(requirements)
        else:
            wanted = imported_of(target.setups.kept(self.session.handler(None)))
        key = target.install(wanted)
        return Job(key, f"install-{key}", self.session)

    def end(self) -> None:
        """End the kernel on the pod: its model is gone, its memory free. Blocks.

        Jobs that run there are LOST. The next job starts a new kernel and runs all statements again.
        """
        self._connected().end()

    def __repr__(self) -> str:
        if self._address is None:
            return f"<Pod {self._id}, not looked up yet>"
        target = self.target
        if target is None:
            return f"<Pod {self.address.base}, not in use yet>"
        if target.trouble or target.tether is None:
            return f"<Pod {self.address.base}: {target.trouble}>"
        facts, clock = target.tether.facts, target.tether.clock.best
        about = "" if facts is None else f", Python {facts.python} in {facts.folder}"
        if facts is not None and not facts.runpod:
            about += ", no runpod"
        return (
            f"<Pod {self.address.base}{about}; its clock is {clock.offset_s * 1e3:+,.1f} ms "
            f"(±{clock.error_s * 1e3:,.1f}) from this one's>"
        )
