"""Where a card goes: the outputs of a notebook cell, or the terminal.

A live widget alone leaves a hole in the saved notebook: opened without its kernel it shows an error.
One output cannot be both, since a front end that knows widgets always prefers the widget. So a card
is three adjacent outputs: the widget; a picture; a table with a little CSS that hides the two static
ones while the widget beside them lives, and the widget's error when it does not.
"""

from __future__ import annotations

import uuid
from typing import Any

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

#: class names of JupyterLab; other front ends show the table below the card, which is harmless
STATIC_CSS = (
    ".jp-OutputArea-child:has(.kit-live)+.jp-OutputArea-child,"
    ".jp-OutputArea-child:has(.kit-live)+.jp-OutputArea-child+.jp-OutputArea-child:has(.kit-static)"
    "{display:none}"
    ".jp-OutputArea-child:has(+.jp-OutputArea-child .kit-static)>.jupyter-widgets:not(:has(*)),"
    ".jp-OutputArea-child:has(+.jp-OutputArea-child+.jp-OutputArea-child .kit-static)"
    ">.jupyter-widgets:not(:has(*)){display:none}"
)


def in_kernel() -> bool:
    """Whether there is a kernel whose front end takes outputs; False in a terminal."""
    kernel = getattr(_shell(), "kernel", None)
    return kernel is not None


def frontend_expected() -> bool:
    """Whether the running cell was sent by a front end that draws widgets.

    JupyterLab and its kin send the id of the cell with it; nbclient and a console do not.
    """
    shell = _shell()
    if shell is None or not hasattr(shell, "get_parent"):
        return False
    parent = shell.get_parent()
    metadata = parent.get("metadata") if isinstance(parent, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("cellId"))


def _shell() -> Any:
    # without importing IPython: where it is not loaded there is no shell
    import sys

    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


class Slot:
    """One output that can be replaced later, from any thread."""

    def __init__(self) -> None:
        self._id = uuid.uuid4().hex
        self._shown: dict[str, Any] | None = None

    def show(self, data: dict[str, Any]) -> None:
        """Publish under the running cell."""
        self._publish(data, update=False)

    def replace(self, data: dict[str, Any]) -> None:
        """Put something else where this output is; does nothing if it is the same."""
        if data != self._shown:
            self._publish(data, update=True)

    def _publish(self, data: dict[str, Any], *, update: bool) -> None:
        self._shown = data
        _display(data, transient={"display_id": self._id}, update=update)


def publish(data: dict[str, Any]) -> None:
    """An output under the running cell."""
    _display(data)


def _display(data: dict[str, Any], **kwargs: Any) -> None:
    from IPython import display

    show: Any = display.publish_display_data
    show(data, **kwargs)
