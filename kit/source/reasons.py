"""Sentences for what goes, and for names that nothing defines."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kit.source.commands import fate_of
from kit.source.facts import Facts
from kit.source.program import BUILTINS, END, OF_IPYTHON, Meaning, Program
from kit.source.vocabulary import LOOKS

#: reasons of which a count is enough
QUIET = {"is a magic", "is the kit's own", "only shows something"}
#: methods that do something else each time they run
_ADDS = {"add", "append", "extend", "insert", "partial_fit", "pop", "push", "register", "remove"}
#: names that IPython puts into a notebook's namespace
_OF_IPYTHON = {"In", "Out", "_", "__", "___", *OF_IPYTHON}

#: why a name is missing if nothing more can be said
NOWHERE = "no executed cell defines it"


def missing_reason(program: Program, name: str, meaning: Meaning) -> str:
    """Why no kept statement defines a name; ``""`` if none needs to (a builtin)."""
    statements = program.statements
    if meaning.deleted is not None:
        return f"{statements[meaning.deleted].place} deletes it"
    for index in meaning.defs:
        statement = statements[index]
        if statement.magic is not None and statement.magic.name != "job":
            word = statement.magic.line if statement.magic.kind == "shell" else statement.magic.name
            return f"{statement.place} takes it from `{word}`, which only a notebook can run"
        if index in program.own:
            return f"{statement.place} takes it from the kit, which a worker does not have"
    for statement in program.failed:
        if name in statement.facts.binds:
            return f"{statement.place} would define it, but that cell raised"
    for unread in program.unreadable:
        if unread.too_long and name in unread.cell.source:
            return f"{unread.cell.label} may define it, but {unread.reason}"
        if name in unread.cell.source:
            return f"{unread.cell.label} may define it, but it is not valid Python"
    # what a cell or a library adds to the builtins is added by the file as well
    if name in BUILTINS or (hasattr(builtins, name) and name not in OF_IPYTHON):
        return ""
    if name == "kit":
        return "the kit itself is not part of a worker"
    if name in _OF_IPYTHON:
        return "IPython defines it in notebooks only"
    for statement in statements:
        for function, code in statement.facts.code.items():
            if name in code.writes:
                told = f"only `{function}` ({statement.place}) binds it"
                if program.judge.starts(function):
                    return f"{told}, which starts the worker as well: bind it before that, outside"
                return f"{told}, which no statement calls"
    for statement in statements:
        for inner in ast.walk(statement.node):
            if (
                isinstance(inner, ast.Name)
                and inner.id == name
                and isinstance(inner.ctx, ast.Store)
                and name not in statement.facts.binds
            ):
                return f"only code inside {statement.place} binds it, for itself"
    scripts = [
        f"{s.place} runs `{s.magic.line.strip()}`, which may define it: {_instead(s.magic.line)}"
        for s in statements
        if s.magic is not None and s.magic.name == "run"
    ]
    for cell in program.cells:
        if any(name in source for source, _ in cell.earlier):
            return f"an earlier version of {cell.label} may have defined it, which was edited since"
    for statement in statements:
        if "exec" in statement.facts.dynamic:
            scripts.append(f"{statement.place} uses exec(), which may define it: use plain code")
    return scripts[0] if scripts else NOWHERE


def _instead(line: str) -> str:
    if ".ipynb" in line:
        return "put that code into a module and import it, or into a cell"
    return "import from it instead"


def reason_to_drop(
    program: Program, index: int, live: set[str], kept: Collection[int]
) -> tuple[str, bool]:
    """Why a statement goes, and whether that is a question.

    Parameters
    ----------
    program : Program
    index : int
    live : set of str
        Names whose meaning at this statement stays.
    kept : collection of int
        Statements that stay.
    """
    statement, judgement = program.statements[index], program.judgements[index]
    facts, magic = statement.facts, statement.magic
    if statement.directive == "drop":
        return "`# kit: drop`", False
    changed = sorted(set(judgement.changes) & live)
    if judgement.starts:
        more = [*(f"changes `{n}`" for n in changed), *filter(None, [judgement.settings])]
        told = "becomes the start() at the end of the file"
        if more:
            return f"{told}, but does more than that ({', '.join(more)}): take that out of it", True
        return told, False
    if magic is not None:
        fate = fate_of(statement)
        return fate.reason, fate.question
    if index in program.own:
        if changed:
            words = ", ".join(f"`{n}`" for n in changed)
            return f"changes {words}, but through the kit, which a worker does not have", True
        return "is the kit's own", False
    for name in facts.imports:
        place = program.first_import(name, index)
        if place != index and place in kept:
            return f"`{name}` is imported in {program.statements[place].place} already", False
    if facts.dynamic and (not statement.shown or "exec" in facts.dynamic):
        words = ", ".join(f"{word}()" for word in sorted(facts.dynamic))
        return f"uses {words}: what it defines or changes cannot be seen", True
    early = _too_early(program, index, kept)
    if early:
        return early, False
    for name in facts.binds:
        place = program.next_definition(name, index)
        if place < END and place in kept:
            return f"`{name}` is defined again in {program.statements[place].place}", False
    asked = sorted((judgement.asks | judgement.perhaps | judgement.receives) & live)
    asked = [n for n in asked if n not in program.imports and n not in program.code]
    if asked and not statement.shown:
        words = ", ".join(f"`{n}`" for n in asked)
        return f"nothing needs its result; if it changes {words}, mark it `# kit: keep`", True
    if judgement.library:
        return f"sets up `{judgement.library}`, which the file does not need", False
    if judgement.does:
        what = judgement.does
        return (
            f"nothing needs its result; if what {what} does is needed, mark it `# kit: keep`",
            True,
        )
    if any(len(c.path) == 1 and c.path[0] in program.served for c in facts.calls):
        tried = ", ".join(f"`{n}`" for n in sorted(_tried(program, facts) & live))
        if tried:
            told = f"tries out what the worker serves; it changed {tried}: if the worker needs that"
            return f"{told}, mark it `# kit: keep`", True
        return "tries out what the worker serves", False
    if isinstance(statement.node, ast.Expr):
        called = _called_for_nothing(program, facts)
        if called and not statement.shown:
            return (
                f"nothing needs its result; if what {called} does is needed, mark it `# kit: keep`",
                True,
            )
        if called:
            return "nothing needs its result", False
        return ("only shows something" if statement.shown else "nothing needs what it does"), False
    if isinstance(statement.node, ast.Assert):
        return "is a check outside of the handler's cell", False
    names = ", ".join(f"`{n}`" for n in facts.binds)
    return (f"nothing needs {names}" if names else "nothing needs what it does"), False


def _called_for_nothing(program: Program, facts: Facts) -> str:
    """The library function of which a statement throws the value away; ``""`` if none."""
    for call in facts.calls:
        origin = program.judge.origin(call.path)
        if origin and call.bare and call.path[-1] not in LOOKS:
            return origin
    return ""


def _tried(program: Program, facts: Facts) -> set[str]:
    """Names that a test call of a helper has changed; the handler's own calls are jobs."""
    helpers = {c.path[0] for c in facts.calls if len(c.path) == 1} & program.served
    return {
        name
        for helper in helpers - {program.handler_name}
        for name in program.judge.changed_by(helper)
    }


def _too_early(program: Program, index: int, kept: Collection[int]) -> str:
    for name in sorted(program.judgements[index].changes):
        place = program.next_definition(name, index)
        if place < END and place in kept:
            where = program.statements[place].place
            return f"changes `{name}`, which {where} defines again afterwards"
    return ""


def notes_of(program: Program, kept: Collection[int], moved: Mapping[str, int]) -> list[str]:
    """What a person should know of a slice, one sentence each.

    Parameters
    ----------
    program : Program
    kept : collection of int
    moved : mapping of str to int
        Names whose definition comes below a reader.
    """
    notes = [
        f"{unread.cell.label} was left out: "
        + (unread.reason if unread.too_long else "it is not Python")
        + "."
        for unread in program.unreadable
        if unread.cell.ok
    ]
    statements = [program.statements[i] for i in sorted(kept)]
    late = dict.fromkeys(s.cell.label for s in statements if s.position > program.home)
    notes += [
        f"{label} ran after the handler's cell; the file has what it changed, as the kernel has. "
        "Jobs that ran before it saw the older values."
        for label in late
    ]
    notes += [
        f"`{name}` is defined in {program.statements[index].place}, which was run again after its "
        "value had been used; the file defines it first."
        for name, index in sorted(moved.items())
    ]
    for index in sorted(kept):
        statement = program.statements[index]
        what = program.judgements[index].settings
        if what.startswith(("sys.path", "os.chdir")):
            notes.append(
                f"{statement.place} uses {what}: such a folder must be in the image as well."
            )
        if statement.cell.runs > 1 and (name := _adds_up(program, index)):
            notes.append(
                f"{statement.place} adds to `{name}`, and its cell ran {statement.cell.runs} "
                "times: the kernel has it that often, the file once."
            )
    notes += [
        f"{d.place} was to change {', '.join(f'`{n}`' for n in d.names)} in a cell that raised; "
        "the file does not have it."
        for d in _failed_changes(program, kept)
    ]
    return notes


@dataclass(frozen=True, slots=True)
class _Failed:
    place: str
    names: tuple[str, ...]


def _failed_changes(program: Program, kept: Collection[int]) -> list[_Failed]:
    """Statements of cells that raised, which bind or change what the file has."""
    has = {name for i in kept for name in program.statements[i].facts.binds}
    result = []
    for statement in program.failed:
        names = {*statement.facts.binds, *statement.facts.touches} & has
        if names and not statement.facts.imports:
            result.append(_Failed(statement.place, tuple(sorted(names))))
    return result


def _adds_up(program: Program, index: int) -> str:
    """The name from another cell that a statement adds to each time it runs; ``""`` if none."""
    statement = program.statements[index]
    facts = statement.facts
    names = {n for n in facts.binds if n in facts.reads}
    names |= {c.path[0] for c in facts.calls if len(c.path) == 2 and c.path[1] in _ADDS}
    for name in sorted(names):
        places = program.meaning(name, index).defs
        if places and all(program.statements[p].position != statement.position for p in places):
            return name
    return ""
