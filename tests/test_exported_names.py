"""``kit.__all__`` is a promise: what it lists exists, and nothing else is public."""

from __future__ import annotations

import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import kit

ROOT = Path(__file__).resolve().parent.parent

#: every name that the kit means to have once the thing behind it works
PROMISED = {
    # jobs
    *("run", "map", "debug", "use", "Job", "JobState", "Batch", "Wire"),
    # tables and pictures
    *("jobs", "events", "samples", "panel", "timeline", "memory", "report"),
    # a handler's way out
    *("export", "verify", "load", "serve", "doctor", "free", "Bundle", "Report"),
    # places to run
    *("Pod", "Endpoint", "Secret", "pods"),
    # what can go wrong
    *("KitError", "RegistrationError", "UsageError", "PayloadError", "StoreError", "TargetError"),
    *(
        "RunpodError",
        "ExportError",
        "JobError",
        "JobFailed",
        "JobTimedOut",
        "JobCancelled",
        "JobLost",
    ),
}
#: those that work today
WORKING = {
    *("run", "map", "debug", "use", "jobs", "events", "samples", "panel", "timeline", "memory"),
    *(
        "export",
        "pods",
        "serve",
        "verify",
        "Pod",
        "Job",
        "JobFailed",
        "JobTimedOut",
        "JobCancelled",
        "JobLost",
        "KitError",
    ),
}


def test_all_is_part_of_the_promise_and_holds_what_works() -> None:
    assert len(kit.__all__) == len(set(kit.__all__))
    names = set(kit.__all__) - {"__version__"}
    assert names <= PROMISED, f"not promised: {sorted(names - PROMISED)}"
    assert names >= WORKING, f"missing: {sorted(WORKING - names)}"


def test_every_name_is_there_and_documented() -> None:
    for name in kit.__all__:
        value = getattr(kit, name)
        if name != "__version__":
            assert callable(value), name
            assert value.__doc__, f"kit.{name} has no docstring"


def test_no_module_takes_a_name_s_place() -> None:
    # importing kit.events for the first time binds `kit.events`, and would hide a function so called
    source = """
import importlib, pkgutil, kit
before = {name: getattr(kit, name) for name in kit.__all__}
for found in pkgutil.walk_packages(kit.__path__, "kit."):
    importlib.import_module(found.name)
print(*[name for name, value in before.items() if getattr(kit, name) is not value or
        type(value).__name__ == "module"])
"""
    told = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert not told.stdout.split(), "hidden by a module of the same name"


def test_nothing_else_is_public() -> None:
    public = {
        name
        for name in {*vars(kit), *dir(kit)}
        if not name.startswith("_") and not isinstance(getattr(kit, name), types.ModuleType)
    }
    extra = public - set(kit.__all__) - {"load_ipython_extension", "unload_ipython_extension"}
    extra -= {"annotations"}  # the __future__ import
    assert not extra, f"public but not in __all__: {sorted(extra)}"


def test_completion_offers_the_public_names_only() -> None:
    assert [name for name in dir(kit) if not name.startswith("__")] == sorted(kit.__all__)
    assert "__version__" in dir(kit)
    with pytest.raises(AttributeError, match=r"did you mean `kit\.export`"):
        kit.exprt  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'qqq'"):
        kit.qqq  # noqa: B018
    from kit import findings  # a module of its own goes on being found

    assert findings.CATALOGUE


def test_the_version_is_the_distribution_s() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'^version = "(.*)"$', text, re.MULTILINE) == [kit.__version__]
