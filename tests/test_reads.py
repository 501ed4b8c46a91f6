"""What a handler reads of its input, from its source and from what it checks the input with."""

from __future__ import annotations

import ast
import functools
import importlib.util
import linecache
import textwrap
from typing import Any

import pytest

from kit.fields import Field
from kit.reads import Reads, reads_of


def reads(code: str, name: str = "handler", *, tree: bool = True, **names: Any) -> Reads:
    """Reads of a function of a cell; without its tree it is looked up, as a button does."""
    code = textwrap.dedent(code)
    file = f"<cell {abs(hash(code))}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    exec(compile(code, file, "exec", dont_inherit=True), names)
    return reads_of(eval(name, names), ast.parse(code) if tree else None)


def told(found: Reads) -> list[tuple[str, bool, str, str | None]]:
    return [(f.name, f.required, f.kind, f.default) for f in found.fields]


@pytest.mark.parametrize("tree", [True, False])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            'def handler(job): return job["input"]["prompt"], job["input"].get("seed", 0)',
            [("prompt", True, "", None), ("seed", False, "integer", "0")],
        ),
        (
            """
            async def handler(event):
                values = event.get("input", {}) or {}
                copy = values.copy()
                yield copy["a"], values.pop("b"), values.pop("c", 1.5), values.setdefault("d", [])
            """,
            [("a", True, "", None), ("b", True, "", None), ("c", False, "number", "1.5"),
             ("d", False, "array", "[]")],
        ),
        (
            """
            def handler(job):
                if (x := job["input"]) and "mask" in x:
                    return x["mask"]
                x["set"] = 1
                del x["gone"]
                return x["set"]
            """,
            [("mask", False, "", None), ("set", False, "", None)],
        ),
        (
            """
            def size(data): return data["width"], data.get("height", 64)
            def whole(job): return size(job["input"]), job["input"]["tail"]
            def handler(job): return whole(job)
            """,
            [("tail", True, "", None), ("width", True, "", None), ("height", False, "integer", "64")],
        ),
        (
            """
            def paint(prompt, *, steps: int = 20, style: "str" = None): ...
            def handler(job): return paint(**job["input"])
            """,
            [("prompt", True, "", None), ("steps", False, "integer", "20"),
             ("style", False, "string", "null")],
        ),
        ('def handler(job): return job["id"], other["input"]["x"]', []),
    ],
)  # fmt: skip
def test_keys_that_the_source_reads(code: str, expected: Any, tree: bool) -> None:
    assert sorted(told(reads(code, tree=tree))) == sorted(expected)


def test_recursion_and_what_has_no_source_end_somewhere() -> None:
    assert told(reads('def handler(job): return handler(job), job["input"]["x"]'))
    assert reads_of(len) == Reads()
    assert reads_of(functools.partial(print, 1)) == Reads()
    assert reads_of(object()) == Reads()


def test_methods_partials_and_objects_that_are_called() -> None:
    code = """
    import functools
    class S:
        def handle(self, job): return job["input"]["x"]
        def __call__(self, job): return job["input"]["y"]
    def two(model, job): return job["input"]["z"]
    one = functools.partial(two, "m")
    """
    for name, key in (("S().handle", "x"), ("S()", "y"), ("one", "z")):
        assert [f.name for f in reads(code, name).fields] == [key]


VALIDATED = """
from runpod.serverless.utils.rp_validator import validate
SCHEMA = {
    "prompt": {"type": str, "required": True},
    "steps": {"type": int, "required": False, "default": 20, "constraints": lambda n: n > 0},
    "scale": {"type": float, "required": False, "default": None},
    "tags": {"type": list, "required": False, "default": []},
}
SCHEMA["late"] = {"type": bool, "required": True}
def handler(job):
    checked = validate(job["input"], SCHEMA)
    return checked["validated_input"]["prompt"]
"""


def test_a_schema_as_the_kernel_has_it() -> None:
    found = reads(VALIDATED)
    assert (found.by, found.closed) == ("SCHEMA", True)
    assert told(found) == [
        ("prompt", True, "string", None),
        ("steps", False, "integer", "20"),
        ("scale", False, "number", "null"),
        ("tags", False, "array", "[]"),
        ("late", True, "boolean", None),
    ]
    assert found.example() == {"prompt": "", "steps": 20, "tags": [], "late": False}


@pytest.mark.parametrize("value", ["x", 3, 2.0, True, None, [], {}])
@pytest.mark.parametrize("key", ["prompt", "steps", "scale", "tags", "late"])
def test_kinds_are_those_that_the_real_validator_takes(key: str, value: Any) -> None:
    from runpod.serverless.utils.rp_validator import validate

    names: dict[str, Any] = {}
    exec(VALIDATED.replace("lambda n: n > 0", "lambda n: True"), names)
    fields = {f.name: f for f in reads(VALIDATED).fields}
    errors = validate({"prompt": "", "late": True, key: value}, names["SCHEMA"]).get("errors", [])
    kinds = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array"}
    kind = {**kinds, dict: "object", type(None): "null"}[type(value)]
    assert (kind in fields[key].accepts) == (not errors), (errors, fields[key])


@pytest.mark.skipif(not importlib.util.find_spec("pydantic"), reason="pydantic is not installed")
@pytest.mark.parametrize("call", ['In(**job["input"])', 'In.model_validate(job["input"])'])
def test_a_pydantic_model(call: str) -> None:
    code = f"""
    from typing import Literal, Optional
    from pydantic import BaseModel, Field
    class Size(BaseModel):
        width: int = 512
    class In(BaseModel):
        prompt: str = Field(description="what to paint")
        steps: int = 20
        mode: Literal["fast", "good"] = "fast"
        negative: Optional[str] = None
        size: Size = Size()
        model_config = {{"extra": "forbid"}}
    def handler(job):
        return {call}.prompt
    """
    found = reads(code)
    assert (found.by, found.closed) == ("In", True)
    assert [(f.name, f.required, f.kind) for f in found.fields] == [
        ("prompt", True, "string"),
        ("steps", False, "integer"),
        ("mode", False, "string"),
        ("negative", False, "string or null"),
        ("size", False, "object"),
    ]
    assert found.fields[0].about == "what to paint"
    # pydantic makes "20" a number: no doubt is said of what it takes
    assert "string" in found.fields[1].accepts
    assert "array" not in found.fields[1].accepts
    assert found.example()["steps"] == 20


def test_a_json_schema_is_strict_and_a_model_that_breaks_says_nothing() -> None:
    found = reads(
        """
        def validate(value, schema): ...
        SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
        def handler(job):
            validate(job["input"], SCHEMA)
            return job["input"]["n"]
        """
    )
    assert found.fields == (Field("n", True, "integer", ("integer",)),)
    broken = reads(
        """
        class In:
            @classmethod
            def model_json_schema(cls): raise RuntimeError("no")
            def __init__(self, a, b=1): ...
        def handler(job): return In(**job["input"])
        """
    )
    assert [f.name for f in broken.fields] == ["a", "b"]


def test_looking_never_runs_a_property_or_a_lazy_module() -> None:
    import types

    lazy = types.ModuleType("lazy")
    lazy.__getattr__ = lambda name: pytest.fail(name)  # type: ignore[method-assign]
    code = """
    class T:
        @property
        def run(self): raise AssertionError
    t = T()
    def handler(job): return t.run(**job["input"]), lazy.pipeline(**job["input"]), job["input"]["x"]
    """
    assert [f.name for f in reads(code, lazy=lazy).fields] == ["x"]


def test_the_example_is_shown_as_python() -> None:
    import dataclasses

    from tests.making import handler_of

    info = handler_of(lambda job: None).info
    shown = dataclasses.replace(
        info, example='{"a": true, "true": "null \\" false", "n": [null, 1]}'
    )
    assert shown.call == 'kit.run({"a": True, "true": "null \\" false", "n": [None, 1]})'
    assert eval(shown.call[8:-1]) == {"a": True, "true": 'null " false', "n": [None, 1]}
