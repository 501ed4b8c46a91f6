"""Worker files to notebooks and back, each step in a forked process: what every step would post.

    python tests/roundtrip.py projects.json folder

prints one JSON list: for each project what its file posts, what the loaded notebook's jobs post,
and what the file exported from that notebook posts.
"""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import runpod  # noqa: F401 - so that each fork has it
from IPython.core.interactiveshell import InteractiveShell

import kit
from kit import runner
from kit.events import JobKey, JobState, JobView
from kit.handler import Handler, HandlerVersion, Options, kind_of
from kit.job import wire_of
from kit.sdk import SdkHook


def forked(
    work: Callable[[Path, list[Any]], Any], place: Path, inputs: list[Any], told: Path
) -> Any:
    """What a function gives, run in a process of its own."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(2, 1)
            told.write_text(json.dumps({"value": work(place, inputs)}))
        except BaseException:
            told.write_text(json.dumps({"error": traceback.format_exc()}))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return json.loads(told.read_text())


def plain(wire: Any) -> Any:
    """A wire without what differs by nature: tracebacks name the file."""
    done = wire.done
    if isinstance(done, dict) and isinstance(done.get("error"), str):
        error = done["error"].partition(" \ntraceback: ")[0]
        if error.startswith('{"error_type": '):
            raw = json.loads(error)
            error = [raw["error_type"], raw["error_message"]]
        done = {**done, "error": error}
    return [done, list(wire.stream), wire.lost]


def of_file(path: Path, inputs: list[Any]) -> Any:
    """What a file's handler posts."""
    configs: list[dict[str, Any]] = []
    hook = SdkHook(configs.append, lambda job, value: True)
    hook.install()
    os.chdir(path.parent)
    sys.path.insert(0, str(path.parent))
    sys.argv = [path.name]
    runpy.run_path(str(path), run_name="__main__")
    [config] = configs
    function = config.pop("handler")
    info = HandlerVersion(
        "handler", 1, kind_of(function), "handler", (), "", None, None, None, "{}", 0.0
    )
    known = {key: config[key] for key in ("return_aggregate_stream", "refresh_worker") if key in config}  # fmt: skip
    modifier = config.get("concurrency_modifier")
    handler = Handler(info, function, Options(**known, concurrency_modifier=modifier))
    told = [asyncio.run(one(handler, n, value)) for n, value in enumerate(inputs)]
    return {"wires": told, "options": [known, None if modifier is None else modifier(1)]}


class Chunks:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def chunk(self, text: str) -> None:
        self.texts.append(text)


async def one(handler: Handler, number: int, value: Any) -> Any:
    chunks = Chunks()
    request = json.dumps({"input": value})
    outcome = await runner.run(handler, str(number), str(number), request, chunks, None)
    view = JobView(
        key=JobKey(str(number)), id=str(number), handler="handler", version=1, target="local",
        state=JobState(outcome.kind.value.upper()), attempt=1, timeout_s=None, request=request,
        submitted_at=0.0, ended_at=0.0, done=outcome.done, lost=outcome.lost, error=outcome.error,
        stream=tuple(chunks.texts),
    )  # fmt: skip
    return plain(wire_of(view))


def of_notebook(folder: Path, inputs: list[Any]) -> Any:
    """What the jobs of a loaded notebook post; its handler is then exported into ``exported``."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.environ["KIT_HOME"] = str(folder / "home")
    loaded = kit.load("handler.py")
    notebook = json.loads(loaded.path.read_text())
    shell = InteractiveShell.instance()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            shell.run_cell(source, store_history=True, cell_id=cell["id"]).raise_error()
    wires = [plain(job.wire) for job in (waited(kit.run(input=value)) for value in inputs)]
    bundle = kit.export("exported", verify=False)
    return {"wires": wires, "cells": list(loaded.cells), "notes": list(bundle.notes)}


def waited(job: Any) -> Any:
    try:
        job.result(30)
    except kit.JobError:
        pass
    return job


def main(projects: Path, folder: Path) -> None:
    told = []
    for number, project in enumerate(json.loads(projects.read_text())):
        place = folder / str(number)
        for name, text in {**project["files"], "handler.py": project["source"] + "\n"}.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
        os.environ.update(project["env"])
        result = folder / "told.json"
        inputs = project["inputs"]
        file = forked(of_file, place / "handler.py", inputs, result)
        notebook = forked(of_notebook, place, inputs, result)
        exported = None
        if "value" in notebook:
            for name, text in project["files"].items():
                (place / "exported" / name).parent.mkdir(parents=True, exist_ok=True)
                (place / "exported" / name).write_text(text)
            exported = forked(of_file, place / "exported" / "handler.py", inputs, result)
        told.append({"file": file, "notebook": notebook, "exported": exported})
        for name in project["env"]:
            del os.environ[name]
    print(json.dumps(told))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
