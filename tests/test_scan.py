"""The quick search for keys finds what the plain one does: every pattern over all of the text."""

from __future__ import annotations

import base64
import json
import random
import re
import string
import time
from pathlib import Path

from kit.scan import _DATA_END, _DATA_LINE, shapes_in
from kit.shapes import LONGEST, SHAPES, assigned_in, is_meant, is_random
from tests.test_secret import planted

ROOT = Path(__file__).resolve().parent.parent
ALNUM = string.ascii_letters + string.digits
URL = re.compile(r"(?:[a-z][a-z0-9+.-]{1,20}://|data:[a-z]+/)[^\s\"']+")
RUN = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{32,}={0,2}(?![A-Za-z0-9+/_=-])")


def plainly(text: str) -> set[tuple[int, str]]:
    """The same as ``shapes_in``, without any thought of time."""
    found: set[tuple[int, str]] = set()
    for shape in SHAPES:
        for match in shape.pattern.finditer(text):
            if is_meant(shape.kind, match, text):
                found.add((text.count("\n", 0, match.start()) + 1, shape.kind))
    inside = False
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        found |= {(number, f"value given to {name[:40]}") for name in assigned_in(line)}
        data = _DATA_LINE.match(line)
        if data and (inside or (number < len(lines) and _DATA_LINE.match(lines[number]))):
            inside = True
        elif not (inside and _DATA_END.match(line)):
            inside = False
            for run in RUN.findall(URL.sub(" ", line)):
                if len(run) <= LONGEST and is_random(run):
                    found.add((number, f"random string of {len(run)} characters"))
    return found


def mixture(rng: random.Random, keys: list[str], ours: str) -> str:
    """Keys, pieces of them, code, base64 in all its layouts, and what stands before keys."""
    odd = ['api_key = "', 'token: "', "İé", "?key=", "&token=", "ENV X_KEY ", '"', '\\n",', "\r\n"]
    odd += [
        '\n    b"',
        "Bearer ",
        " ",
        "password",
        "== ",
        "===",
        "\x0c",
        " https://",
        " data:image/a;",
    ]

    def piece() -> str:
        at = rng.randrange(len(ours))
        key = rng.choice(keys)
        lines = base64.encodebytes(rng.randbytes(rng.randrange(600))).decode()
        return rng.choice(
            [
                (" " if "://" in key else "") + key,
                (" " if "://" in key else "") + key[: rng.randrange(60)],
                " " + ours[at : at + rng.randrange(400)],
                lines,
                json.dumps(lines.splitlines(keepends=True), indent=1),
                "".join(rng.choices(ALNUM + "+/_-= \"'", k=rng.randrange(80))),
                "".join(rng.choices(ALNUM, k=rng.choice([8, 31, 32, 33, 60, 76, 160, 161]))),
                "\n" * rng.randrange(3),
                rng.choice(odd),
            ]
        )

    return "".join(piece() for _ in range(rng.randrange(1, 12)))


def test_nothing_is_lost_for_being_quick() -> None:
    rng = random.Random(7)
    ours = "".join((ROOT / "kit" / name).read_text() for name in ("store.py", "shapes.py"))
    keys = list(planted().values())
    hits = 0
    for _ in range(1_500):
        text = mixture(rng, keys, ours)
        found = list(shapes_in(text))
        assert set(found) == plainly(text), text
        assert [line for line, _ in found] == sorted(line for line, _ in found)
        hits += len(found)
    assert hits > 3_000


def test_a_key_is_found_anywhere_in_a_line_of_any_length() -> None:
    for before, after in (("", "x " * 5_000), ("x " * 5_000, ""), ("x " * 5_000, " x" * 5_000)):
        for name, key in planted().items():
            if "\n" not in key and not name.endswith((" env", "arg")) and "yaml" not in name:
                if name not in ("aws secret", "random base64"):  # a line of their own by nature
                    assert list(shapes_in(f"{before} {key} {after}")), name


def test_text_without_keys_is_looked_through_quickly() -> None:
    code = "".join(path.read_text() for path in sorted((ROOT / "kit").rglob("*.py")))
    began = time.thread_time()
    assert not plainly(code)
    plain_s = time.thread_time() - began
    began = time.thread_time()
    for _ in range(4):
        assert not list(shapes_in(code))
    # measured 29 times as quick
    assert (time.thread_time() - began) / 4 < plain_s / 4
