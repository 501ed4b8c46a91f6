"""What a cell's source tells before any job has run."""

from __future__ import annotations

import ast
import dataclasses
import json
import textwrap
from typing import Any

import pytest

from kit.events import Finding
from kit.handler import Handler
from kit.inspection import example_input, line_of, static_findings
from tests.making import handler_of


def registered(code: str, name: str = "handler", cell: int | None = 5) -> tuple[str, Handler]:
    code = textwrap.dedent(code)
    names: dict[str, Any] = {}
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = ast.parse(code)
    tree.body = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    exec(compile(tree, "<cell>", "exec", flags), names)
    made = handler_of(names[name], name)
    return code, dataclasses.replace(made, info=dataclasses.replace(made.info, cell=cell))


def found(code: str, **more: Any) -> list[Finding]:
    return list(static_findings(*registered(code, **more)))


def test_a_good_cell_has_no_findings() -> None:
    assert not found(
        """
        model = {}
        def handler(job):
            path = "/workspaces/x"
            return model
        """
    )


@pytest.mark.parametrize(
    "call",
    [
        'AutoModel.from_pretrained("m")',
        'torch.load("m.pt")',
        'pipeline("text-generation")',
        'snapshot_download("m")',
        "load_model()",
    ],
)
def test_a_model_loaded_inside_the_handler(call: str) -> None:
    (one,) = found(f"def handler(job):\n    model = {call}\n    return model")
    assert (one.code, one.place) == ("K220", "In [5], line 2")
    assert call.split("(")[0] in one.sentence
    assert not found(f"def load():\n    return {call}\ndef handler(job): return 1")


def test_a_path_on_the_pod_s_volume() -> None:
    notes = found(
        """
        A = "/workspace/model.bin"
        B = "/workspace"
        C = "/workspace/model.bin"
        def handler(job): return open("/workspace/out/" + job["id"])
        """
    )
    assert [(n.code, n.place) for n in notes] == [
        ("K219", "In [5], line 2"),
        ("K219", "In [5], line 3"),
        ("K219", "In [5], line 5"),
    ]
    assert "/runpod-volume" in notes[0].sentence


def test_top_level_await_is_said_once_and_only_at_top_level() -> None:
    notes = found(
        """
        async def handler(job):
            await anything()
            async with lock: ...
        data = await fetch()
        more = [x async for x in stream()]
        """
    )
    assert [(n.code, n.place) for n in notes] == [("K218", "In [5], line 5")]
    assert not found("async def handler(job):\n    return await work()")


def test_without_a_cell_number_the_place_still_has_a_line() -> None:
    (one,) = found('def handler(job): return "/workspace/x"', cell=None)
    assert one.place == "the cell, line 1"


# -- the example -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "example"),
    [
        ('def handler(job): return job["input"]["prompt"]', {"prompt": ""}),
        ('def handler(job): return job["input"].get("prompt", "a dog")', {"prompt": "a dog"}),
        (
            "def handler(event):\n    i = event.get('input')\n    return i['a'], i.get('n', 3)",
            {"a": "", "n": 3},
        ),
        (
            'async def handler(job):\n    i = job["input"]\n    yield i.get("x", [1]), i.get("y", {})',
            {"x": [1], "y": {}},
        ),
        ('def handler(job): return job["input"].get("f", lambda: 1)', {"f": ""}),
        ('def handler(job): return job["input"].get("n", N)', {"n": ""}),
        ('def handler(job): return job["other"]["x"], other["input"]["y"]', {}),
        ("def handler(job): return 1", {}),
        ("handler = len", {}),
    ],
)
def test_the_keys_that_a_handler_reads(code: str, example: Any) -> None:
    names: dict[str, Any] = {}
    exec(code, names)
    assert json.loads(example_input(names["handler"], ast.parse(code))) == example


def test_a_method_s_job_is_its_second_argument() -> None:
    code = 'class S:\n    def handle(self, job): return job["input"]["x"]\nhandle = S().handle'
    names: dict[str, Any] = {}
    exec(code, names)
    assert json.loads(example_input(names["handle"], ast.parse(code))) == {"x": ""}


def test_the_last_definition_s_line() -> None:
    code = "def handler(job): ...\n\ndef handler(job):\n    return 1\n"
    names: dict[str, Any] = {}
    exec(code, names)
    assert line_of(ast.parse(code), names["handler"]) == 3
    assert line_of(ast.parse("x = 1"), names["handler"]) is None
    assert line_of(ast.parse(code), object()) is None
