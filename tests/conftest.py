"""What every test stands on: an environment of its own, and skips that are counted and named."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kit.store import Store

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: what a person's machine may have set and a test must not see
_FOREIGN = ("RUNPOD_", "KIT_", "JUPYTER", "JPY_", "IPYTHON", "MPL", "PYTHONWARNINGS")
_KEPT = ("KIT_CHROMIUM", "KIT_FRESH", "KIT_NIGHTLY", "KIT_SEED", "JUPYTER_PLATFORM_DIRS")


def chromium() -> str | None:
    """Path of a Chromium, or None."""
    named = os.environ.get("KIT_CHROMIUM")
    return named or next(filter(None, map(shutil.which, CHROMIUM)), None)


def gpu_absence() -> str | None:
    """Why there is no GPU, in NVML's words; None if there is one."""
    try:
        import pynvml
    except ImportError:
        return "nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
        return None if pynvml.nvmlDeviceGetCount() else "NVML finds no device"
    except pynvml.NVMLError as error:
        return f"NVML: {error}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips", action="store_true", help="fail if anything but a gpu test was skipped"
    )


def pytest_configure(config: pytest.Config) -> None:
    for name in list(os.environ):
        if name.startswith(_FOREIGN) and name not in _KEPT:
            del os.environ[name]
    # the new default of jupyter_core; said so that it does not warn about it
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
    os.environ["MPLBACKEND"] = "Agg"
    # kernels and other children run this checkout, installed or not
    os.environ["PYTHONPATH"] = str(ROOT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    absent = {
        "browser": None if chromium() else "no chromium on this machine",
        "gpu": gpu_absence() if any(item.get_closest_marker("gpu") for item in items) else None,
    }
    for item in items:
        for marker, reason in absent.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=f"{marker}: {reason}"))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt here, and in children as they start.

    Not so by itself: a shell starts what runs in its background with SIGINT ignored.
    """
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, found)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty journal."""
    from kit.store import Store

    opened = Store.open(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def kit_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store, an IPython profile and Jupyter folders of the test's own, for its children too."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("KIT_HOME", str(folder / "kit"))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(folder / "jupyter" / name.lower()))
    return folder / "kit"


@pytest.fixture(autouse=True)
def stop_button() -> Iterator[None]:
    """Nothing may take the stop button away: SIGINT does after a test what it did before."""
    before = signal.getsignal(signal.SIGINT)
    yield
    after = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
    assert after is before, f"SIGINT's handler was left as {after!r}"


# -- tests that look at their whole process -------------------------------------------------------

#: by file: what its fresh tests said in their own process, "" for passed
_FRESH: dict[Path, dict[str, str]] = {}
#: in that process: what is handed back
_said: dict[str, str] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Tests marked ``fresh`` count descriptors, threads, memory or processor time of the process.

    Here those are also the leavings of every other test. So all of a file's run in a new process,
    and each takes its own outcome from there.
    """
    if "KIT_FRESH" in os.environ or pyfuncitem.get_closest_marker("fresh") is None:
        return None
    if pyfuncitem.path not in _FRESH:
        _FRESH[pyfuncitem.path] = _run_fresh(pyfuncitem)
    said = _FRESH[pyfuncitem.path].get(pyfuncitem.nodeid, "it did not run in its own process")
    if said:
        pytest.fail(said, pytrace=False)
    return True


def _run_fresh(first: pytest.Function) -> dict[str, str]:
    nodes = [
        item.nodeid
        for item in first.session.items
        if item.path == first.path and item.get_closest_marker("fresh") is not None
    ]
    outcome = Path(os.environ["KIT_HOME"]).with_name("fresh.json")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *nodes],
        cwd=first.config.rootpath,
        env={**os.environ, "KIT_FRESH": str(outcome)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    if not outcome.exists():
        pytest.fail(f"the process of its own broke:\n{done.stdout}{done.stderr}", pytrace=False)
    found: dict[str, str] = json.loads(outcome.read_text())
    return found


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _said[report.nodeid] = report.longreprtext
    elif report.when == "call" and report.passed:
        _said.setdefault(report.nodeid, "")


# -- skips ----------------------------------------------------------------------------------------


def _skipped(config: pytest.Config) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [] if reporter is None else list(reporter.stats.get("skipped", ()))


def _forbidden(config: pytest.Config) -> list[pytest.TestReport]:
    if not config.getoption("--strict-skips"):
        return []
    return [report for report in _skipped(config) if "gpu" not in getattr(report, "keywords", ())]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if (outcome := os.environ.get("KIT_FRESH")) is not None:
        Path(outcome).write_text(json.dumps(_said))
    if session.exitstatus == pytest.ExitCode.OK and _forbidden(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    skipped = _skipped(config)
    if not skipped:
        return
    reasons: Counter[str] = Counter()
    terminalreporter.section(f"{len(skipped)} skipped")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")] += 1
        terminalreporter.line(report.nodeid)
    for reason, count in reasons.most_common():
        terminalreporter.line(f"  {count} x {reason}")
    if forbidden := _forbidden(config):
        terminalreporter.line(
            f"--strict-skips: {len(forbidden)} of these may not be skipped", red=True
        )
