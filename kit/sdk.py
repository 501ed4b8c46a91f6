"""Meet ``runpod`` where a cell uses it: ``serverless.start`` registers, ``progress_update`` reports.

Both functions keep their identity; only their code is swapped. So it makes no difference how or
when a cell imported them, and ``runpod`` itself (1.3-2 s to import) is never imported for this: a
finder waits until somebody does.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

_MODULE = "runpod.serverless"


class SdkHook:
    """Redirects two functions of ``runpod.serverless`` in this process.

    Parameters
    ----------
    on_start : callable
        Gets the config given to ``start``.
    on_progress : callable
        Gets ``(job, value)``; returns whether it took the update. If not, the SDK's own code runs.
    """

    def __init__(
        self, on_start: Callable[[Any], None], on_progress: Callable[[Any, Any], bool]
    ) -> None:
        self._on_start, self._on_progress = on_start, on_progress
        self._finder: _Finder | None = None
        self._undo: list[Callable[[], None]] = []

    def install(self) -> None:
        """Redirect now if the SDK is loaded, else when it will be. Idempotent."""
        if self._finder is not None or self._undo:
            return
        module = sys.modules.get(_MODULE)
        if module is not None and hasattr(module, "progress_update"):
            self._redirect(module)
        else:
            self._finder = _Finder(self._redirect)
            sys.meta_path.insert(0, self._finder)

    def remove(self) -> None:
        """Give the SDK its own code back."""
        if self._finder is not None and self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        self._finder = None
        while self._undo:
            self._undo.pop()()

    def _redirect(self, module: types.ModuleType) -> None:
        self._undo.append(_swap(module.start, _start, "__kit_start__", self._on_start))
        progress = module.progress_update
        own = types.FunctionType(progress.__code__, progress.__globals__, progress.__name__)

        def report(job: Any, value: Any) -> None:
            # What its first line cannot write down fails there, in the handler's own thread.
            if not (_can_be_told(job, value) and self._on_progress(job, value)):
                own(job, value)

        self._undo.append(_swap(progress, _progress, "__kit_progress__", report))


def _can_be_told(job: Any, value: Any) -> bool:
    try:
        return bool(f"{job['id']} {value}")
    except Exception:
        return False


def _start(config):  # type: ignore[no-untyped-def]  # pragma: no cover - runs as runpod's code
    return __kit_start__(config)  # type: ignore[name-defined]  # noqa: F821


def _progress(job, progress):  # type: ignore[no-untyped-def]  # pragma: no cover
    return __kit_progress__(job, progress)  # type: ignore[name-defined]  # noqa: F821


def _swap(
    function: types.FunctionType, stand_in: Any, name: str, target: Callable[..., Any]
) -> Callable[[], None]:
    original = function.__code__
    function.__globals__[name] = target
    function.__code__ = stand_in.__code__

    def undo() -> None:
        function.__code__ = original
        function.__globals__.pop(name, None)

    return undo


class _Finder(importlib.abc.MetaPathFinder):
    """Lets the real finders find the module and calls back when it has run."""

    def __init__(self, found: Callable[[types.ModuleType], None]) -> None:
        self._found = found

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _MODULE:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, self._done)
                return spec
        return None

    def _done(self, module: types.ModuleType) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._found(module)


class _Loader(importlib.abc.Loader):
    def __init__(self, inner: Any, done: Callable[[types.ModuleType], None]) -> None:
        self._inner, self._done_hook = inner, done

    def __getattr__(self, name: str) -> Any:  # get_source, is_package and the like
        return getattr(self._inner, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        module: types.ModuleType | None = self._inner.create_module(spec)
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        self._inner.exec_module(module)
        self._done_hook(module)
