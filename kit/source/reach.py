"""Which names code may read that runs when a name is used: through functions, objects and their makers.

Sets of names are bits of an integer: in a notebook of thousands of cells, each built on the one
before, such a set holds most names, and there is one for every statement.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from kit.source.facts import Facts


class Reach:
    """Answers for every place of a program, in time that does not grow with the chain behind it.

    Parameters
    ----------
    defs : mapping of str to sequence of int
        Statements that bind or delete a name, in order.
    facts : sequence of Facts
        Of each statement.
    special : collection of str
        Names whose meaning depends on the place although they are bound once: builtins.
    """

    def __init__(
        self,
        defs: Mapping[str, Sequence[int]],
        facts: Sequence[Facts],
        special: Collection[str],
    ) -> None:
        self._defs, self._facts = defs, facts
        self._special = special
        self._bits: dict[str, int] = {}
        self._names: list[str] = []
        # of a name bound once: what using it may read, and the names on the way that have no one place
        self._reads: dict[str, tuple[int, int]] = {}

    def bits(self, names: Iterable[str]) -> int:
        """Names as a set of bits."""
        mask, known = 0, self._bits
        for name in names:
            bit = known.get(name)
            if bit is None:
                bit = known[name] = 1 << len(self._names)
                self._names.append(name)
            mask |= bit
        return mask

    def names(self, mask: int) -> list[str]:
        """The names in a set of bits, in the order in which they were met."""
        found = []
        while mask:
            low = mask & -mask
            found.append(self._names[low.bit_length() - 1])
            mask ^= low
        return found

    def place(self, name: str) -> int | None:
        """The one statement that binds a name; None if there is none, or more than one."""
        places = self._defs.get(name, ())
        if len(places) != 1 or name in self._special or name in self._facts[places[0]].unbinds:
            return None
        return places[0]

    def mask(
        self, index: int, names: Iterable[str], meaning: Callable[[str, int], Sequence[int]]
    ) -> int:
        """Names read by code that may run when statement ``index`` uses ``names``, as bits.

        ``meaning`` gives the statements that define a name as seen from a place. It is not kept:
        what gives it holds this, and both would live until the collector comes.
        """
        result = open_names = 0
        for name in names:
            reads, several = self._of(name)
            result |= reads
            open_names |= several
        done = 0
        seen: set[int] = set()
        while pending := open_names & ~done:
            done |= pending
            for name in self.names(pending):
                for place in meaning(name, index):
                    if place in seen:
                        continue
                    seen.add(place)
                    result |= self.bits(self._facts[place].later)
                    for other in self._next(place):
                        reads, several = self._of(other)
                        result |= reads
                        open_names |= several
        return result

    def _next(self, place: int) -> frozenset[str]:
        facts = self._facts[place]
        return facts.later if facts.imports else facts.later | facts.reads

    def _of(self, name: str) -> tuple[int, int]:
        known = self._reads.get(name)
        if known is None:
            self._settle(name)
            known = self._reads[name]
        return known

    def _settle(self, start: str) -> None:
        """Fill in a name and all it leads to: Tarjan's components, without recursion."""
        order: dict[str, int] = {}
        low: dict[str, int] = {}
        path: list[str] = []
        on_path: set[str] = set()
        work: list[tuple[str, list[str]]] = []

        def enter(name: str) -> None:
            place = self.place(name)
            if place is None:
                several = self.bits([name]) if name in self._defs else 0
                self._reads[name] = (0, several)
                return
            order[name] = low[name] = len(order)
            path.append(name)
            on_path.add(name)
            work.append((name, list(self._next(place))))

        enter(start)
        while work:
            name, todo = work[-1]
            if todo:
                other = todo.pop()
                if other in on_path:
                    low[name] = min(low[name], order[other])
                elif other not in self._reads:
                    enter(other)
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[name])
            if low[name] == order[name]:
                at = _last(path, name)
                members, path[at:] = path[at:], []
                self._close(members)
                on_path.difference_update(members)

    def _close(self, members: Sequence[str]) -> None:
        """Names that lead to each other share what they read."""
        reads = several = 0
        for name in members:
            place = self._defs[name][0]
            reads |= self.bits(self._facts[place].later)
            for other in self._next(place):
                found = self._reads.get(other, (0, 0))
                reads |= found[0]
                several |= found[1]
        for name in members:
            self._reads[name] = (reads, several)


def _last(path: Sequence[str], name: str) -> int:
    at = len(path) - 1
    while path[at] != name:
        at -= 1
    return at
