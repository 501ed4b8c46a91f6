"""The house holds: imports go down only, and optional packages stay at the edge.

The rooms are in the table below. A module that is in no room fails; so does a row without a module.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
KIT = ROOT / "kit"

#: from the bottom up; a package stands for everything in it
ROOMS: dict[str, tuple[str, ...]] = {
    # what things are: values, and what can be said of them without running anything
    "words": (
        *(
            "absence",
            "codec",
            "fold",
            "controls",
            "draft",
            "fields",
            "reads",
            "redraw",
            "errors",
            "events",
            "findings",
            "wirefindings",
            "handler",
            "inspection",
            "job",
        ),
        *("changes", "media", "payload", "pictures", "preview", "refusals", "request", "sounds"),
        *("batch", "podinfo", "policy", "posted", "recorded", "secret", "shapes", "span", "walk"),
        "scan",
        *("difference", "inspector", "search", "sparkline"),
    ),
    # what stays: the journal, and the cells as they were executed
    "keep": (
        "delivery",
        "forks",
        "conditions",
        "home",
        "lock",
        "marks",
        "mirror",
        "reader",
        "rows",
        "schema",
        "spankeeping",
        "spill",
        "store",
        "writer",
        "source",
    ),
    # what happens
    "run": (
        *(
            "capture",
            "cellend",
            "guard",
            "joblog",
            "outcome",
            "queue",
            "runner",
            "streaming",
            "torchstate",
        ),
        *(
            "emulator",
            "fit",
            "gpu",
            "growth",
            "held",
            "breakpoints",
            "exits",
            "outbox",
            "relay",
            "reports",
            "roster",
            "timelimits",
            "rss",
            "runpod_api",
            "treememory",
            "sampler",
            "sdk",
            "targets",
            "trace",
            "verdict",
            "worker",
        ),
    ),
    "show": ("views",),
    "export": ("export",),
    # where a person comes in
    "entry": (
        *(
            "__init__",
            "api",
            "debugging",
            "displays",
            "handlers",
            "exporting",
            "extension",
            "freeing",
            "intake",
            "line",
            "loading",
            "looking",
            "magic",
        ),
        *(
            "cli",
            "notebook",
            "ownlines",
            "places",
            "pod",
            "podlist",
            "prefill",
            "registration",
            "serving",
            "session",
            "status",
        ),
        *("verifying", "waiting"),
        *(
            "cleanenv",
            "remotecell",
            "exportline",
            "headless",
            "inkernel",
            "exportzip",
            "savedbook",
            "shipping",
            "startcheck",
            "startoptions",
            "whichhandler",
            "surroundings",
            "workerfile",
        ),
    ),
}
#: which rooms a room may import besides itself
BELOW = {
    "words": (),
    "keep": ("words",),
    "run": ("words", "keep"),
    "show": ("words", "keep"),
    "export": ("words", "keep"),
    "entry": ("words", "keep", "run", "show", "export"),
}
#: where a package that is not the standard library may be imported
EDGE = {
    "nbconvert": ("exportzip",),
    "jupyter_client": ("headless",),
    "jupyter_core": ("headless",),
    "nbclient": ("headless",),
    "nbformat": ("headless",),
    "PIL": ("export.images",),
    "IPython": ("extension", "magic", "notebook", "source", "views"),
    "aiohttp": ("emulator", "podlist", "runpod_api", "targets.pod"),
    "anywidget": ("views",),
    "ipywidgets": ("views",),
    "matplotlib": ("views.plots",),
    "nest_asyncio2": ("debugging",),
    "packaging": ("cleanenv", "export"),
    "pandas": ("views.columns", "views.eventframe", "views.flat", "views.frame"),
    "psutil": ("gpu", "rss", "sampler", "treememory"),
    "pyflakes": ("export",),
    "pynvml": ("gpu",),
    "runpod": ("sdk", "export"),
    "tomli": ("runpod_api",),
    "torch": ("gpu", "sampler"),
}


@dataclass(frozen=True)
class Import:
    """One import of one module by one module."""

    by: str
    of: str
    line: int
    top: bool
    typing: bool

    def __str__(self) -> str:
        return f"kit/{self.by.replace('.', '/')}.py:{self.line} imports {self.of}"


def modules() -> dict[str, Path]:
    """Dotted name below ``kit`` to file; ``__init__`` is kit itself, ``views`` kit/views/__init__.py."""
    found = {}
    for path in sorted(KIT.rglob("*.py")):
        parts = path.relative_to(KIT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and parts[:-1] else parts)] = path
    return found


def imports(name: str, path: Path) -> Iterator[Import]:
    """Every import in a module, wherever it stands."""

    def walk(node: ast.AST, top: bool, typing: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(name, alias.name, child.lineno, top, typing)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: relative import"
                for alias in child.names:
                    of = f"{child.module}.{alias.name}"
                    yield Import(name, of, child.lineno, top, typing)
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from walk(child, False, typing)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                yield from walk(child, top, True)
            else:
                yield from walk(child, top, typing)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), True, False)


def target(imported: Import) -> str | None:
    """The kit's own module that an import means; None for somebody else's."""
    parts = imported.of.split(".")
    if parts[0] != "kit":
        return None
    known = modules()
    for end in range(len(parts), 1, -1):
        if (name := ".".join(parts[1:end])) in known:
            return name
    return "__init__"


def room(name: str) -> str:
    for title, heads in ROOMS.items():
        if name.partition(".")[0] in heads:
            return title
    pytest.fail(f"kit/{name}.py is in no room: give it one in {Path(__file__).name}")


ALL = [imported for name, path in modules().items() for imported in imports(name, path)]


def test_every_module_has_a_room_and_every_row_a_module() -> None:
    heads = {name.split(".")[0] for name in modules()}
    listed = [head for row in ROOMS.values() for head in row]
    assert len(listed) == len(set(listed))
    assert heads == set(listed)


def test_imports_go_down_only() -> None:
    wrong = [
        f"{imported} ({room(imported.by)} imports {room(name)})"
        for imported in ALL
        if (name := target(imported)) is not None
        and room(name) != room(imported.by)
        and room(name) not in BELOW[room(imported.by)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_import_at_the_top_of_a_module_closes_a_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for imported in ALL:
        name = target(imported)
        if imported.top and not imported.typing and name not in (None, imported.by):
            graph[imported.by].add(str(name))
    TopologicalSorter(graph).prepare()  # raises CycleError and names the circle


def test_optional_packages_stay_at_the_edge() -> None:
    def allowed(imported: Import) -> bool:
        places = EDGE.get(imported.of.split(".")[0])
        return places is None or any(
            imported.by == place or imported.by.startswith(f"{place}.") for place in places
        )

    wrong = [str(imported) for imported in ALL if not imported.typing and not allowed(imported)]
    assert not wrong, "\n".join(wrong)


def test_only_packages_we_declare_are_imported() -> None:

    declared = {*EDGE, "kit", "traitlets", "comm", "ipykernel", *sys.stdlib_module_names}
    wrong = [str(i) for i in ALL if not i.typing and i.of.split(".")[0] not in declared]
    assert not wrong, "\n".join(wrong)


def test_torch_is_never_imported_but_only_found() -> None:
    wrong = [str(i) for i in ALL if i.of.split(".")[0] == "torch" and not i.typing]
    assert not wrong, "torch is used only if the notebook has imported it: sys.modules.get('torch')"


HEAVY = ("runpod", "pandas", "numpy", "matplotlib", "IPython", "ipywidgets", "anywidget", "torch")


def imported_by(source: str) -> set[str]:
    """Which heavy packages a fresh interpreter has imported after a few lines."""
    asked = f"{source}\nimport sys\nprint(*({set(HEAVY)!r} & sys.modules.keys()))"
    told = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return set(told.stdout.split())


def test_import_kit_is_light() -> None:
    assert imported_by("import kit") == set()


def test_a_job_is_run_without_the_heavy_packages() -> None:
    # IPython is there, as in a kernel; the view may need its widgets, no more
    heavy = imported_by(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'kit')\n"
        "shell.run_cell('%%handler double\\ndef double(job):\\n    return 2 * job[\"input\"]')"
        ".raise_error()\n"
        "import kit\n"
        "assert kit.run(21).result(30) == 42"
    )
    assert not heavy & {"runpod", "pandas", "numpy", "matplotlib", "torch"}
