"""``kit.__all__`` is a promise: what it lists exists, and nothing else is public."""

from __future__ import annotations

import re
import types
from pathlib import Path

import kit

#: every name that the kit means to have once the thing behind it works
PROMISED = {
    # jobs
    *("run", "map", "debug", "use", "Job", "JobState", "Batch", "Wire"),
    # tables and pictures
    *("jobs", "events", "samples", "panel", "timeline", "memory", "report"),
    # a handler's way out
    *("export", "verify", "load", "serve", "doctor", "free", "Bundle", "Report"),
    # places to run
    *("Pod", "Endpoint", "Secret"),
    # what can go wrong
    *("KitError", "RegistrationError", "UsageError", "PayloadError", "StoreError", "TargetError"),
    *("ExportError", "JobError", "JobFailed", "JobTimedOut", "JobCancelled", "JobLost"),
}
#: those that work today
WORKING = {
    *("run", "map", "debug", "use", "jobs", "events", "samples", "panel", "timeline", "memory"),
    *("export", "Job", "JobFailed", "JobTimedOut", "JobCancelled", "JobLost", "KitError"),
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


def test_nothing_else_is_public() -> None:
    public = {
        name
        for name in {*vars(kit), *dir(kit)}
        if not name.startswith("_") and not isinstance(getattr(kit, name), types.ModuleType)
    }
    extra = public - set(kit.__all__) - {"load_ipython_extension", "unload_ipython_extension"}
    extra -= {"annotations"}  # the __future__ import
    assert not extra, f"public but not in __all__: {sorted(extra)}"


def test_the_version_is_the_distribution_s() -> None:
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'^version = "(.*)"$', text, re.MULTILINE) == [kit.__version__]
