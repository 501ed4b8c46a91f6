"""``README.md`` of a worker: what it takes, what it gives, what it costs. Text of jobs stays text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kit.export.examples import Example, Measured
from kit.export.surface import Variable, keys_of

_SHOWN = 60  # characters of a string in an example
_ITEMS = 8  # elements of a list, keys of an object


@dataclass(frozen=True, slots=True)
class Facts:
    """What a README is made of.

    Attributes
    ----------
    title, description : str
    streams : bool
        Whether the handler yields.
    files : tuple of str
        All of the bundle's.
    examples : sequence of Example
    variables : sequence of Variable
    env : sequence of (str, str)
        What the image sets.
    measured : Measured or None
    given : str or None
        Text of the bundle's ``test_input.json``.
    """

    title: str
    description: str
    streams: bool
    files: Sequence[str]
    examples: Sequence[Example]
    variables: Sequence[Variable]
    env: Sequence[tuple[str, str]]
    measured: Measured | None
    given: str | None = None


def render_readme(facts: Facts) -> str:
    """The worker's README."""
    parts = [f"# {_line(facts.title)}", _line(facts.description)]
    parts += _input(facts)
    parts += _output(facts)
    parts += _variables(facts)
    parts += _measured(facts.measured)
    parts += _use(facts)
    return "\n\n".join(part for part in parts if part) + "\n"


def _input(facts: Facts) -> list[str]:
    if not facts.examples and facts.given is not None:
        said = "No job of it that completed was recorded, so no output is shown. `test_input.json`:"
        return ["## Input", said, _block(json.loads(facts.given))]
    if not facts.examples:
        return ["## Input", "No job was recorded, so there is no example."]
    keys = keys_of([example.input for example in facts.examples])
    parts = ["## Input"]
    if keys:
        rows = [
            f"| {_code(key.name)} | {' or '.join(key.types)}{'' if key.always else ', optional'} "
            f"| {_code(_short_json(key.example))} |"
            for key in keys
        ]
        parts.append("\n".join(["| key | type | example |", "| --- | --- | --- |", *rows]))
    parts.append(_block({"input": facts.examples[-1].input}))
    return parts


def _output(facts: Facts) -> list[str]:
    if not facts.examples:
        return []
    how = " It streams: each part is available at `/stream` as it is made." if facts.streams else ""
    return ["## Output", f"Of that input.{how}", _block(facts.examples[-1].output)]


def _variables(facts: Facts) -> list[str]:
    if not facts.variables and not facts.env:
        return []
    rows = []
    set_here = dict(facts.env)
    for variable in facts.variables:
        value = set_here.get(variable.name, variable.default)
        if variable.secret:
            needed = "required, a secret" if variable.required else "a secret"
        elif value is not None:
            needed = f"default {_code(value)}"
        else:
            needed = "required" if variable.required else "optional"
        rows.append(f"| {_code(variable.name)} | {variable.kind} | {needed} |")
    read = {variable.name for variable in facts.variables}
    rows += [f"| {_code(k)} | string | set to {_code(v)} |" for k, v in facts.env if k not in read]
    table = ["| variable | type | |", "| --- | --- | --- |", *rows]
    return ["## Environment", "\n".join(table)]


def _measured(measured: Measured | None) -> list[str]:
    if measured is None:
        return []
    times = f"{_time(measured.median_ms)} (1 job)"
    if measured.jobs > 1:
        median, longest = _time(measured.median_ms), _time(measured.longest_ms)
        times = f"median {median}, longest {longest} ({measured.jobs} jobs)"
    lines = [f"- Time of a job: {times}."]
    names = {"vram": "GPU memory", "rss": "Memory of the whole notebook's process"}
    for kind, peak in measured.memory:
        lines.append(f"- {names.get(kind, kind)}: at most {_size(peak)}.")
    return ["## Measured", "In the notebook this worker was exported from:\n\n" + "\n".join(lines)]


def _use(facts: Facts) -> list[str]:
    parts = ["## Use"]
    if "Dockerfile" in facts.files:
        parts.append(
            "```bash\ndocker build --platform linux/amd64 -t NAME:TAG .\ndocker push NAME:TAG\n```"
        )
    if "test_input.json" in facts.files:
        parts.append(
            "`python handler.py` runs `test_input.json` once, without RunPod."
            + (" RunPod's local test does not run a handler that yields." if facts.streams else "")
        )
    parts.append(
        "RunPod's worker checks memory, disk and network before it takes a job, and ends if one of them "
        "is short: `RUNPOD_MIN_MEMORY_GB` and `RUNPOD_MIN_DISK_PERCENT` set the limits."
    )
    return parts


def _block(value: Any) -> str:
    """JSON in a fence that nothing inside can close."""
    text = json.dumps(_shortened(value), indent=2, ensure_ascii=False)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}json\n{text}\n{fence}"


def _short_json(value: Any) -> str:
    text = json.dumps(_shortened(value), ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _shortened(value: Any) -> Any:
    """A value whose long parts are cut, so that a person sees its shape."""
    if isinstance(value, str):
        if len(value) <= 2 * _SHOWN:
            return value
        return f"{value[:_SHOWN]}... ({len(value):,} characters)"
    if isinstance(value, list):
        cut = [_shortened(item) for item in value[:_ITEMS]]
        return cut if len(value) <= _ITEMS else [*cut, f"... ({len(value):,} in all)"]
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in list(value.items())[: 4 * _ITEMS]}
    return value


def _code(text: str) -> str:
    """A code span inside a table's cell: no bar, no line end, no way out of the span."""
    plain = "".join(c if c.isprintable() else "?" for c in text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", plain)), default=0)
    tick = "`" * (longest + 1)
    pad = " " if plain.startswith("`") or plain.endswith("`") or not plain else ""
    return f"{tick}{pad}{plain}{pad}{tick}"


def _line(text: str) -> str:
    """Anybody's text as one line that Markdown shows as it is."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", plain)


def _time(ms: float) -> str:
    if ms < 1000:
        return f"{_two(ms)} ms"
    return f"{_two(ms / 1000)} s"


def _size(size_bytes: int) -> str:
    mib = size_bytes / 2**20
    return f"{_two(mib)} MiB" if mib < 1024 else f"{_two(mib / 1024)} GiB"


def _two(value: float) -> str:
    """Two figures: a second export after a few more jobs need not change the file."""
    text = f"{value:.2g}"
    return f"{float(text):g}" if "e" not in text else f"{float(text):.0f}"
