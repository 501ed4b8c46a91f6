"""Sections of a file: imports, configuration, definitions, model load, handler, as far as they may.

A statement is moved up only where nothing can tell the difference: an import above what does not set
anything up, a constant or a definition above what neither reads nor changes anything of it. What
runs for its effect keeps its order among its kind.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import chain

from kit.source.plain import Plain
from kit.source.program import Program
from kit.source.statements import Statement

IMPORTS, CONFIGURATION, DEFINITIONS, LOAD, HANDLER = range(5)
_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BLOCKS = (ast.If, ast.Try)
#: settings that the standard library's own modules do not look at when they are imported
_OF_NO_IMPORT = ("os.environ", "os.putenv", "os.unsetenv", "dotenv", "logging", "warnings")
#: stands for the process's environment among the names a statement reads and changes
_ENVIRONMENT = "<environment>"


def by_sections(program: Program, order: Sequence[int]) -> list[int]:
    """Order statements by section.

    Parameters
    ----------
    program : Program
    order : sequence of int
        Kept statements in an order in which the file runs.

    Returns
    -------
    list of int
        The same, in an order in which it computes the same.
    """
    sections = _Sections(program, order)
    groups = {index: sections.group(index) for index in order}
    return sorted(order, key=groups.__getitem__)  # stable


class _Sections:
    """Gives each statement, asked in order, its section; later answers depend on earlier ones."""

    def __init__(self, program: Program, order: Sequence[int]) -> None:
        self._program = program
        self._statements = program.statements
        counts = Counter(n for i in order for n in self._statements[i].facts.binds)
        self._once = {name for name, count in counts.items() if count == 1}
        self._plain = Plain(program, self._once)
        self._changed: dict[int, set[str]] = {}
        for (name, _), indices in program.changes.items():
            for index in indices:
                self._changed.setdefault(index, set()).add(name)
        # of each section, the names that its statements so far read, and change, as bits
        self._read = [0] * (HANDLER + 1)
        self._written = [0] * (HANDLER + 1)
        self._effect = self._barrier = self._hard_barrier = self._opaque = IMPORTS

    def group(self, index: int) -> int:
        statement = self._statements[index]
        facts = statement.facts
        reads, writes = self._reads(index), self._writes(index)
        rank, free = self._rank(index)
        group = max(rank, self._opaque)
        for section in range(HANDLER, group, -1):
            written = self._written[section]
            if written & reads or written & writes or self._read[section] & writes:
                group = section
                break
        if not free:
            group = max(group, self._effect)
            self._effect = group
        elif rank == IMPORTS:
            group = max(group, self._hard_barrier if _is_standard(statement) else self._barrier)
        self._read[group] |= reads
        self._written[group] |= writes
        if self._program.is_barrier(index):
            self._barrier = max(self._barrier, group)
            if not self._program.judgements[index].settings.startswith(_OF_NO_IMPORT):
                self._hard_barrier = max(self._hard_barrier, group)
        if facts.dynamic or index in self._program.stars:
            self._opaque = max(self._opaque, group)
        return group

    def _reads(self, index: int) -> int:
        facts = self._statements[index].facts
        names = self._program.reach.bits(
            facts.reads | facts.annotated if facts.annotated else facts.reads
        )
        if facts.calls or facts.decorators:
            names |= self._program.code_reads(index)
        if self._plain.reads_environment(self._statements[index].node):
            names |= self._program.reach.bits([_ENVIRONMENT])
        return names

    def _writes(self, index: int) -> int:
        facts = self._statements[index].facts
        changed = self._changed.get(index, ())
        more = self._program.judgements[index].changes
        names = chain(facts.binds, facts.unbinds, facts.touches, changed, more)
        written = self._program.reach.bits(names)
        if self._program.is_barrier(index):
            written |= self._program.reach.bits([_ENVIRONMENT])
        return written

    def _rank(self, index: int) -> tuple[int, bool]:
        """Section a statement would like to be in, and whether it may move up freely."""
        statement = self._statements[index]
        node, facts = statement.node, statement.facts
        alone = self._once.issuperset(facts.binds)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            star = index in self._program.stars
            return (IMPORTS, True) if alone and not star else (LOAD, False)
        if isinstance(node, _DEFS):
            pure = alone and self._plain.is_definition(node)
            name = self._program.handler_name
            handler = name == node.name and not isinstance(node, ast.ClassDef)
            return (HANDLER if handler else DEFINITIONS), pure
        if (
            isinstance(node, (ast.Assign, ast.AnnAssign))
            and alone
            and self._plain.is_constant(node)
        ):
            return CONFIGURATION, True
        if self._program.judgements[index].settings or self._plain.is_data_change(node):
            return CONFIGURATION, False
        if isinstance(node, _BLOCKS) and self._plain.is_choice(node):
            return CONFIGURATION, False
        return LOAD, False


def _is_standard(statement: Statement) -> bool:
    node = statement.node
    if isinstance(node, ast.ImportFrom):
        return not node.level and (node.module or "").partition(".")[0] in sys.stdlib_module_names
    assert isinstance(node, ast.Import)
    return node.names[0].name.partition(".")[0] in sys.stdlib_module_names
