"""Facts of one statement, as frozen values: what it binds, reads, changes and calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

_NOTHING: frozenset[str] = frozenset()
_EMPTY: Mapping[str, Any] = MappingProxyType({})
#: behind a class's name: the code that runs when another class is made of it
SUBCLASSING = ".__init_subclass__"


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose function is reached from a name that is not local.

    Attributes
    ----------
    path : tuple of str
        ``np.random.seed(0)`` is ``("np", "random", "seed")``; calls and subscripts in between are
        left out. A parameter of the function around it is ``@name``.
    args : tuple of (int or str, frozenset of str)
        Position or keyword of each argument, and the roots of its value.
    bare : bool
        Whether its value is thrown away: it was made for its effect, or to be looked at.
    """

    path: tuple[str, ...]
    args: tuple[tuple[int | str, frozenset[str]], ...]
    bare: bool


@dataclass(frozen=True, slots=True)
class Code:
    """What a function (or a class's ``__init__``) does when it is called, as far as can be seen.

    Attributes
    ----------
    params : tuple of str
        In order; ``self`` left out for a class.
    writes : frozenset of str
        Names it assigns after ``global``.
    touches : frozenset of str
        Roots, ``@parameter`` among them, that it changes by assignment to a part of them.
    sets : frozenset of tuple of str
        Paths of the parts of globals it assigns to: ``("os", "environ")``.
    calls : tuple of Call
    returns : frozenset of str
        Roots of what it returns.
    """

    params: tuple[str, ...] = ()
    writes: frozenset[str] = _NOTHING
    touches: frozenset[str] = _NOTHING
    sets: frozenset[tuple[str, ...]] = frozenset()
    calls: tuple[Call, ...] = ()
    returns: frozenset[str] = _NOTHING


class Facts(NamedTuple):
    """What one module-level statement does.

    A tuple because there is one for every statement of a history: a frozen dataclass of as many
    fields takes six times as long to make.

    Attributes
    ----------
    binds : mapping of str to bool
        Names it binds; False if it may leave the older value.
    unbinds : frozenset of str
        Names it deletes.
    reads : frozenset of str
        Global names read when it runs.
    later : frozenset of str
        Global names read when a function, method or lambda of it is called.
    touches : frozenset of str
        Global names whose objects it changes by assignment to a part of them, or by ``setattr``.
    sets : frozenset of tuple of str
        Paths of the parts it assigns to: ``("os", "environ")``.
    calls : tuple of Call
        Calls it makes when it runs.
    code : mapping of str to Code
        Functions, classes and lambdas it binds.
    alias : mapping of str to frozenset of str
        Names it binds to (parts of) objects that other names stand for.
    given : mapping of str to tuple of Call
        Names it binds to the result of calling a name.
    holds : mapping of str to frozenset of str
        Names it binds to results of calls, with the roots of what those were given.
    imports : mapping of str to str
        Names it imports, with their dotted origin.
    decorators : tuple of tuple of str
        Paths of the decorators of a definition.
    bases : mapping of str to frozenset of str
        Classes it binds, each with the names of its bases and its metaclass.
    annotated : frozenset of str
        Global names read in annotations; not evaluated under ``from __future__ import annotations``.
    stores : frozenset of str
        Roots of what it puts into other objects: changed later, those change too.
    soft : frozenset of str
        Names read in quoted annotations only: never missed at run time.
    dynamic : frozenset of str
        ``exec``, ``globals`` and kin it calls, now or later.
    awaits : bool
        Whether it awaits at module level, which a file cannot.
    """

    binds: Mapping[str, bool] = _EMPTY
    unbinds: frozenset[str] = _NOTHING
    reads: frozenset[str] = _NOTHING
    later: frozenset[str] = _NOTHING
    touches: frozenset[str] = _NOTHING
    sets: frozenset[tuple[str, ...]] = frozenset()
    calls: tuple[Call, ...] = ()
    code: Mapping[str, Code] = _EMPTY
    alias: Mapping[str, frozenset[str]] = _EMPTY
    given: Mapping[str, tuple[Call, ...]] = _EMPTY
    holds: Mapping[str, frozenset[str]] = _EMPTY
    imports: Mapping[str, str] = _EMPTY
    decorators: tuple[tuple[str, ...], ...] = ()
    bases: Mapping[str, frozenset[str]] = _EMPTY
    annotated: frozenset[str] = _NOTHING
    stores: frozenset[str] = _NOTHING
    soft: frozenset[str] = _NOTHING
    dynamic: frozenset[str] = _NOTHING
    awaits: bool = False
