"""What is different in a kernel that the kit is loaded in: displays, input(), errors, the stop button."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from kit.capture import JOB
from kit.errors import KitError

Undo = Callable[[], object]


def _nothing() -> None:
    pass


def route_displays(ip: Any) -> Undo:
    """``display(...)`` inside a handler belongs to its job's log, not to some cell."""
    pub = getattr(ip, "display_pub", None)
    if pub is None:
        return _nothing
    publish, clear = pub.publish, pub.clear_output

    def publish_or_log(data: Any = None, *args: Any, **kwargs: Any) -> Any:
        sink = JOB.get()
        if sink is None or sink.echo:
            return publish(data, *args, **kwargs)
        shown = data or {}
        text = shown.get("text/plain") or f"[{next(iter(shown), 'nothing')}]"
        sink.write("stdout", f"{text}\n")
        return None

    def clear_or_nothing(*args: Any, **kwargs: Any) -> Any:
        return clear(*args, **kwargs) if JOB.get() is None else None

    pub.publish, pub.clear_output = publish_or_log, clear_or_nothing

    def undo() -> None:
        for name in ("publish", "clear_output"):
            pub.__dict__.pop(name, None)

    return undo


def refuse_input(ip: Any) -> Undo:
    """``input()`` in a handler fails at once, as in production; it would hang the front end."""
    kernel = getattr(ip, "kernel", None)
    if kernel is None or not hasattr(kernel, "raw_input"):
        return _nothing
    ask = kernel.raw_input

    def ask_unless_job(prompt: str = "") -> Any:
        sink = JOB.get()
        if sink is not None and not sink.echo:
            raise EOFError("EOF when reading a line")
        return ask(prompt)

    kernel.raw_input = ask_unless_job
    return lambda: kernel.__dict__.pop("raw_input", None)


def render_with(render: Callable[[KitError], list[str]]) -> None:
    """Give the tree of errors the method that IPython asks an exception for."""

    def _render_traceback_(self: KitError) -> list[str]:
        return render(self)

    KitError._render_traceback_ = _render_traceback_  # type: ignore[attr-defined]


@contextlib.contextmanager
def stop_button() -> Iterator[None]:
    """Raise KeyboardInterrupt here also after a cell with a top-level await.

    ipykernel then makes the stop button cancel the cell's coroutine, which has ended by now.
    """
    try:
        found = signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:  # not the main thread, so no signal comes here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, found)


def inside_a_cell() -> bool:
    """Whether a cell loads the kit right now, rather than a start-up file of IPython."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "run_cell_async":
            return True
        frame = frame.f_back
    return False


def deleted_cells(ip: Any) -> list[str]:
    """Ids of cells that were deleted since a cell was last run, as JupyterLab says with every run."""
    ask = getattr(ip, "get_parent", None)  # a terminal's shell has none
    parent: Any = ask() if ask is not None else None
    told = parent.get("metadata", {}).get("deletedCells") if isinstance(parent, dict) else None
    return [str(cell_id) for cell_id in told] if isinstance(told, list) else []
