"""The catalogue: every code has a maker that the kit uses, and the README lists it."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from kit import findings, wirefindings
from kit.events import Finding

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {path: path.read_text("utf-8") for path in sorted((ROOT / "kit").rglob("*.py"))}

MAKERS = {
    name: function
    for module in (findings, wirefindings)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__
    and inspect.signature(function).return_annotation == "Finding"
    and name != "at"
}
#: an argument for every parameter that a maker may have, by its name
ARGUMENTS: dict[str, Any] = {
    "value": [], "keys": ["a", "b"], "dies": True, "seconds": 700.0, "limit": 4, "asked": 8,
    "option": True, "mib": 100.0, "jobs": 5, "names": ["model"],
}  # fmt: skip


def made() -> dict[str, Finding]:
    return {
        name: function(
            *[
                ARGUMENTS.get(parameter, "words")
                for parameter in inspect.signature(function).parameters
            ]
        )
        for name, function in MAKERS.items()
    }


def test_every_code_has_a_maker_and_every_maker_a_code() -> None:
    codes = {finding.code for finding in made().values()}
    assert codes == set(findings.CATALOGUE)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_every_maker_is_used(name: str) -> None:
    uses = [
        path.name
        for path, text in SOURCES.items()
        if re.search(rf"\b((?:wire)?findings\.)?{name}\(", text)
        and path.name not in ("findings.py", "wirefindings.py")
    ]
    assert uses, f"{name} is promised and never said"


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_a_finding_is_a_sentence_with_a_way_out(name: str) -> None:
    finding = made()[name]
    assert re.fullmatch(r"K2\d\d", finding.code)
    for text in (finding.sentence, finding.remedy):
        assert text
        assert text[-1] in ".)", text
        assert "\n" not in text
    assert findings.CATALOGUE[finding.code]


def test_a_place_is_filled_in_but_not_replaced() -> None:
    nowhere, somewhere = Finding("K299", "x"), Finding("K299", "x", "$.a")
    assert findings.at(nowhere, "In [3]").place == "In [3]"
    assert findings.at(somewhere, "In [3]") is somewhere


def codes_in_the_source() -> set[str]:
    """Codes in string literals of the kit's code, docstrings and comments left out."""
    found: set[str] = set()
    for text in SOURCES.values():
        tree = ast.parse(text)
        literals = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        found |= {value for value in literals if re.fullmatch(r"K\d\d\d", value)}
    return found


def test_the_readme_lists_every_code_and_no_other() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    listed = set(re.findall(r"\bK[1-9]\d\d\b", readme))
    known = codes_in_the_source() | set(findings.CATALOGUE)
    assert known - listed == set(), "the README does not list these"
    assert listed - known == set(), "the README lists these, and nothing makes them"
