"""From a notebook cell to a RunPod worker, with the model still in memory.

``%load_ext kit``, then ``%%handler`` on the first line of a cell registers its function as the
handler; ``kit.run`` runs jobs against it at once; ``kit.export`` writes the worker.
"""

from __future__ import annotations

import sys
import types
from typing import Any as _Any

__version__ = "0.1.0"

__all__ = [
    "ExportError",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobLost",
    "JobState",
    "JobTimedOut",
    "KitError",
    "PayloadError",
    "Pod",
    "RegistrationError",
    "RunpodError",
    "Secret",
    "StoreError",
    "TargetError",
    "UsageError",
    "Wire",
    "debug",
    "events",
    "export",
    "free",
    "jobs",
    "load",
    "map",
    "memory",
    "panel",
    "pods",
    "report",
    "run",
    "samples",
    "serve",
    "timeline",
    "use",
    "verify",
]


class _Kit(types.ModuleType):
    """Keeps public names: importing the module ``kit.export`` would replace ``kit.export()``."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> object:
        # Only what is not there comes here. The machinery of import asks for every module it is
        # about to load, and many others for names with an underscore: those take no time.
        if name.isidentifier() and not name.startswith("_"):
            from importlib.util import find_spec

            if find_spec(f"kit.{name}") is None:
                import difflib

                for near in difflib.get_close_matches(name, __all__, 1, 0.6):
                    raise AttributeError(f"kit has no {name!r}: did you mean `kit.{near}`?")
        raise AttributeError(f"module 'kit' has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        # what completion offers: the public names, not the modules they were imported from
        return sorted([*__all__, *(name for name in vars(self) if name.startswith("__"))])


sys.modules[__name__].__class__ = _Kit


from kit.api import (  # noqa: E402 - after the guard
    debug,
    events,
    free,
    jobs,
    map,
    pods,
    run,
    samples,
    use,
)
from kit.errors import (  # noqa: E402
    ExportError,
    JobCancelled,
    JobError,
    JobFailed,
    JobLost,
    JobTimedOut,
    KitError,
    PayloadError,
    RegistrationError,
    RunpodError,
    StoreError,
    TargetError,
    UsageError,
)
from kit.job import Job, JobState, Wire  # noqa: E402
from kit.looking import memory, panel, report, timeline  # noqa: E402
from kit.pod import Pod  # noqa: E402
from kit.secret import Secret  # noqa: E402
from kit.shipping import export, load, serve, verify  # noqa: E402


def load_ipython_extension(ip: _Any) -> None:
    """``%load_ext kit``: the magics, the hooks, and the name ``kit`` if it is free."""
    from kit.extension import load

    load(ip)


def unload_ipython_extension(ip: _Any) -> None:
    """``%unload_ext kit``: put everything back; running jobs become LOST."""
    from kit.extension import unload

    unload(ip)
