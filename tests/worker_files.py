"""Worker files in the shapes that people write them in; each with inputs and what must survive.

Written for these tests: the standard library stands for models and libraries.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Worker:
    """A file that could be a worker's ``handler.py``."""

    name: str
    source: str
    inputs: tuple[Any, ...]
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


def worker(name: str, source: str, *inputs: Any, keep: Any = (), drop: Any = ()) -> Worker:
    return Worker(name, textwrap.dedent(source).strip("\n"), inputs, tuple(keep), tuple(drop))


WORKERS = [
    worker(
        "main() that does nothing but start",
        """
        import runpod, sys

        def handler(job):
            return job["input"] * 2

        def main():
            print("starting", file=sys.stderr)
            runpod.serverless.start({"handler": handler})

        if __name__ == "__main__":
            main()
        """,
        2,
        drop=["main()", "starting"],
    ),
    worker(
        "bare start, model at module level behind a class",
        '''
        """ Example handler file. """
        import runpod

        class ModelHandler:
            def __init__(self):
                self.base = None
                self.load_models()

            def load_models(self):
                self.base = {"scale": 3}

        MODELS = ModelHandler()

        def generate_image(job):
            job_input = job["input"]
            return {"image_url": MODELS.base["scale"] * job_input["n"], "seed": job_input.get("seed", 1)}

        runpod.serverless.start({"handler": generate_image})
        ''',
        {"n": 2},
        {"n": 1, "seed": 9},
        {},
        keep=["MODELS = ModelHandler()"],
    ),
    worker(
        "setup() by a bare call, validation, error list",
        """
        import runpod
        from runpod.serverless.utils.rp_validator import validate

        INPUT_SCHEMA = {
            "text": {"type": str, "required": True},
            "n": {"type": int, "required": False, "default": 2, "constraints": lambda n: 0 < n < 10},
        }

        class Predictor:
            def setup(self):
                self.suffix = "!"
            def predict(self, text, n):
                return text * n + self.suffix

        MODEL = Predictor()
        MODEL.setup()

        def run(job):
            validated_input = validate(job["input"], INPUT_SCHEMA)
            if "errors" in validated_input:
                return {"error": validated_input["errors"]}
            return MODEL.predict(**validated_input["validated_input"])

        runpod.serverless.start({"handler": run})
        """,
        {"text": "a"},
        {"n": 3},
        {"text": "b", "n": 4},
        keep=["MODEL.setup()", "from runpod.serverless.utils.rp_validator import validate"],
    ),
    worker(
        "the guard loads the model and parses arguments",
        """
        import argparse
        import sys
        import runpod

        def predict(job):
            return MODEL[job["input"]["key"]] + ARGS.offset

        if __name__ == "__main__":
            parser = argparse.ArgumentParser(description=__doc__)
            parser.add_argument("--offset", type=int, default=1)
            ARGS = parser.parse_args([])
            MODEL = {"a": 1}
            MODEL["b"] = 2

            runpod.serverless.start({"handler": predict})
        """,
        {"key": "a"},
        {"key": "b"},
        keep=['MODEL["b"] = 2', "parser.add_argument"],
    ),
    worker(
        "lazy global",
        """
        import runpod
        pipe = None

        def load():
            global pipe
            if pipe is None:
                pipe = [1, 2, 3]
            return pipe

        def handler(event):
            load()
            return {"output": sum(pipe) * event["input"]}

        runpod.serverless.start({"handler": handler})
        """,
        2,
        3,
    ),
    worker(
        "async generator, concurrency from the environment",
        """
        import asyncio
        import os
        import runpod

        MAX_CONCURRENCY = int(os.environ.get("KIT_T_MAX_CONCURRENCY", 4))

        class Engine:
            max_concurrency = MAX_CONCURRENCY
            async def stream(self, text):
                for word in text.split():
                    await asyncio.sleep(0)
                    yield {"token": word}

        engine = Engine()

        async def handler(job):
            async for part in engine.stream(job["input"]["prompt"]):
                yield part

        runpod.serverless.start({
            "handler": handler,
            "concurrency_modifier": lambda x: engine.max_concurrency,
            "return_aggregate_stream": True,
        })
        """,
        {"prompt": "a b c"},
        {"wrong": 1},
        keep=["lambda x: engine.max_concurrency", '"return_aggregate_stream": True'],
    ),
    worker(
        "generator with errors yielded",
        """
        import runpod

        STEPS = 3

        def steps(job):
            for step in range(STEPS):
                if step == job["input"].get("fail"):
                    yield {"error": f"step {step}"}
                    return
                yield f"step {step}"

        if __name__ == "__main__":
            runpod.serverless.start({"handler": steps})
        """,
        {},
        {"fail": 1},
    ),
    worker(
        "environment set before imports, and a monkeypatch between them",
        """
        import os
        os.environ["KIT_T_HOME"] = "/models"
        import json
        import types
        if not hasattr(json, "kit_t_loads"):
            json.kit_t_loads = json.loads
        import runpod
        HOME = os.environ["KIT_T_HOME"]

        def handler(job):
            return [HOME, json.kit_t_loads(job["input"])]

        runpod.serverless.start({"handler": handler})
        """,
        "[1]",
        "{",
        keep=['os.environ["KIT_T_HOME"] = "/models"', "json.kit_t_loads = json.loads"],
        drop=["import types"],
    ),
    worker(
        "schema by copy and item assignment",
        """
        import runpod
        BASE_SCHEMA = {"prompt": {"type": str}, "steps": {"default": 20}}
        DEPTH_SCHEMA = BASE_SCHEMA.copy()
        DEPTH_SCHEMA["detect_resolution"] = {"default": 512}
        SCHEMAS = {"base": BASE_SCHEMA}
        SCHEMAS["depth"] = DEPTH_SCHEMA
        for _name in ("canny", "hed"):
            SCHEMAS[_name] = dict(DEPTH_SCHEMA, name=_name)

        def predict(job):
            return sorted(SCHEMAS[job["input"]["kind"]])

        runpod.serverless.start({"handler": predict})
        """,
        {"kind": "depth"},
        {"kind": "hed"},
        {"kind": "x"},
        keep=['DEPTH_SCHEMA["detect_resolution"]', "for _name in"],
    ),
    worker(
        "with, try and while at module level",
        """
        import contextlib
        import sys
        import time
        import runpod

        @contextlib.contextmanager
        def cache(where):
            yield where

        with cache("/runpod-volume") as path:
            from fractions import Fraction
            classifier = {"path": path, "half": Fraction(1, 2)}

        try:
            engine = dict(started=False)
        except Exception as e:
            print("failed", e)
            sys.exit(1)

        def start_server():
            engine["started"] = True

        start_server()
        while not engine["started"]:
            time.sleep(0.1)

        def handler(job):
            return {"half": float(classifier["half"]), "up": engine["started"]}

        runpod.serverless.start({"handler": handler})
        """,
        {},
        keep=["with cache", "sys.exit(1)", "start_server()", "while not engine"],
    ),
    worker(
        "decorated handler, logger, basicConfig",
        """
        import functools
        import logging
        import runpod

        logging.basicConfig(level=logging.INFO)
        logger = logging.getLogger(__name__)
        logger.setLevel(logging.WARNING)
        logger.info("loading")

        def timed(function):
            @functools.wraps(function)
            def inner(job):
                logger.info("job %s", job["id"])
                return {"result": function(job), "name": function.__name__}
            return inner

        @timed
        def handler(job):
            '''Doubles.'''
            return job["input"] * 2

        runpod.serverless.start({"handler": handler})
        """,
        2,
        "ab",
        keep=["logging.basicConfig", "logger.setLevel", "@timed"],
    ),
    worker(
        "a bound method as handler, settings object",
        """
        import dataclasses
        import runpod

        @dataclasses.dataclass
        class Settings:
            scale: int = 2
            names: list[str] = dataclasses.field(default_factory=list)

        class Service:
            def __init__(self, settings):
                self.settings = settings
            def handle(self, job):
                return [self.settings.scale * job["input"], self.settings.names]

        settings = Settings()
        settings.scale = 5
        service = Service(settings)
        settings.names.append("late")

        runpod.serverless.start({"handler": service.handle})
        """,
        1,
        keep=["settings.scale = 5", 'settings.names.append("late")'],
    ),
    worker(
        "a factory, and what it closes over",
        """
        import runpod

        config = {"prefix": ">"}

        def backend(text):
            return config["prefix"] + text

        def make_handler(config, call):
            async def handle(job):
                return {"text": call(job["input"]), "keys": sorted(config)}
            return handle

        config.update(model="m")
        runpod.serverless.start({"handler": make_handler(config, backend)})
        """,
        "a",
        keep=['config.update(model="m")', '"handler": make_handler(config, backend)'],
    ),
    worker(
        "partial",
        """
        import functools
        import runpod

        WEIGHTS = {"a": 1}

        def run(weights, job):
            return weights.get(job["input"])

        WEIGHTS["b"] = 2
        handler = functools.partial(run, WEIGHTS)
        runpod.serverless.start({"handler": handler})
        """,
        "a",
        "b",
        keep=['WEIGHTS["b"] = 2'],
    ),
    worker(
        "fitness check that nobody names",
        """
        import runpod

        CHECKED = []

        @runpod.serverless.register_fitness_check
        def enough_disk():
            CHECKED.append(1)

        def handler(job):
            return job["input"]

        runpod.serverless.start({"handler": handler})
        """,
        1,
        keep=["def enough_disk", "CHECKED = []"],
    ),
    worker(
        "shadowed builtins and input that is changed",
        """
        import runpod

        id = 3
        def generate(input):
            values = input["input"]
            del values["prompt"]
            values["id"] = id
            return values

        runpod.serverless.start({"handler": generate})
        """,
        {"prompt": 1, "x": 2},
        {},
        keep=["id = 3"],
    ),
    worker(
        "future annotations, typed everywhere",
        """
        from __future__ import annotations
        import enum
        import typing as t
        import runpod

        if t.TYPE_CHECKING:
            from somewhere import Never

        class Mode(str, enum.Enum):
            FAST = "fast"

        Result: t.TypeAlias = "dict[str, Never]"
        table: dict[str, int]
        table = {Mode.FAST: 1}

        def handler(job: dict[str, t.Any]) -> Result:
            value: Never = table[job["input"]]
            return {"v": value}

        runpod.serverless.start({"handler": handler})
        """,
        "fast",
        "slow",
    ),
    worker(
        "progress updates through a wrapper",
        """
        import runpod
        from runpod.serverless import progress_update

        def _progress(job, message):
            try:
                progress_update(job, message)
            except Exception:
                pass

        def handler(job):
            return "done"

        def train(job):
            _progress(job, {"progress": 15})
            return handler(job)

        runpod.serverless.start({"handler": handler, "refresh_worker": True})
        """,
        1,
        drop=["def train", "_progress"],
    ),
    worker(
        "constants computed by comprehension over earlier ones",
        """
        import string
        import runpod
        CHARS = string.ascii_letters[:4]
        INDEX = {c: i for i, c in enumerate(CHARS)}
        PAIRS = [(a, b) for a in CHARS for b in CHARS if INDEX[a] < INDEX[b]]
        first, *rest = PAIRS
        (x, y), z = first, len(rest)
        total = 0
        for pair in PAIRS:
            total += INDEX[pair[1]]
        else:
            total += 100

        def handler(job):
            return [x, y, z, total]

        runpod.serverless.start({"handler": handler})
        """,
        0,
        keep=["total += 100"],
    ),
    worker(
        "stop words and helpers nobody needs",
        """
        import json
        import random
        import runpod

        UNUSED = {"a": 1}

        def unused():
            return UNUSED

        print("starting", UNUSED)
        STOP = frozenset({"a", "the"})

        def tokens(text):
            return [w for w in text.split() if w not in STOP]

        def handler(job):
            return json.dumps(tokens(job["input"]["text"]))

        runpod.serverless.start({"handler": handler})
        """,
        {"text": "the cat a hat"},
        drop=["UNUSED", "unused", "random", "print"],
    ),
    worker(
        "exceptions of its own, raised from elsewhere",
        """
        import runpod

        class BadInput(ValueError):
            def __init__(self, field):
                super().__init__(f"{field} is missing")

        REQUIRED = ["prompt"]
        REQUIRED += ["seed"]

        def check(job_input):
            for field in REQUIRED:
                if field not in job_input:
                    raise BadInput(field)

        async def handler(job):
            check(job["input"])
            return "ok"

        runpod.serverless.start({"handler": handler})
        """,
        {"prompt": 1},
        {"prompt": 1, "seed": 2},
        keep=['REQUIRED += ["seed"]'],
    ),
]
