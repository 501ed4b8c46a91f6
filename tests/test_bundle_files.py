"""hub.json, both tests.json and the README: the documented shapes, from jobs that ran; text stays text."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kit.errors import UsageError
from kit.events import JobKey, JobState, JobView, MemoryUse
from kit.export import Bundle, export
from kit.export.bases import base_of
from kit.export.choices import PARTS, choose
from kit.export.examples import examples_of, measured
from kit.export.hub import Worker, category_of, hub_file, hub_tests_file, runner_tests_file
from kit.export.inputs import inputs_beside
from kit.export.readme import Facts, render_readme
from kit.export.surface import Variable, keys_of, variables_of
from kit.exportline import magic_parser, words_of
from tests.dockerfiles import parse
from tests.exporting import done, request_of

CELLS = (
    """
    import os
    THRESHOLD = float(os.environ.get("THRESHOLD", "0.5"))
    DEBUG = os.getenv("DEBUG", "0") == "1"
    """,
    '''
    %%handler describe
    def describe(job):
        """Says what a text is.

        Not for long texts.
        """
        token = os.environ["HF_TOKEN"] if job["input"].get("private") else ""
        return {"length": len(job["input"]["text"]), "over": THRESHOLD, "debug": DEBUG, "t": bool(token)}
    ''',
)
INPUTS = (
    {"text": "a"},
    {"text": "long " * 100, "tags": ["x"], "deep": {"a": 1}},
    {"text": "`|` \n# x"},
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    request = request_of(
        done(*CELLS), tmp_path_factory.mktemp("b") / "worker", INPUTS, expression="describe",
        verify=False,
    )  # fmt: skip
    return export(request)


def read(bundle: Bundle, name: str) -> Any:
    return json.loads((bundle.path / name).read_text())


# -- the Hub's schema, as RunPod documents it ---------------------------------------------------


def check_hub(hub: dict[str, Any]) -> None:
    assert set(hub) <= {"title", "description", "type", "category", "iconUrl", "config"}
    for key in ("title", "description"):
        assert isinstance(hub[key], str)
        assert hub[key]
    assert hub["type"] == "serverless"
    assert hub["category"] in ("audio", "embedding", "language", "video", "image")
    config = hub["config"]
    assert set(config) <= {
        "runsOn", "endpointType", "containerDiskInGb", "cpuFlavor", "gpuCount", "gpuIds",
        "allowedCudaVersions", "env", "presets",
    }  # fmt: skip
    assert config["runsOn"] in ("GPU", "CPU")
    assert type(config["containerDiskInGb"]) is int
    assert ("gpuCount" in config) == (config["runsOn"] == "GPU")
    assert ("cpuFlavor" in config) == (config["runsOn"] == "CPU")
    for pool in config.get("gpuIds", "ADA_24").split(","):
        assert re.fullmatch(r"-?[A-Z0-9_]+", pool)
    check_cuda(config)
    for variable in config["env"]:
        if set(variable) == {"key", "value"}:
            assert isinstance(variable["value"], str)
            continue
        assert set(variable) == {"key", "input"}
        given = variable["input"]
        assert set(given) <= {
            "type", "name", "description", "default", "required", "advanced", "options", "min",
            "max", "trueValue", "falseValue",
        }  # fmt: skip
        assert given["type"] in ("string", "huggingface", "number", "boolean")
        if "default" in given:
            kinds = {"string": (str,), "number": (int, float), "boolean": (bool,)}
            assert isinstance(given["default"], kinds[given["type"]])


def check_cuda(config: dict[str, Any]) -> None:
    for text in config.get("allowedCudaVersions", ()):
        assert re.fullmatch(r"1[1-9]\.\d", text)


def check_hub_tests(tests: dict[str, Any]) -> None:
    assert set(tests) == {"tests", "config"}
    names = [test["name"] for test in tests["tests"]]
    assert names
    assert len(set(names)) == len(names)
    for test in tests["tests"]:
        assert set(test) == {"name", "input", "timeout"}
        assert type(test["timeout"]) is int
        assert test["timeout"] >= 1000  # milliseconds
    assert set(tests["config"]) <= {
        "gpuTypeId",
        "gpuCount",
        "cpuFlavor",
        "env",
        "allowedCudaVersions",
    }
    check_cuda(tests["config"])
    for variable in tests["config"]["env"]:
        assert set(variable) == {"key", "value"}


def check_runner_tests(tests: list[dict[str, Any]]) -> None:
    assert isinstance(tests, list)
    assert tests
    for test in tests:
        assert set(test) <= {"hardwareConfig", "input", "expected_output"}
        assert "input" in test


def test_the_files_have_the_documented_shapes(bundle: Bundle) -> None:
    hub = read(bundle, ".runpod/hub.json")
    check_hub(hub)
    check_hub_tests(read(bundle, ".runpod/tests.json"))
    check_runner_tests(read(bundle, ".github/tests.json"))
    assert hub["title"] == "Describe"
    assert hub["description"] == "Says what a text is."
    variables = {entry["key"]: entry["input"] for entry in hub["config"]["env"]}
    assert variables["THRESHOLD"]["default"] == 0.5
    assert variables["DEBUG"]["type"] == "boolean"
    assert (variables["DEBUG"]["trueValue"], variables["DEBUG"]["falseValue"]) == ("1", "0")
    assert variables["HF_TOKEN"]["required"] is True
    assert "default" not in variables["HF_TOKEN"]
    assert [test["input"] for test in read(bundle, ".runpod/tests.json")["tests"]] == list(INPUTS)
    assert [test["input"] for test in read(bundle, ".github/tests.json")] == list(INPUTS)


def test_verify_reads_the_files_that_were_written(bundle: Bundle) -> None:
    found = inputs_beside(bundle.path)
    assert [given.name for given in found] == [
        "test_input.json", *(f".runpod/tests.json: recorded_job_{n}" for n in (1, 2, 3)),
    ]  # fmt: skip


def view(number: int, input: Any, output: Any = 1, **more: Any) -> JobView:
    fields: dict[str, Any] = {
        "key": JobKey(str(number)), "id": str(number), "handler": "h", "version": 1, "target": "local",
        "state": JobState.COMPLETED, "attempt": 1, "timeout_s": None, "submitted_at": float(number),
        "request": json.dumps({"input": input, "id": "x", "webhook": "https://example.org"}),
        "done": json.dumps({"output": output}), "execution_ms": 10.0 * number,
    }  # fmt: skip
    return JobView(**{**fields, **more})


def test_a_gpu_worker(tmp_path: Path) -> None:
    use = MemoryUse("vram", 0, 0, 17_000_000_000, 0, True, True)
    jobs = [view(n, n, memory=(use,), execution_ms=9_000.0) for n in (3, 2, 1)]
    worker = Worker(
        "T", "D", base_of((3, 11), (12, 8), "2.8.0"), {"torch", "diffusers"},
        [Variable("A", False, "b")], [("SET", "1")], measured(jobs, 1), examples_of(jobs, 1),
    )  # fmt: skip
    hub = json.loads(hub_file(worker))
    check_hub(hub)
    assert hub["category"] == "image"
    assert hub["config"]["gpuIds"] == "AMPERE_24,ADA_24,ADA_32_PRO"
    assert hub["config"]["allowedCudaVersions"] == ["13.0", "12.9", "12.8"]
    assert {"key": "SET", "value": "1"} in hub["config"]["env"]
    tests = json.loads(hub_tests_file(worker))
    check_hub_tests(tests)
    assert tests["config"]["gpuTypeId"] == "NVIDIA GeForce RTX 4090"
    assert [test["timeout"] for test in tests["tests"]] == [90_000] * 3
    runner = json.loads(runner_tests_file(worker))
    check_runner_tests(runner)
    assert runner[0]["hardwareConfig"] == {
        "endpointConfig": {"gpuIds": "AMPERE_24,ADA_24,ADA_32_PRO"}
    }


@pytest.mark.parametrize(
    ("peak_gb", "gpu", "pools"),
    [
        (5, "NVIDIA GeForce RTX 4090", "AMPERE_16,AMPERE_24,ADA_24"),
        (30, "NVIDIA L40", "AMPERE_48,ADA_48_PRO,AMPERE_80,ADA_80_PRO"),
        (90, "NVIDIA H200", "HOPPER_141"),
        (500, "NVIDIA H200", "HOPPER_141"),
    ],
)
def test_the_gpu_fits_what_was_measured(peak_gb: int, gpu: str, pools: str) -> None:
    use = MemoryUse("vram", 0, 0, peak_gb * 10**9, 0, True, True)
    took = measured([view(1, 1, memory=(use,))], 1)
    worker = Worker("T", "D", base_of((3, 11), (12, 8), ""), (), (), (), took, ())
    assert json.loads(hub_tests_file(worker))["config"]["gpuTypeId"] == gpu
    assert json.loads(hub_file(worker))["config"]["gpuIds"] == pools
    unknown = dataclasses.replace(worker, measured=None)
    assert "gpuIds" not in json.loads(hub_file(unknown))["config"]


def test_categories() -> None:
    assert category_of({"sentence-transformers", "pillow"}) == "embedding"
    assert category_of({"faster-whisper"}) == "audio"
    assert category_of({"moviepy", "pillow"}) == "video"
    assert category_of({"numpy"}) == "language"


def test_examples_are_few_different_and_hold_no_keys() -> None:
    key = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
    jobs = [view(n, n) for n in range(20, 10, -1)]
    jobs[1] = view(19, {"token": key})
    jobs[2] = view(18, 18, output=key)
    jobs[3] = view(17, 17, state=JobState.FAILED)
    jobs[4] = view(16, 20)  # the same as the newest once more
    jobs[5] = view(15, 15, version=2)
    jobs[6] = view(14, "x" * 200_000)
    found = examples_of(jobs, 1)
    assert [example.input for example in found] == [11, 12, 13, 20]
    assert all(set(example.request) == {"input"} for example in found)
    assert [example.certain for example in found] == [False, False, False, True]
    worker = Worker("T", "D", base_of((3, 11), None, ""), (), (), (), None, found)
    runner = json.loads(runner_tests_file(worker))
    assert ["expected_output" in test for test in runner] == [False, False, False, True]
    took = measured(jobs, 1)
    assert took is not None
    assert took.jobs == 8
    assert measured([], 1) is None


# -- README -------------------------------------------------------------------------------------


def test_the_readme_says_what_goes_in_and_out(bundle: Bundle) -> None:
    text = (bundle.path / "README.md").read_text()
    assert text.startswith("# Describe\n\nSays what a text is.\n\n## Input\n")
    for line in (
        '| `text` | string | ``"`\\|` \\n# x"`` |',
        '| `tags` | array, optional | `["x"]` |',
        '| `deep` | object, optional | `{"a": 1}` |',
        "| `DEBUG` | boolean | default `0` |",
        "| `HF_TOKEN` | string | required, a secret |",
        "| `THRESHOLD` | number | default `0.5` |",
    ):
        assert line in text, text
    assert re.search(r"- Time of a job: median [\d.]+ ms, longest [\d.]+ ms \(3 jobs\)\.", text)
    assert "docker build --platform linux/amd64" in text
    assert "RUNPOD_MIN_MEMORY_GB" in text


HOSTILE = [
    "```\n# Heading\n[x](javascript:alert(1))", "<script>alert(1)</script>", "| a | b |\n| - | - |", "# x", "`" * 7,
    "\\", "![x](http://x/y)", "\u202e", "\n\n---\n", "</td>", "&lt;", "*", "_x_", "[ref]: http://x", "\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda t: repr(t)[:20])
def test_text_of_jobs_stays_text(text: str) -> None:
    """Outside of fences and code spans there is nothing that anybody else wrote unescaped."""
    jobs = [view(1, {"k": text, text: [text] * 3}, output=text)]
    facts = Facts(
        text, text, False, ("Dockerfile",), examples_of(jobs, 1), [Variable("A", False, text)],
        [("B", text)], measured(jobs, 1),
    )  # fmt: skip
    readme = render_readme(facts)
    lines, fence, outside = readme.split("\n"), "", []
    for line in lines:
        opened = re.match(r"(`{3,})(\w*)$", line)
        if fence:
            if line == fence:
                fence = ""
            continue
        if opened:
            fence = opened[1]
            continue
        outside.append(line)
    assert not fence, "a fence is open at the end"
    assert [line for line in outside if line.startswith("#")][1:] == [
        "## Input", "## Output", "## Environment", "## Measured", "## Use",
    ]  # fmt: skip
    for line in outside:
        bare = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)  # code spans
        bare = re.sub(r"\\.", "", bare)  # escaped
        assert not re.search(r"<\w|\]\(|!\[|\]:", bare), line
        if line.startswith("| ") and "---" not in line:
            cells = len(re.findall(r"(?<!\\)\|", line))
            assert cells == 4, line
    assert all(c.isprintable() or c == "\n" for c in readme if c not in text)


def test_keys_and_variables() -> None:
    keys = keys_of([{"a": 1, "b": None}, 3, {"a": "x", "c": True}, {"a": 1.5}])
    assert [(k.name, k.types, k.always) for k in keys] == [
        ("a", ("integer", "number", "string"), True),
        ("b", ("null",), False),
        ("c", ("boolean",), False),
    ]
    source = """
import os as system, os
from os import environ as e, getenv
A = os.environ["A"]; B = int(os.environ.get("B", "3")); C = getenv("C"); D = e["D"]
E = os.getenv("E", "False").lower() == "true"; F = os.environ.get(name); G = os.getenv("RUNPOD_POD_ID")
H = float(e.get("H", 1.5)); os.environ["SET"] = "1"; I = e.get("A", "x"); K = os.environ["API_KEY"]
"""
    found = variables_of([ast.parse(source)])
    assert [(v.name, v.required, v.default, v.kind, v.secret) for v in found] == [
        ("A", True, "x", "string", False),
        ("API_KEY", True, None, "string", True),
        ("B", False, "3", "number", False),
        ("C", False, None, "string", False),
        ("D", True, None, "string", False),
        ("E", False, "False", "boolean", False),
        ("H", False, "1.5", "number", False),
    ]


# -- which files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "written"),
    [
        ((), {"handler.py"}),
        (("readme",), {"handler.py", "README.md"}),
        (("dockerfile",), {"handler.py", "requirements.txt", "Dockerfile", ".dockerignore"}),
        (("hub",), {"handler.py", ".runpod/hub.json", ".runpod/tests.json"}),
        (("github", "test_input"), {"handler.py", ".github/tests.json", "test_input.json"}),
    ],
)
def test_choices_decide_what_is_written(
    tmp_path: Path, files: tuple[str, ...], written: set[str]
) -> None:
    request = request_of(
        done("%%handler\ndef handler(job): return 1"), tmp_path / "w", [1], verify=False
    )
    bundle = export(dataclasses.replace(request, choices=choose(files=files)))
    assert set(bundle.files) == written | {".kit-export.json"}
    everything = export(request)
    assert written < set(everything.files)
    assert set(bundle.diff().changes) == set()
    new = {c.name for c in everything.diff().changes if c.kind == "new"}
    assert new == set(everything.files) - set(bundle.files)
    assert set(PARTS) == {"requirements", "dockerfile", "test_input", "hub", "github", "readme"}


def test_choices_reach_the_image(tmp_path: Path) -> None:
    request = request_of(
        done("%%handler\ndef handler(job): return 1"), tmp_path / "w", [1], verify=False
    )
    choices = choose(
        base_image="python:3.12-slim",
        env={"A": "$b"},
        packages=["ffmpeg"],
        requirements=["orjson<99"],
    )
    bundle = export(dataclasses.replace(request, choices=choices))
    found = parse((bundle.path / "Dockerfile").read_text())
    assert found[0].rest == "python:3.12-slim"
    assert 'A="\\$b"' in [i.rest for i in found]
    assert "ffmpeg" in next(i.rest for i in found if i.word == "RUN")
    assert "orjson<99\n" in (bundle.path / "requirements.txt").read_text()
    assert read(bundle, ".runpod/hub.json")["config"]["env"] == [{"key": "A", "value": "$b"}]


def test_the_words_of_the_magic_and_the_shell_are_the_same_choices() -> None:
    parser = magic_parser()
    line = ["w", "--files", ",".join(PARTS), "--env", "A=b=c", "--package", "ffmpeg", "--base-image", "python:3.12-slim"]  # fmt: skip
    given = words_of(parser.parse_args(line)).keywords()
    names = ("files", "base_image", "env", "packages", "requirements")
    choices = choose(**{name: given[name] for name in names})
    assert choices.files == set(PARTS)
    assert choices.env == (("A", "b=c"),)
    assert choices.packages == ("ffmpeg",)
    assert choices.base_image == "python:3.12-slim"
    assert all(part in parser.format_help() for part in PARTS)
    with pytest.raises(UsageError, match="a bundle has no part 'hubb'"):
        choose(files=words_of(parser.parse_args(["--files=hubb"])).files)
