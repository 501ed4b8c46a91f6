"""A Dockerfile read as BuildKit reads it: directives, comments, continuations, quotes, JSON forms."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

INSTRUCTIONS = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
    "MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip
_DIRECTIVE = re.compile(r"#\s*(syntax|escape|check)\s*=\s*(\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    word: str
    rest: str

    @property
    def json(self) -> list[str] | None:
        """The exec form, if it is one."""
        try:
            value = json.loads(self.rest)
        except ValueError:
            return None
        return value if isinstance(value, list) else None

    @property
    def paths(self) -> list[str]:
        """Sources and target of a COPY."""
        return self.json or self.rest.split()


def parse(text: str) -> list[Instruction]:
    """Instructions of a Dockerfile; raises ValueError where BuildKit would."""
    lines = text.split("\n")
    first = lines[0] if lines else ""
    if _DIRECTIVE.match(first):
        raise ValueError(f"a parser directive: {first!r}")
    found: list[Instruction] = []
    pending = ""
    for line in lines:
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        if pending and line.lstrip().startswith("#"):
            continue  # comments inside a continuation are dropped
        if line.rstrip().endswith("\\"):
            pending += line.rstrip()[:-1] + " "
            continue
        whole, pending = pending + line, ""
        word, _, rest = whole.strip().partition(" ")
        if word.upper() not in INSTRUCTIONS:
            raise ValueError(f"unknown instruction: {word!r}")
        if "<<" in rest and word.upper() in ("RUN", "COPY", "ADD"):
            raise ValueError("a here-document")
        found.append(Instruction(word.upper(), rest.strip()))
    if pending:
        raise ValueError("it ends within an instruction")
    if not found or found[0].word not in ("FROM", "ARG"):
        raise ValueError("no FROM first")
    return found


def variables(instruction: Instruction) -> dict[str, str]:
    """NAME="value" pairs of an ENV, with Docker's rules for quotes and escapes; ``$X`` is filled in as
    ``<X>``.
    """
    text, at = instruction.rest, 0
    found: dict[str, str] = {}
    while at < len(text):
        match = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)=").match(text, at)
        if match is None:
            raise ValueError(f"not a variable: {text[at:]!r}")
        at = match.end()
        value, quote = "", ""
        while at < len(text):
            c = text[at]
            if not quote and c.isspace():
                break
            if c == quote:
                quote = ""
            elif not quote and c in "\"'":
                quote = c
            elif c == "\\" and quote != "'" and at + 1 < len(text):
                at += 1
                value += text[at] if text[at] in '"\\$' or not quote else "\\" + text[at]
            elif c == "$" and quote != "'":
                name = re.compile(r"\$\{?(\w*)[^}]*\}?").match(text, at)
                assert name is not None
                value += f"<{name[1]}>"
                at = name.end() - 1
            else:
                value += c
            at += 1
        if quote:
            raise ValueError("an open quote")
        found[match[1]] = value
    return found
