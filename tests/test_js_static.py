"""The script of the live view: nothing in it can run what a payload says, and its parts are right."""

from __future__ import annotations

import base64
import json
import math
import re
import subprocess
from pathlib import Path

import pytest

from kit.views import codec, widget
from kit.views.words import duration, fraction, memory, percentile, size

ROOT = Path(__file__).resolve().parent.parent
VIEWS = ROOT / "kit" / "views"
SCRIPTS = sorted(VIEWS.glob("*.js"))
#: ways from text to markup, to code or to another page
FORBIDDEN = {
    "innerHTML": r"\binnerHTML\b",
    "outerHTML": r"\bouterHTML\b",
    "insertAdjacentHTML": r"insertAdjacentHTML",
    "document.write": r"document\s*\.\s*write",
    "eval": r"\beval\s*\(",
    "new Function": r"\bFunction\s*\(",
    "srcdoc": r"\bsrcdoc\b",
    "javascript:": r"javascript:",
    "DOMParser": r"\bDOMParser\b",
    "createContextualFragment": r"createContextualFragment",
    "setHTML": r"\bsetHTML",
    "import()": r"\bimport\s*\(",
    "importScripts": r"importScripts",
    "fetch": r"\bfetch\s*\(",
    "XMLHttpRequest": r"XMLHttpRequest",
    "WebSocket": r"WebSocket",
    "href": r"\bhref\b",
    "iframe": r"iframe",
    "script element": r"""make\(\s*["']script""",
    "on… attribute": r"""setAttribute\(\s*["']on""",
    "id or name of an element": r"""setAttribute\(\s*["'](id|name)["']|\.id\s*=[^=]""",
    "saved state": r"save_changes|model\.set\(",
}


@pytest.fixture(scope="module")
def node() -> str:
    """The node that Playwright brings along: the page's own language, without a system package."""
    from playwright._impl._driver import compute_driver_executable

    program = compute_driver_executable()
    return str(program[0] if isinstance(program, tuple) else program)


def test_the_files_are_those_that_are_joined() -> None:
    assert sorted(widget.MODULES) == [path.name for path in SCRIPTS]
    assert widget.MODULES[-1] == "card.js"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("name", FORBIDDEN)
def test_nothing_turns_text_into_markup_or_code(name: str) -> None:
    pattern = re.compile(FORBIDDEN[name])
    # a download is a click on a link to bytes of our own, told by its line
    saved = ("loader.js", "link.href = url;")
    hits = [
        f"{path.name}:{number}: {line.strip()}"
        for path in SCRIPTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line) and (path.name, line.strip()) != saved
    ]
    assert not hits, "\n".join(hits)


def test_the_only_link_leads_to_bytes_of_our_own() -> None:
    lines = (VIEWS / "loader.js").read_text(encoding="utf-8").splitlines()
    at = next(k for k, line in enumerate(lines) if "link.href" in line)
    before = "".join(line.strip() for line in lines[at - 3 : at])
    assert before == (
        "const url = URL.createObjectURL(new Blob(parts, "
        '{ type: "application/octet-stream" }));const link = make("a");link.download = name;'
    )
    assert sum("href" in path.read_text(encoding="utf-8") for path in SCRIPTS) == 1


@pytest.mark.parametrize("name", FORBIDDEN)
def test_the_patterns_find_what_they_are_for(name: str) -> None:
    samples = {
        "document.write": "document . write(x)",
        "eval": "eval (x)",
        "new Function": "new Function('x')",
        "import()": "import(x)",
        "fetch": "fetch(x)",
        "script element": "make('script')",
        "on… attribute": 'e.setAttribute("onclick", x)',
        "id or name of an element": "e.id = x",
        "saved state": "model.set('a', 1)",
    }
    assert re.search(FORBIDDEN[name], samples.get(name, name))


def test_elements_are_made_from_fixed_names() -> None:
    """`make(tag, ...)` gets a literal, or one of the three tags of SHOWN_KINDS."""
    hits = []
    for path in SCRIPTS:
        for found in re.finditer(r"\bmake\(\s*([^\s,)]+)", path.read_text(encoding="utf-8")):
            if not re.fullmatch(r'"[a-z]+[0-9]?"', found[1]) and (path.name, found[1]) not in {
                ("dom.js", "tag"),
                ("media.js", "tag"),
            }:
                hits.append(f"{path.name}: make({found[1]}")
    assert not hits, "\n".join(hits)
    kinds = re.findall(r'"[a-z]+/[a-z0-9]+": "(\w+)"', (VIEWS / "media.js").read_text("utf-8"))
    assert set(kinds) == {"img", "audio", "video"}


def test_no_text_of_a_script_spans_lines() -> None:
    """The joined module loses its indentation; a template over several lines would lose text."""
    for path in SCRIPTS:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert line.count("`") % 2 == 0, f"{path.name}:{number}"


def test_no_svg_among_the_media() -> None:
    assert "svg" not in (VIEWS / "media.js").read_text(encoding="utf-8").lower()


def test_no_other_sheet_means_a_class_of_the_payloads() -> None:
    """What two sheets style under one name, one of them spoils: only ``style.css`` is for all."""
    owners: dict[str, set[str]] = {}
    for name in widget.SHEETS:
        if name != "style.css":
            sheet = re.sub(
                r"/\*.*?\*/", "", (VIEWS / name).read_text(encoding="utf-8"), flags=re.DOTALL
            )
            for selector in re.findall(r"(?:^|[{},])\s*([^{}@,]+?)\s*(?=[{,])", sheet):
                if alone := re.fullmatch(r"(?:\.kit-card )?\w*\.(kit-[\w-]+)", selector):
                    owners.setdefault(alone[1], set()).add(name)
    assert len(owners) > 50
    shared = {cls: sheets for cls, sheets in owners.items() if len(sheets) > 1}
    assert not {cls for cls, sheets in shared.items() if "payload.css" in sheets}, shared


def test_colours_pass_for_text() -> None:
    """4.5:1 for every text colour of ours on its surface, in both themes."""
    css = (VIEWS / "style.css").read_text(encoding="utf-8")
    light, dark = css.split('.kit-card[data-kit-theme="dark"] {', 1)
    dark = dark.split("}", 1)[0]
    for block, surfaces in ((light, ("#ffffff", "#f6f6f6")), (dark, ("#212121", "#111111"))):
        colours = dict(re.findall(r"--kit-([\w-]+): (#[0-9a-f]{6})", block))
        words = [name for name in colours if name.endswith("-text")]
        assert len(words) == 5
        for name in words:
            for surface in surfaces:
                assert _contrast(colours[name], surface) >= 4.5, f"{name} on {surface}"
            # pills and the Run button: text on the colour
            assert _contrast(colours["on-fill"], colours[name]) >= 4.5, name


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


#: progress values as handlers give them
SHARES = [
    *(0.4, 0, 1, 1.5, -0.1, 40, True, None, "x", "", "40 %", " 7.5%", "140%", "%", [0.4], {}),
    *({"progress": 40}, {"progress": 0.4}, {"progress": 0}, {"percent": 40}, {"percent": 140}),
    *({"step": 4, "total": 10}, {"step": 0, "steps": 9}, {"done": 12, "of": 10}, {"step": 4}),
    *({"current": 1, "total": 0}, {"progress": "soon"}, {"progress": "30 %"}, {"progress": None}),
    *({"progress": True}, {"step": True, "total": 2}),
]


def records() -> dict[str, object]:
    """What Python packs, and what the page must read in it."""
    nan, jobs = math.nan, []
    rows = b""
    for number, state in enumerate(codec.STATES):
        started = state.value != "IN_QUEUE"
        row = codec.Row(
            number=number,
            state=number,
            flags=number,
            version=number + 1,
            slot=number if started else -1,
            findings=number,
            chunks=number * 1000,
            submitted=1_800_000_000.25 + number,
            wait=250.0 if started else nan,
            execution=750.0 if state.final else nan,
            end=1000.0 if state.final else nan,
            peak=1234.5 if state.final else nan,
            handler=number,
            session=1,
            target=2,
            attempt=3,
            id=codec.short_id(f"jöb-{number}"),
        )
        rows += codec.pack_row(row)
        values = {k: None if v != v else v for k, v in row._asdict().items()}
        jobs.append({**values, "state": state.value, "id": f"jöb-{number}"})
    samples = b"".join(
        codec.SAMPLE.pack(1_800_000_000.0, kind, device, place, 100.0, total, nan)
        for kind, device, place, total in (
            *((0, 0, 0, 24 * 1024.0), (0, 1, 0, 24 * 1024.0), (3, -1, 0, nan)),
            (3, -1, 1, nan),
        )
    )
    times = [float((n * 37) % 101) for n in range(101)]
    return {
        "states": [state.value for state in codec.STATES],
        "rows": base64.b64encode(rows).decode(),
        "jobs": jobs,
        "samples": base64.b64encode(samples).decode(),
        "ticks": base64.b64encode(codec.TICK.pack(0, 10.0) + codec.TICK.pack(0, 20.5)).decode(),
        "durations": [
            [ms, duration(ms)]
            for ms in (
                *(None, 0.0, 0.42, 0.994, 0.996, 5.04, 9.96, 12.4, 999.4, 999.6, 2210.0, 9994.0),
                *(9996.0, 59_940.0, 59_960.0, 185_000.0, 3_599_600.0, 3_600_000.0, 7_440_000.0),
                *(86_399_000.0, 90_000_000.0, 1e9),
            )
        ],
        "memory": [[m, memory(m)] for m in (None, 0.5, 9.96, 412.2, 999.0, 1000.0, 20275.2, 2e5)],
        "sizes": [
            [n, size(n)] for n in (0, 999, 1000, 9960, 402_000, 999_500, 1_200_000, 12_000_000)
        ],
        "shares": [[value, fraction(value)] for value in SHARES],
        "times": times,
        "p50": percentile(times, 0.5),
        "p95": percentile(times, 0.95),
    }


def views_module(folder: Path) -> str:
    """Address of the module that the widget sends, with everything in it exported."""
    source = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    names = sorted(set(re.findall(r"^(?:class|function|const) (\w+)", source, re.MULTILINE)))
    lists = re.findall(r"^const \[([\w, ]+)\]", source, re.MULTILINE)
    names += [name.strip() for one in lists for name in one.split(",")]
    path = folder / "views.mjs"
    path.write_text(f"{widget.esm()}\nexport {{ {', '.join(names)} }};\n", encoding="utf-8")
    return path.as_uri()


def test_the_parts_of_the_page_are_right(node: str, tmp_path: Path) -> None:
    """tests/js by node's own runner, on the very module that the widget sends."""
    facts = tmp_path / "records.json"
    facts.write_text(json.dumps(records()), encoding="utf-8")
    done = subprocess.run(
        [node, "--test", str(ROOT / "tests" / "js" / "views.test.mjs")],
        env={"KIT_VIEWS": views_module(tmp_path), "KIT_RECORDS": str(facts), "TZ": "UTC"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    report = done.stdout + done.stderr
    assert done.returncode == 0, report[-6000:]
    passed = re.search(r"^# pass (\d+)|^ℹ pass (\d+)", report, re.MULTILINE)
    assert passed, report[-2000:]
    assert int(passed[1] or passed[2]) >= 30
