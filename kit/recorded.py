"""What an export has written of itself: the manifest in a worker's folder."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

MANIFEST = ".kit-export.json"
_LIMIT_BYTES = 8_000_000
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def about(folder: Path) -> dict[str, object] | None:
    """The manifest of a worker's folder; None if there is no readable one."""
    path = folder / MANIFEST
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode) or info.st_size > _LIMIT_BYTES:
            return None
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def image_env(folder: Path) -> dict[str, str]:
    """Variables that the worker's image sets, as its export recorded them; empty if none did."""
    found = (about(folder) or {}).get("env")
    if not isinstance(found, dict):
        return {}
    # a manifest may have come from anywhere: what no process could be started with is left out
    return {
        name: value
        for name, value in found.items()
        if _ENV_NAME.fullmatch(name) and isinstance(value, str) and value.isprintable()
    }
