"""What may not be in the tree, and how large a module may grow."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = {".py", ".js", ".css", ".md", ".toml", ".ipynb", ".yml", ".yaml", ".txt", ".cfg", ""}


def tree() -> list[Path]:
    """Text files that belong to the project: what git tracks, or everything where git is not."""
    if shutil.which("git") and (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        files = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        files = [path for path in ROOT.rglob("*") if not {".venv", "build"} & set(path.parts)]
    return [path for path in files if path.is_file() and path.suffix in TEXT]


def found(pattern: str, files: list[Path], flags: int = 0) -> list[str]:
    """``file:line: text`` of every match, this file left out."""
    regex = re.compile(pattern, flags)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in files
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if regex.search(line)
    ]


PYTHON = sorted((ROOT / "kit").rglob("*.py"))
SCRIPT = sorted((ROOT / "kit").rglob("*.js"))


def test_no_absolute_path_of_anybody_s_machine() -> None:
    # /workspace, /runpod-volume and /usr are facts of RunPod and Linux; these are not
    hits = found(r"""(?<![\w./*-])/(work|farm|home|Users|root|opt)/(?!\s|venv/)""", tree())
    assert not hits, "\n".join(hits)


def test_no_package_registry_is_named() -> None:
    # everybody has their own index; a host in the tree overrules it
    hits = found(
        r"pypi\.org|pythonhosted\.org|npmjs\.(org|com)|(deb|ftp)\.debian\.org|conda\.anaconda\.org"
        r"|unpkg\.com|jsdelivr\.net|esm\.sh",
        tree(),
    )
    assert not hits, "\n".join(hits)


def test_every_document_that_is_mentioned_exists() -> None:
    names = {path.name for path in tree()}
    for path in tree():
        if path.name == Path(__file__).name:
            continue
        for name in re.findall(r"\b([A-Z]{3,}\.md)\b", path.read_text(encoding="utf-8")):
            assert name in names, f"{path.relative_to(ROOT)} mentions {name}"
    hits = found(r"\b[A-Z]{4,}(\.md)?,? (section|part) (\d|one|two)", tree())
    assert not hits, "\n".join(hits)


def test_no_unfinished_work() -> None:
    hits = found(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError", PYTHON + SCRIPT)
    assert not hits, "\n".join(hits)


def code_lines(path: Path) -> int:
    """Lines of a module without its docstrings, comments and blank lines."""
    text = path.read_text(encoding="utf-8")
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                documentation |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sum(
        1
        for number, line in enumerate(text.splitlines(), 1)
        if number not in documentation and line.strip() and not line.strip().startswith("#")
    )


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_stay_small(path: Path) -> None:
    assert code_lines(path) <= 350, "split it by role"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, "split it by role"
    assert path.stem not in ("utils", "util", "helpers", "helper", "common", "misc")


def test_scripts_stay_small_and_safe() -> None:
    for path in SCRIPT:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path
    hits = found(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc"
        r"|javascript:|createContextualFragment|DOMParser|setHTML",
        SCRIPT,
    )
    assert not hits, "\n".join(hits)


def test_nothing_shows_itself_as_html_by_itself() -> None:
    # a trusted cell's HTML is not sanitised by Jupyter: only escaped text may get there, on purpose
    hits = found(r"_repr_html_|_repr_svg_|_repr_javascript_", PYTHON)
    assert not hits, "\n".join(hits)


def test_verification_of_certificates_is_never_switched_off() -> None:
    hits = found(r"verify\s*=\s*False|CERT_NONE|check_hostname\s*=\s*False", PYTHON)
    # export(verify=False) is ours and means the bundle, not a certificate
    assert not [hit for hit in hits if "kit/export" not in hit and "session" not in hit], hits


def test_types_are_shipped() -> None:
    marker = ROOT / "kit" / "py.typed"
    assert marker.exists()
    assert marker.read_bytes() == b""


def test_top_level_stays_short() -> None:
    known = {
        *(".ci", ".gitignore", "benchmarks", "binder", "kit", "notebooks", "tests"),
        *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md"),
        "pyproject.toml",
    }
    tops = {path.relative_to(ROOT).parts[0] for path in tree()}
    assert tops <= known, f"new at the top: {sorted(tops - known)}"
