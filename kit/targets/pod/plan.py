"""Which statements run again on the pod: those whose text or whose inputs changed, and no other.

A statement is known by a key: the hash of its text and of the keys of all it depends on. What the
pod has run, with what it bound and whose objects it changed, is a ledger; a plan is the difference
between that and the slice that the export would write.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from kit.source.links import Link
from kit.source.statements import Statement


@dataclass(frozen=True, slots=True)
class Item:
    """One statement of a slice.

    Attributes
    ----------
    key : str
        Equal exactly if its text and all it stands on are equal.
    digest : str
        Of its text alone.
    statement : Statement
    link : Link
    """

    key: str
    digest: str
    statement: Statement
    link: Link

    def about(self, items: Sequence[Item]) -> str:
        """What the ledger must know of it, as text."""
        return json.dumps(
            {
                "digest": self.digest,
                "binds": self.link.binds,
                "changes": [items[at].key for at in self.link.changes],
                "first": self.statement.text[:200],
            }
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What a plan does with one statement.

    Attributes
    ----------
    item : Item
    runs : bool
    why : str
        A phrase.
    """

    item: Item
    runs: bool
    why: str


@dataclass(slots=True)
class _Known:
    digest: str
    binds: tuple[str, ...]
    changes: tuple[str, ...]


@dataclass(slots=True)
class Ledger:
    """What has run on the pod, in order."""

    known: dict[str, _Known] = field(default_factory=dict)
    #: name to the key of the statement that bound it last
    last: dict[str, str] = field(default_factory=dict)
    #: texts that were run once, to tell an edit from something new
    names: dict[str, str] = field(default_factory=dict)

    def note(self, key: str, about: str, *, ok: bool) -> None:
        """A statement was run, well or not."""
        told = json.loads(about)
        changes = tuple(told["changes"])
        # a definition that ran again made a new object: what was done to the old one is undone
        for other, known in list(self.known.items()):
            if key in known.changes:
                del self.known[other]
        for name in told["binds"]:
            self.last[name] = key if ok else ""
            self.names[name] = told["digest"]
        if ok:
            self.known[key] = _Known(told["digest"], tuple(told["binds"]), changes)
            return
        self.known.pop(key, None)
        for changed in changes:  # perhaps half done
            self.known.pop(changed, None)


def items_of(kept: Sequence[Statement], links: Sequence[Link]) -> list[Item]:
    """The statements of a slice with their keys."""
    items: list[Item] = []
    often: dict[str, int] = {}
    keys: dict[int, str] = {}
    for at, (statement, link) in enumerate(zip(kept, links)):
        digest = _hash(statement.text)
        # what it depends on comes before it, unless the notebook's order could not be kept
        before = [keys.get(i) or _hash(kept[i].text) for i in link.after]
        key = _hash(digest, *sorted(before))
        often[key] = often.get(key, 0) + 1
        if often[key] > 1:
            key = _hash(key, str(often[key]))
        keys[at] = key
        items.append(Item(key, digest, statement, link))
    return items


def plan(items: Sequence[Item], ledger: Ledger) -> list[Step]:
    """Decide for each statement whether it runs, and say why.

    Parameters
    ----------
    items : sequence of Item
        The slice, in the order in which it runs.
    ledger : Ledger
    """
    return _Planner(items, ledger).steps()


class _Planner:
    def __init__(self, items: Sequence[Item], ledger: Ledger) -> None:
        self._items, self._ledger = items, ledger
        self._why: dict[int, str] = {}
        #: definition to the statements that change its object, in order
        self._changers: dict[int, list[int]] = {}
        for at, item in enumerate(items):
            for definition in item.link.changes:
                self._changers.setdefault(definition, []).append(at)

    def steps(self) -> list[Step]:
        for at, item in enumerate(self._items):
            if item.key not in self._ledger.known:
                self._why[at] = self._first_reason(at)
        self._undo_the_gone()
        before = -1
        while before != len(self._why):
            before = len(self._why)
            self._follow()
            self._rebind()
        return [
            Step(item, at in self._why, self._why.get(at, "has run, and nothing it reads changed"))
            for at, item in enumerate(self._items)
        ]

    def _run(self, at: int, why: str) -> None:
        self._why.setdefault(at, why)

    def _first_reason(self, at: int) -> str:
        item = self._items[at]
        if any(known.digest == item.digest for known in self._ledger.known.values()):
            for dependency in item.link.after:
                if self._items[dependency].key not in self._ledger.known:
                    return f"{self._named(dependency)} changed"
            return "what it reads changed"
        if any(name in self._ledger.names for name in item.link.binds):
            return "its text changed"
        return "is new"

    def _named(self, at: int) -> str:
        statement = self._items[at].statement
        names = list(statement.facts.binds)
        return f"`{names[0]}` ({statement.place})" if names else statement.place

    def _undo_the_gone(self) -> None:
        """An object that a statement changed which is no longer there is made anew."""
        own = {item.key: at for at, item in enumerate(self._items)}
        for key, known in self._ledger.known.items():
            if key in own:
                continue
            for changed in known.changes:
                # one that the notebook still has is only no part of this handler's slice
                if changed in own and known.digest not in self._touched(own[changed]):
                    self._run(own[changed], "a statement that changed its object is gone")

    def _touched(self, at: int) -> set[str]:
        return {_hash(text) for text in self._items[at].link.touched}

    def _follow(self) -> None:
        for at, item in enumerate(self._items):
            if at not in self._why:
                cause = next((i for i in item.link.after if i in self._why), None)
                if cause is not None:
                    self._run(at, f"{self._named(cause)} runs again")
                continue
            self._as_it_was(at)
            if item.key in self._ledger.known:
                # what changes an object for the second time needs the object as it was before
                for changed in item.link.changes:
                    self._run(changed, f"{item.statement.place} changes its object once more")

    def _as_it_was(self, at: int) -> None:
        """What a statement reads must not have been changed yet by one that comes behind it."""
        for _, definition in self._items[at].link.reads:
            for changer in self._changers.get(definition, ()):
                if changer > at and self._items[changer].key in self._ledger.known:
                    place = self._items[changer].statement.place
                    self._run(definition, f"{place} has changed its object since")

    def _rebind(self) -> None:
        """A name must stand for what the notebook means, where it is read and at the end."""
        last = dict(self._ledger.last)
        final: dict[str, int] = {}
        for at, item in enumerate(self._items):
            if at in self._why:
                # several definitions of a name: the later ones may leave the older value
                for name, definition in dict(item.link.reads).items():
                    if last.get(name) != self._items[definition].key:
                        self._run(definition, f"`{name}` stands for something else by now")
                for name in item.link.binds:
                    last[name] = item.key
            for name in item.link.binds:
                final[name] = at
        for name, at in final.items():
            if last.get(name) != self._items[at].key:
                self._run(at, f"`{name}` stands for something else by now")


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:24]
