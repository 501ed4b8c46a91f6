"""Twenty handlers as people write them, with nothing wrong: no finding on any of their jobs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.events import JobState
from kit.inspection import static_findings
from kit.session import Session
from tests.making import ended, handler_of, submit

SOUND: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "echo": ("def handler(job):\n    return job['input']", {"a": [1, 2.5, None]}, {}),
    "text": (
        "def handler(job):\n    return f\"Hello {job['input']['name']}\"",
        {"name": "Ada"},
        {},
    ),
    "async": (
        "import asyncio\nasync def handler(job):\n    await asyncio.sleep(0.01)\n    return {'ok': True}",
        {},
        {},
    ),
    "validated": (
        (
            "def handler(job):\n    given = job['input']\n    if 'prompt' not in given:\n"
            "        return {'error': 'prompt is missing'}\n    return {'text': given['prompt']}"
        ),
        {"text": 1},
        {},
    ),
    "raises": ("def handler(job):\n    raise ValueError('bad prompt')", {}, {}),
    "generator": ("def handler(job):\n    for i in range(3):\n        yield {'i': i}", {}, {}),
    "aggregate": (
        "async def handler(job):\n    for word in ['a', 'b']:\n        yield word",
        {},
        {"return_aggregate_stream": True},
    ),
    "concurrent": (
        "import asyncio\nasync def handler(job):\n    await asyncio.sleep(0)\n    return 1",
        {},
        {"concurrency_modifier": lambda current: 4},
    ),
    "model outside": (
        (
            "class Model:\n    def __call__(self, x):\n        return x * 2\nMODEL = Model()\n"
            "def handler(job):\n    return {'y': MODEL(job['input']['x'])}"
        ),
        {"x": 3},
        {},
    ),
    "counter": (
        "COUNT = 0\ndef handler(job):\n    global COUNT\n    COUNT += 1\n    return COUNT",
        {},
        {},
    ),
    "image": (
        (
            "import base64\nPNG = base64.b64encode(b'\\x89PNG\\r\\n\\x1a\\n' + bytes(100)).decode()\n"
            "def handler(job):\n    return {'image': PNG}"
        ),
        {},
        {},
    ),
    "copy": (
        "def handler(job):\n    given = dict(job['input'])\n    given['seen'] = True\n    return given",
        {"x": 1},
        {},
    ),
    "status ok": ("def handler(job):\n    return {'status': 'success', 'data': [1]}", {}, {}),
    "environment": (
        (
            "import os\nROOT = os.environ.get('MODEL_DIR', '/runpod-volume/models')\n"
            "def handler(job):\n    return {'root': ROOT}"
        ),
        {},
        {},
    ),
    "object": (
        (
            "class Service:\n    def handle(self, job):\n        return {'n': len(job['input'])}\n"
            "handler = Service().handle"
        ),
        [1, 2],
        {},
    ),
    "partial": (
        (
            "import functools\ndef run(table, job):\n    return table[job['input']]\n"
            "handler = functools.partial(run, {'a': 1})"
        ),
        "a",
        {},
    ),
    "prints": ("def handler(job):\n    print('step 1')\n    return 'done'", {}, {}),
    "threads": (
        (
            "from concurrent.futures import ThreadPoolExecutor\ndef handler(job):\n"
            "    with ThreadPoolExecutor(2) as pool:\n        return list(pool.map(abs, job['input']))"
        ),
        [-1, 2],
        {},
    ),
    "to thread": (
        (
            "import asyncio, time\nasync def handler(job):\n"
            "    await asyncio.to_thread(time.sleep, 0.2)\n    return 'slept'"
        ),
        {},
        {},
    ),
    "none": ("def handler(job):\n    return None", {}, {}),
    "large": ("def handler(job):\n    return {'x': list(range(100_000))}", {}, {}),
    "unicode": ("def handler(job):\n    return {'é': '\\u2028\U0001f600'}", {"ü": 1}, {}),
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = Session(tmp_path_factory.mktemp("home"))
    yield made
    made.close()


def test_there_are_twenty() -> None:
    assert len(SOUND) >= 20


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_handler_has_no_finding(name: str, session: Session, tmp_path: Path) -> None:
    source, given, options = SOUND[name]
    code = textwrap.dedent(source)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, str(tmp_path / "cell"), "exec"), namespace)
    handler = handler_of(namespace["handler"], name.replace(" ", "_"), **options)
    static = static_findings(code, handler)
    assert not static
    session.add(handler, static)
    for _ in range(3):
        job = ended(submit(session, handler, given))
        wrong = name in ("raises", "validated")
        assert job.state is (JobState.FAILED if wrong else JobState.COMPLETED)
        assert not job.findings, [note.sentence for note in job.findings]
