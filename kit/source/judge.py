"""What a call means for a slice: does it change something, configure the process, or only look?

A bare call binds nothing, yet half of all real workers depend on one (``MODEL.setup()``,
``pipe.to("cuda")``, ``load_dotenv()``). What cannot be told from the source is said to be a
question, never guessed in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kit.source.facts import SUBCLASSING, Call, Code, Facts
from kit.source.vocabulary import LOOKS, acts, reaches_out, setting_of
from kit.source.vocabulary import changes as changes_object

_REGISTERS = ("register",)
_START = ("runpod.serverless.start", "runpod.start")
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Effect:
    """What calling a notebook function does beyond its result.

    ``names`` are globals it assigns or changes, ``params`` the positions and names of the
    parameters whose objects it changes, ``settings`` the first process-wide setting it makes;
    ``starts`` says that it starts the worker, ``does`` names the first library function that it
    calls for what that does.
    """

    names: frozenset[str] = _NOTHING
    params: frozenset[str] = _NOTHING
    settings: str = ""
    starts: bool = False
    does: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a statement does to what is already there.

    Attributes
    ----------
    changes : mapping of str to str
        Global names whose objects it changes, with the reason as a phrase.
    perhaps : frozenset of str
        Those of them that it may only look at.
    receives : frozenset of str
        Names that a call into a library was given; it stays only if all of them stay.
    settings : str
        The process-wide setting it makes, ``""`` if none.
    library : str
        Name of the library that must be kept for ``settings`` to matter; ``""``: it always does.
    asks : frozenset of str
        Objects it calls a method of, whose result is all that seems to matter.
    starts : bool
        Whether it calls ``runpod.serverless.start``.
    does : str
        The library function it calls that, by its name, is called for what it does.
    effect : bool
        Whether it makes any bare call that does more than look.
    lends : frozenset of str
        Names changed by a notebook function that it gives to a call, which may call it.
    """

    changes: Mapping[str, str]
    perhaps: frozenset[str] = _NOTHING
    receives: frozenset[str] = _NOTHING
    settings: str = ""
    library: str = ""
    asks: frozenset[str] = _NOTHING
    starts: bool = False
    does: str = ""
    effect: bool = False
    lends: frozenset[str] = _NOTHING


_JUST_BINDS = Judgement(changes={})


class Judge:
    """Knows the notebook's functions and imports; judges statements by them.

    Parameters
    ----------
    code : mapping of str to sequence of Code
        The notebook's functions, every definition of each: which one a call meant is not asked.
    imports : mapping of str to str
        Names that are imported, with their dotted origin.
    served : iterable of str
        Names of functions that the handler is or calls: a call of one with arguments is a test.
    bases : mapping of str to frozenset of str
        The notebook's classes, each with the names of its bases and its metaclass.
    subclasses : bool
        Whether some code asks a class for its ``__subclasses__``.
    """

    def __init__(
        self,
        code: Mapping[str, Sequence[Code]],
        imports: Mapping[str, str],
        served: Iterable[str],
        bases: Mapping[str, frozenset[str]],
        subclasses: bool,
    ) -> None:
        self._code = code
        self._imports = imports
        self._bases, self._subclasses = bases, subclasses
        self._served = frozenset(served)
        self._effects: dict[str, Effect] = {name: Effect() for name in code}
        changed = True
        order = list(code.items())
        while changed:  # functions call each other: until nothing new is learnt
            changed = False
            order.reverse()  # chains of calls, whichever way they are written, take few rounds
            for name, bodies in order:
                effect = _union([self._effect(body) for body in bodies])
                if effect != self._effects[name]:
                    self._effects[name] = effect
                    changed = True
        #: functions that change something when they are called, and are not served
        self._changers = {
            name for name, effect in self._effects.items() if effect.names or effect.params
        } - self._served

    def origin(self, path: tuple[str, ...]) -> str:
        """Dotted origin of an imported path, ``numpy.random.seed``; ``""`` if it is not imported."""
        if not path or path[0] not in self._imports:
            return ""
        return ".".join((self._imports[path[0]], *path[1:]))

    def changed_by(self, function: str) -> frozenset[str]:
        """Globals that calling a notebook function assigns, or whose objects it changes."""
        return self._effects[function].names if function in self._effects else _NOTHING

    def starts(self, function: str) -> bool:
        """Whether calling a notebook function starts the worker."""
        return function in self._effects and self._effects[function].starts

    def _effect(self, body: Code) -> Effect:
        names = set(body.writes)
        params: set[str] = set()
        settings = does = ""
        starts = False
        touched = set(body.touches)
        for call in body.calls:
            root, last = call.path[0], call.path[-1]
            origin = self.origin(call.path)
            if origin:
                settings = settings or (setting_of(origin)[0] if call.bare else "")
                starts |= origin in _START
                if last not in LOOKS and (acts(last, bare=call.bare) or reaches_out(origin)):
                    does = does or origin
            elif len(call.path) == 1:
                sub, hit = self._called(call)
                touched |= hit
                settings = settings or sub.settings
                starts |= sub.starts
                does = does or sub.does
            elif changes_object(last) or (call.bare and last not in LOOKS):
                touched.add(root)
        for root in touched:
            if root.startswith("@"):
                name = root[1:]
                params.add(name)
                if name in body.params:
                    params.add(str(body.params.index(name)))
            else:
                names.add(root)
        for path in body.sets:
            settings = settings or setting_of(self.origin(path))[0]
        return Effect(frozenset(names), frozenset(params), settings, starts, does)

    def _lent(self, facts: Facts) -> Iterator[tuple[str, str]]:
        """Notebook functions that a statement gives to calls, each with a global it changes."""
        for call in facts.calls:
            if call.path[0] in self._code:
                continue  # what a notebook function does with it can be seen
            given = _NOTHING.union(*(roots for _, roots in call.args))
            for root in sorted(self._changers & given):
                changed = self._effects[root].names
                if self._effects[root].params:  # `map(tune, models)`
                    changed = changed.union(n for n in given if n not in self._code)
                for name in sorted(changed):
                    yield root, name

    def _joined(self, bases: Iterable[str]) -> dict[str, str]:
        """What the statement of a class changes because of its bases, each with the reason."""
        found: dict[str, str] = {}
        above: dict[str, None] = {}
        todo = sorted(bases)
        while todo:
            base = todo.pop()
            if base in above or base not in self._code:
                continue
            above[base] = None
            todo += sorted(self._bases.get(base, ()))
        for base in above:
            effect = self._effects.get(base + SUBCLASSING, Effect())
            # a hook that changes the class it is given may change what it has from its bases
            for name in {*effect.names, *(above if effect.params else ())}:
                found.setdefault(name, f"`{base}` registers its subclasses there")
            if self._subclasses:
                found.setdefault(base, "is one of its __subclasses__()")
        return found

    def _called(self, call: Call) -> tuple[Effect, frozenset[str]]:
        """Effect of a notebook function, and the roots that this call of it changes."""
        effect = self._effects.get(call.path[0], Effect())
        hit = set(effect.names)
        for where, roots in call.args:
            if str(where) in effect.params:
                hit |= roots
        return effect, frozenset(hit)

    def returned(self, call: Call) -> frozenset[str]:
        """Globals that the result of calling a notebook function may be, or be a part of."""
        found: set[str] = set()
        for body in self._code.get(call.path[0], ()) if call.path else ():
            for root in body.returns:
                if not root.startswith("@"):
                    found.add(root)
                    continue
                index = body.params.index(root[1:]) if root[1:] in body.params else -1
                for where, roots in call.args:
                    if where in (index, root[1:]):
                        found |= roots
        return frozenset(found)

    def judge(self, facts: Facts, *, shown: bool) -> Judgement:
        """Judge a statement.

        Parameters
        ----------
        facts : Facts
        shown : bool
            Whether the notebook displayed its value: then a call may have been made to look.
        """
        if not (facts.calls or facts.touches or facts.sets or facts.decorators or facts.bases):
            return _JUST_BINDS
        changes: dict[str, str] = {}
        perhaps: set[str] = set()
        asks: set[str] = set()
        receives: set[str] = set()
        settings = library = ""
        does = ""
        starts = effect = False
        for name in sorted(facts.touches):
            changes[name] = "changes a part of it"
        for path in sorted(facts.sets):
            word, needs = setting_of(self.origin(path))
            if word and not needs:
                settings = settings or word
        effect = bool(facts.touches)
        for call in facts.calls:
            root, last = call.path[0], call.path[-1]
            origin = self.origin(call.path)
            if origin:
                if origin in _START:
                    starts = True
                    continue
                word, needs = setting_of(origin)
                if word and call.bare:
                    if not needs or not settings:
                        settings, library = word, (root if needs else "")
                    effect = True
                elif last not in LOOKS:
                    if call.bare:
                        receives |= {root}.union(*(roots for _, roots in call.args))
                        effect = True
                    if acts(last, bare=call.bare):
                        does = origin
            elif len(call.path) == 1 and root in self._code:
                if root in self._served and call.args:
                    continue  # a test of what the worker serves
                sub, hit = self._called(call)
                starts |= sub.starts
                for name in hit:
                    changes.setdefault(name, f"calls `{root}`, which changes it")
                settings = settings or sub.settings
                effect |= call.bare
                if call.bare and sub.does and not hit:
                    does = does or sub.does
                    receives |= {root}.union(*(roots for _, roots in call.args))
            elif len(call.path) > 1:
                # `get_model().eval()` changes what `get_model` returns
                through = self.returned(Call((root,), (), False))
                if changes_object(last):
                    for name in (root, *sorted(through)):
                        changes.setdefault(name, f"calls its `{last}`")
                    effect |= call.bare
                elif call.bare and last not in LOOKS:
                    for name in (root, *sorted(through)):
                        changes.setdefault(name, f"calls its `{last}`")
                        perhaps.add(name)
                    receives |= {root}.union(*(roots for _, roots in call.args))
                    effect = True
                elif not call.bare and last not in LOOKS:
                    asks.add(root)
            elif call.bare and not shown:
                asks.add(root)
        lends: set[str] = set()
        for function, name in self._lent(facts) if self._changers else ():
            if name not in changes:
                changes[name] = f"gives away `{function}`, which changes it when it is called"
                perhaps.add(name)
                lends.add(name)
        for bases in facts.bases.values():
            for name, why in self._joined(bases).items():
                changes.setdefault(name, why)
        for path in facts.decorators:
            origin = self.origin(path)
            if path and path[-1].startswith(_REGISTERS):
                settings = settings or ".".join(path)
            elif len(path) == 1 and path[0] in self._code:
                for name in self._effects[path[0]].names:
                    changes.setdefault(name, f"`{path[0]}` registers it there")
            elif len(path) > 1 and not origin:
                changes.setdefault(path[0], f"registers with its `{path[-1]}`")
        return Judgement(
            changes=changes,
            perhaps=frozenset(perhaps),
            receives=frozenset(receives),
            settings=settings,
            library=library,
            asks=frozenset(asks),
            starts=starts,
            does=does,
            effect=effect,
            lends=frozenset(lends),
        )


def _union(effects: Sequence[Effect]) -> Effect:
    return Effect(
        _NOTHING.union(*(e.names for e in effects)),
        _NOTHING.union(*(e.params for e in effects)),
        next((e.settings for e in effects if e.settings), ""),
        any(e.starts for e in effects),
        next((e.does for e in effects if e.does), ""),
    )
