"""More worker files, in the shapes that matter when a file becomes a notebook and a file again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.worker_files import WORKERS, Worker, worker


@dataclass(frozen=True)
class Project:
    """A worker's file, what lies beside it, and the environment it needs."""

    worker: Worker
    files: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)


def project(
    name: str, source: str, *inputs: Any, files: Any = None, env: Any = None, **more: Any
) -> Project:
    return Project(worker(name, source, *inputs, **more), files or {}, env or {})


PROJECTS = [
    *(Project(w) for w in WORKERS),
    project(
        "start inside main(), which makes what the handler closes over",
        '''
        #!/usr/bin/env python
        # -*- coding: utf-8 -*-
        """A proxy."""
        import os
        import runpod

        def backend(config, text):
            return config["prefix"] + text

        def make_handler(config, call):
            async def handle(job):
                return {"text": call(config, job["input"])}
            return handle

        def main():
            """Starts it."""
            # read once
            config = {"prefix": os.environ.get("KIT_T_PREFIX", ">")}
            config["suffix"] = """<
              >"""
            runpod.serverless.start({
                "handler": make_handler(config, backend),
                "return_aggregate_stream": True,
            })

        if __name__ == "__main__":
            main()
        ''',
        "a",
        3,
        keep=["make_handler(config, backend)", '"return_aggregate_stream": True'],
    ),
    project(
        "a switch between pod and worker",
        """
        import asyncio
        import os
        import runpod

        mode_to_run = os.getenv("KIT_T_MODE_TO_RUN", "pod")

        async def handler(event):
            for n in range(event["input"]["n"]):
                yield {"n": n}

        if mode_to_run == "pod":
            print("not a worker:", mode_to_run)
        else:
            runpod.serverless.start({
                "handler": handler,
                "concurrency_modifier": lambda current: 3,
                "return_aggregate_stream": True,
            })
        """,
        {"n": 2},
        {},
        env={"KIT_T_MODE_TO_RUN": "serverless"},
        keep=["lambda current: 3", '"return_aggregate_stream": True'],
    ),
    project(
        "sibling modules, a star import and a file beside it",
        """
        import json
        from pathlib import Path

        import runpod
        from kit_t_schemas import INPUT_SCHEMA
        from kit_t_src.labels import *

        with open(Path(__file__).parent / "kit_t_labels.json") as file:
            EXTRA = json.load(file)

        def run(job):
            missing = [key for key in INPUT_SCHEMA if key not in job["input"]]
            if missing:
                return {"error": missing}
            return {"label": label_of(job["input"]["n"]), "extra": EXTRA}

        runpod.serverless.start({"handler": run})
        """,
        {"n": 1},
        {},
        files={
            "kit_t_schemas.py": 'INPUT_SCHEMA = {"n": {"type": int}}\n',
            "kit_t_src/__init__.py": "",
            "kit_t_src/labels.py": "def label_of(n):\n    return f'label {n}'\n",
            "kit_t_labels.json": '{"a": 1}',
        },
    ),
    project(
        "the config has a name, the SDK another",
        """
        import runpod.serverless as worker
        from runpod import RunPodLogger

        log = RunPodLogger()
        SCALE = 2; OFFSET = 1

        def process(job):
            log.info("one more")
            return SCALE * job["input"] + OFFSET

        # what the worker is told
        config = {
            "handler": process,
            "refresh_worker": False,
        }

        worker.start(config)
        """,
        3,
        keep=["refresh_worker"],
    ),
    project(
        "reads its own command line",
        """
        import argparse
        import signal
        import sys
        import runpod

        parser = argparse.ArgumentParser()
        parser.add_argument("--scale", type=int, default=4)
        args, unknown = parser.parse_known_args(sys.argv[1:])
        sys.argv = [sys.argv[0], *unknown]
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)

        def handler(job):
            return job["input"] * args.scale

        runpod.serverless.start({"handler": handler})
        """,
        2,
        keep=["parser.parse_known_args"],
    ),
    project(
        "the handler first, everything else below it",
        '''
        # Copyright of nobody.
        # All rights given away.

        import runpod


        def handler(job):
            """Looks things up."""
            # in what is loaded below
            text = """
            kept as it is
              """
            return [MODEL.get(job["input"]), text, helper(1)]


        def helper(x):
            return x + 1   # one more


        class Loader:

            def load(self):
                return {"a": 1}


        MODEL = Loader().load()



        if __name__ == "__main__":
            # the guard does a little more
            MODEL["b"] = """
        two
            lines"""
            runpod.serverless.start({"handler": handler})
        ''',
        "a",
        "b",
    ),
]
