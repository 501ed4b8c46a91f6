"""Constants: what they are in the kernel against what the exported code computes.

A cell that was edited and not run again, or a value that an earlier cell left behind, shows here
although every recorded job may be equal.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.export import simple
from kit.recorded import image_env
from kit.secret import redact


@dataclass(frozen=True, slots=True)
class Drift:
    """A constant that the exported code computes to something else.

    Attributes
    ----------
    name, place : str
        The place is the statement that defines it.
    kernel, worker : str
        Both values, numbers as they are and others by type and length.
    """

    name: str
    place: str
    kernel: str
    worker: str

    def sentence(self) -> str:
        """What differs, as one sentence."""
        if self.kernel == self.worker:
            return f"`{self.name}` ({self.place}) is another {self.kernel[2:]} in the kernel"
        return (
            f"`{self.name}` ({self.place}) is {self.kernel} in the kernel; "
            f"the exported code computes {self.worker}"
        )


@dataclass(frozen=True, slots=True)
class Constants:
    """Fingerprints of the kernel's simple values; the values themselves are not kept.

    Attributes
    ----------
    salt : str
        Of every hash, made for this export.
    places : mapping of str to str
        Name to the statement that defines it.
    known : mapping of str to (str, str)
        Name to hash and how the value is shown.
    """

    salt: str
    places: Mapping[str, str]
    known: Mapping[str, tuple[str, str]]


def constants_of(places: Mapping[str, str], namespace: Mapping[str, Any]) -> Constants:
    """Take the fingerprints of what is simple among a notebook's names."""
    salt = secrets.token_hex(16)
    known: dict[str, tuple[str, str]] = {}
    for name in places:
        if name in namespace:
            found = simple.fingerprint(namespace[name], salt)
            if found is not None:
                known[name] = found
    return Constants(salt, places, known)


def drift(folder: Path, constants: Constants, timeout_s: float) -> tuple[tuple[Drift, ...], str]:
    """Compare with what ``handler.py`` in a folder computes in a clean process.

    Blocks while the file is imported, model load included; an interrupt ends it.

    Returns
    -------
    found : tuple of Drift
    why : str
        Why nothing was compared; ``""`` if it was.
    """
    if not constants.known:
        return (), ""
    with tempfile.TemporaryDirectory(prefix="kit-values-") as temporary:
        to = Path(temporary) / "values.json"
        asked = {"salt": constants.salt, "names": list(constants.known), "to": str(to)}
        why = _import(folder, json.dumps(asked), timeout_s)
        if why:
            return (), why
        try:
            theirs = json.loads(to.read_text("utf-8"))
        except (OSError, ValueError):
            return (), "handler.py ended the process when it was imported"
    found = []
    for name, (digest, shown) in constants.known.items():
        if name not in theirs:
            found.append(Drift(name, constants.places[name], shown, "nothing"))
        elif theirs[name] is None:
            found.append(Drift(name, constants.places[name], shown, "no simple value"))
        elif theirs[name][0] != digest:
            found.append(Drift(name, constants.places[name], shown, theirs[name][1]))
    return tuple(found), ""


def _import(folder: Path, asked: str, timeout_s: float) -> str:
    program = Path(simple.__file__).read_text("utf-8")
    env = {
        name: value
        for name, value in {**os.environ, **image_env(folder)}.items()
        if not (name == "MPLBACKEND" and value.startswith("module://"))
    }
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    # a file: what the import starts may keep a pipe open for ever
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=folder, env=env, stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=said, start_new_session=True,
        )  # fmt: skip
        try:
            process.communicate(asked.encode(), timeout_s)
        except subprocess.TimeoutExpired:
            return f"importing handler.py took longer than {timeout_s:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and what it may have started
            process.wait()
        if process.returncode == 0:
            return ""
        said.seek(max(0, os.fstat(said.fileno()).st_size - 10_000))
        last = said.read().decode(errors="replace").strip().rpartition("\n")[2][:300]
    return "importing handler.py failed" + (f": {redact(last)}" if last else "")
