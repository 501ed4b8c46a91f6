"""Inputs that lie beside a handler: ``test_input.json`` and RunPod's two kinds of ``tests.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import ExportError

#: the Hub's file takes precedence, as on RunPod; the last is the test runner's
_FILES = (".runpod/tests.json", "tests.json", ".github/tests.json")
_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class ExampleInput:
    """One request that should end COMPLETED.

    Attributes
    ----------
    name : str
        Where it is from, for the report.
    request : str
        JSON text with ``input``.
    expected : object
        The output it should give; ``NOTHING`` if the file does not say.
    """

    name: str
    request: str
    expected: Any = _MISSING


NOTHING = _MISSING


def inputs_beside(folder: Path) -> tuple[ExampleInput, ...]:
    """Every test input of a worker's folder.

    Raises
    ------
    ExportError
        A file is there and cannot be read as what it should be.
    """
    found: list[ExampleInput] = []
    raw = _read(folder / "test_input.json")
    if raw is not None:
        if not isinstance(raw, dict) or "input" not in raw:
            raise ExportError("test_input.json is not an object with `input`.")
        found.append(_test("test_input.json", raw))
    for name in _FILES:
        raw = _read(folder / name)
        if raw is None:
            continue
        tests = raw.get("tests") if isinstance(raw, dict) else raw
        if not isinstance(tests, list):
            raise ExportError(f"{name} has no list of tests.")
        for index, test in enumerate(tests):
            if not isinstance(test, dict) or "input" not in test:
                raise ExportError(f"test {index} in {name} has no `input`.")
            found.append(_test(f"{name}: {test.get('name', index)}", test))
        break
    return tuple(found)


def _test(name: str, raw: dict[str, Any]) -> ExampleInput:
    request = {key: value for key, value in raw.items() if key in ("input", "policy", "webhook")}
    text = json.dumps(request, ensure_ascii=False)
    return ExampleInput(name, text, raw.get("expected_output", _MISSING))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise ExportError(f"{path.name} cannot be read: {exc}") from None
