"""A clean virtual environment for a proof: what requirements.txt says and runpod, nothing else.

The kernel's environment has everything the notebook ever installed; the image will not. An
environment is kept under the hash of what was asked for, so that the second proof takes no longer
than one in the kernel's own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from kit.emulator.replay import play
from kit.posted import Case, Play, Played, Replay
from kit.secret import redact

Say = Callable[[str], None]

#: environments that stay; one with torch in it is several GB
_KEPT = 4
_STAMP = "installed.json"
#: the environment of requirements that mean files
_ALWAYS_NEW = "of-local-files"
#: pip's own words that say how far it is
_TOLD = ("Collecting ", "Downloading ", "Building ", "Installing ", "Using cached ")
#: lines of requirements.txt that mean files, whose change the text does not show
_LOCAL = ("-r", "-c", "-e", "--requirement", "--constraint", "--editable", ".", "/", "file:")
_NOT_PIPS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")
#: `pip --python` came with it
_PIP_FOR_OTHERS = Version("22.3")
_building = threading.Lock()


class CleanEnvError(Exception):
    """The environment could not be made; the message has pip's words."""


@dataclass(frozen=True, slots=True)
class CleanEnv:
    """An environment that is ready.

    Attributes
    ----------
    python : Path
        Its interpreter.
    packages : int
        Distributions in it.
    """

    python: Path
    packages: int


def clean_play(say: Say) -> Play:
    """Like :func:`kit.emulator.replay.play`, with workers in the folder's clean environment.

    Blocks while pip works; an interrupt ends it. If the environment cannot be made, nothing is run
    and the replay says why, in pip's words.

    Parameters
    ----------
    say : callable
        Gets a line whenever pip goes on to something else.
    """

    def run(
        folder: Path, cases: Sequence[Case], load_timeout_s: float, jobs_timeout_s: float
    ) -> Replay:
        try:
            with clean_env(folder, say) as made:
                replay = play(folder, cases, load_timeout_s, jobs_timeout_s, made.python)
        except CleanEnvError as exc:
            return Replay(tuple(Played() for _ in cases), str(exc), 0.0, None)
        where = f" in a clean environment of {made.packages} packages"
        return dataclasses.replace(replay, where=where)

    return run


@contextlib.contextmanager
def clean_env(folder: Path, say: Say) -> Iterator[CleanEnv]:
    """The environment of a worker's folder, made if need be; it is not removed while it is used.

    Raises
    ------
    CleanEnvError
    """
    needed = folder / "requirements.txt"
    text = needed.read_text("utf-8") if needed.is_file() else ""
    root = _root()
    place = root / _key(text)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _building, _lock(place, say):
            made = _ready(place) or _make(place, folder, text, say)
            _prune(root, place)
            yield made
    except OSError as exc:
        raise CleanEnvError(
            f"the clean environment {place} cannot be made: {exc.strerror or exc}"
        ) from None


def _root() -> Path:
    """``KIT_HOME``, else the user's cache: what lies there may be deleted at any time."""
    if os.environ.get("KIT_HOME"):
        return Path(os.environ["KIT_HOME"]).expanduser() / "environments"
    cache = os.environ.get("XDG_CACHE_HOME")
    usual = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return (Path(cache) if cache else usual) / "handler-kit" / "environments"


def _key(requirements: str) -> str:
    lines = sorted({line.strip() for line in requirements.splitlines()})
    told = "\0".join([*lines, sys.version, sys.base_prefix, platform.platform()])
    if any(line.startswith(_LOCAL) or " @ file:" in line for line in lines):
        return _ALWAYS_NEW
    return hashlib.sha256(told.encode()).hexdigest()[:24]


@contextlib.contextmanager
def _lock(place: Path, say: Say) -> Iterator[None]:
    """One process at a time; another one's pip is waited for."""
    with place.with_suffix(".lock").open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another process uses this environment; waiting for it")
            fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def _ready(place: Path) -> CleanEnv | None:
    try:
        told = json.loads((place / _STAMP).read_text("utf-8"))
        packages = int(told["packages"])
        os.utime(place / _STAMP)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    python = _python(place)
    return CleanEnv(python, packages) if python.exists() and place.name != _ALWAYS_NEW else None


def _python(place: Path) -> Path:
    return place / "bin" / "python"


def _make(place: Path, folder: Path, requirements: str, say: Say) -> CleanEnv:
    shutil.rmtree(place, ignore_errors=True)
    say(f"making a clean environment in {place}")
    try:
        _install(place, folder, requirements, say)
    except BaseException:  # half of one is of no use to anybody
        shutil.rmtree(place, ignore_errors=True)
        raise
    packages = len(list(place.glob("lib/python*/site-packages/*.dist-info")))
    (place / _STAMP).write_text(json.dumps({"packages": packages}), "utf-8")
    return CleanEnv(_python(place), packages)


def _install(place: Path, folder: Path, requirements: str, say: Say) -> None:
    pip = _pip_for(_python(place))
    bare = ["--without-pip"] if pip[0] == sys.executable else []
    _run([sys.executable, "-m", "venv", *bare, str(place)], folder, lambda line: None)
    wanted = ["-r", "requirements.txt"] if requirements else []
    if not re.search(r"^\s*runpod\b", requirements, re.MULTILINE | re.IGNORECASE):
        wanted.append("runpod")
    command = [*pip, "install", "--disable-pip-version-check", "--no-compile", "--no-input"]

    def told(line: str) -> None:
        if line.lstrip().startswith(_TOLD):
            say(line.strip()[:160])

    _run([*command, "--progress-bar=off", *wanted], folder, told)


def _pip_for(python: Path) -> list[str]:
    """How pip is called for another interpreter: this environment's pip, if it has one that can."""
    if importlib.util.find_spec("pip") is not None:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            if Version(importlib.metadata.version("pip")) >= _PIP_FOR_OTHERS:
                return [sys.executable, "-m", "pip", "--python", str(python)]
    return [str(python), "-m", "pip"]


def _run(command: Sequence[str], folder: Path, told: Say) -> None:
    """Run a command in the folder, line by line.

    Raises
    ------
    CleanEnvError
        With its own words for what went wrong.
    """
    env = {name: value for name, value in os.environ.items() if name not in _NOT_PIPS}
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        try:
            for line in running.stdout:
                lines.append(line.rstrip())
                told(line)
        except BaseException:
            running.kill()  # an interrupt: nothing goes on behind the person's back
            raise
    if running.returncode:
        errors = [line for line in lines if line.lstrip().startswith("ERROR")] or lines[-3:]
        words = " ".join(" ".join(errors).split())
        raise CleanEnvError(redact(f"the clean environment could not be made: {words}")[:1_000])


def _prune(root: Path, keep: Path) -> None:
    """Remove the environments that were not used for the longest, those in use left out."""
    stamps = sorted(root.glob(f"*/{_STAMP}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for stamp in stamps[_KEPT:]:
        place = stamp.parent
        if place == keep:
            continue
        with contextlib.suppress(OSError), place.with_suffix(".lock").open("w") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place, ignore_errors=True)
