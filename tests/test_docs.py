"""What the documents say can be done, is done: python blocks run, shell lines name things that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: Path, *languages: str) -> list[str]:
    """Bodies of the fenced blocks in one of these languages, in order."""
    text = document.read_text(encoding="utf-8")
    return [body for language, body in FENCE.findall(text) if language in languages]


def ids(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_fences_are_closed_and_name_their_language(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert text.count("\n```") % 2 == 0
    for language, body in FENCE.findall(text):
        assert language in ("python", "bash", "text"), f"{language!r}: {body[:60]}"


@pytest.mark.kernel
@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if blocks(d, "python")] or [None], ids=lambda d: d and d.name
)
def test_every_python_block_runs(document: Path | None, tmp_path: Path) -> None:
    # each block is a cell (a blank comment line `# ---` would split one), all in one kernel
    assert document is not None, "no document has a python block any more"
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(body) for body in blocks(document, "python")]
    client = NotebookClient(
        notebook,
        timeout=60,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
        store_widget_state=False,
    )
    client.execute()


def targets() -> set[str]:
    return set(
        re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )


def extras() -> set[str]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    return set(re.findall(r"^(\w+) = \[", table, re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_every_shell_line_can_be_typed(document: Path) -> None:
    for body in blocks(document, "bash"):
        for line in filter(None, re.split(r"\n|&&", body)):
            words = shlex.split(line, comments=True)
            if not words:
                continue
            if words[0] == "make":
                assert words[1] in targets(), line
            elif "pip" in words:
                for named in re.findall(r"\[([\w,]+)\]", line):
                    assert set(named.split(",")) <= extras(), line
            elif words[0] == "python":
                assert (ROOT / words[1]).exists(), line
            else:
                assert words[0] in ("jupyter", "git", "cd"), f"who has {words[0]}? {line}"


def test_the_readme_stays_short_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 170
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link


def test_the_readme_names_exactly_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^make (\w+)", text, re.MULTILINE))
    assert named == {"demo", "test"}


def test_the_readme_lists_every_finding() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "kit").rglob("*.py"))
    made = set(re.findall(r'"(K\d{3})"', source))
    listed = re.findall(r"\| (K\d{3}) \|", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(listed) == len(set(listed))
    assert set(listed) == made
