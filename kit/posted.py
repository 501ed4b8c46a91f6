"""What RunPod's worker posts as ``error``, read back."""

from __future__ import annotations

import json
from typing import Any

from kit.events import ErrorInfo

_GENERATOR_TRACE = " \ntraceback: "


def error_of(error: Any) -> ErrorInfo:
    """The facts in an ``error``: the SDK's JSON for a raised exception, its sentence for a
    generator's, or whatever the handler returned.
    """
    if not isinstance(error, str):
        return ErrorInfo("", repr(error))
    head, found, trace = error.partition(_GENERATOR_TRACE)
    if found and head.startswith("handler: "):
        return ErrorInfo("", head.removeprefix("handler: "), trace)
    if error.startswith('{"error_type": '):
        try:
            raw = json.loads(error)
            return ErrorInfo(
                str(raw["error_type"]), str(raw["error_message"]), str(raw["error_traceback"])
            )
        except (ValueError, KeyError):
            pass
    return ErrorInfo("", error)
