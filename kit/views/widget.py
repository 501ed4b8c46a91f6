"""The widget: one ES module joined from the .js files beside this one, and nothing in its state.

Jobs, payloads, logs and inputs go back and forth as custom messages. A synced trait would be written
into the saved notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from kit.views.feed import Message
from kit.views.outputs import STATIC_CSS

_HERE = Path(__file__).parent
#: order in which the files are joined: what is used at the top level stands before its user
MODULES = (
    "dom.js",
    "format.js",
    "codec.js",
    "order.js",
    "axis.js",
    "lanes.js",
    "spans.js",
    "memory.js",
    "theme.js",
    "filter.js",
    "board.js",
    "loader.js",
    "sparkline.js",
    "records.js",
    "tree.js",
    "rowactions.js",
    "raw.js",
    "search.js",
    "media.js",
    "stream.js",
    "compare.js",
    "payload.js",
    "pointer.js",
    "picture.js",
    "timeline.js",
    "pane.js",
    "legend.js",
    "bands.js",
    "joblist.js",
    "scan.js",
    "inputs.js",
    "editing.js",
    "drop.js",
    "editor.js",
    "exporting.js",
    "actions.js",
    "card.js",
)
#: style sheets in the order in which they are joined: a later one may refine an earlier one
SHEETS = ("style.css", "monitor.css", "payload.css", "editor.css", "exporting.css")


@lru_cache(maxsize=1)
def esm() -> str:
    """The one ES module that anywidget takes.

    Without comments and indentation: nbclient saves a widget's script with the notebook.
    """
    return "\n".join(_code((_HERE / name).read_text(encoding="utf-8")) for name in MODULES)


def _code(script: str) -> str:
    """A script without lines that are only comment, and without indentation.

    No template of ours spans lines, so that no text changes (a test looks).
    """
    kept, inside = [], False
    for line in script.splitlines():
        text = line.strip()
        inside = inside or text.startswith("/**")
        if text and not inside and not text.startswith("//"):
            kept.append(text)
        inside = inside and not text.endswith("*/")
    return "\n".join(kept)


@lru_cache(maxsize=1)
def css() -> str:
    """Style of the card, and the rule that hides the static outputs beside a live one."""
    sheets = ((_HERE / name).read_text(encoding="utf-8") for name in SHEETS)
    return "\n".join((STATIC_CSS, *sheets))


@lru_cache(maxsize=1)
def _widget_class() -> Any:
    import anywidget  # takes 0.15 s: only when a card is shown

    class CardWidget(anywidget.AnyWidget):
        """A card's model; its state holds ids, script and style only."""

        _esm = esm()
        _css = css()

    return CardWidget


class Line:
    """A widget and its comm, as a line for messages.

    Parameters
    ----------
    hear : callable
        ``hear(content, buffers)``: a message came from the page. It runs on the thread that handles comm
        messages (with subshells not the main one) and must return at once.
    """

    def __init__(self, hear: Callable[[dict[str, Any], Sequence[Any]], None]) -> None:
        self._hear = hear
        self.widget = _widget_class()()
        self.widget.on_msg(self._on_message)
        #: whether a click can be answered while a cell runs
        self.answers_in_cells = free_replies(self.widget)

    @property
    def model_id(self) -> str:
        return str(self.widget.model_id)

    @property
    def open(self) -> bool:
        """Whether messages can still come and go.

        A page that cannot make a view (the widget manager was installed after it was loaded) closes
        the comm, for every page there will ever be.
        """
        from comm import get_comm_manager

        return self.model_id in get_comm_manager().comms

    def send(self, message: Message) -> None:
        """To all pages; thread-safe."""
        self.widget.send(message.content, buffers=list(message.buffers))

    def close(self) -> None:
        """End the model; pages drop their views of it."""
        layout = self.widget.layout
        self.widget.close()
        layout.close()  # every widget brings one, a model of its own that does not end with it

    def _on_message(self, _widget: Any, content: Any, buffers: Any) -> None:
        if isinstance(content, dict):
            self._hear(content, buffers or ())


def free_replies(widget: Any) -> bool:
    """Have clicks handled on the thread the front end asks for; False if that cannot be arranged.

    ipykernel 7.4 routes a comm's messages to the shell that last *sent* on it, so that a click waits
    for the end of the running cell (measured: 5.0 s in a cell of 5 s, 1.1 s with this override,
    of which 1.0 s is when the click was made). Private API: older and newer kernels may lack it,
    and then the page says that the click waits.
    """
    comm: Any = getattr(widget, "comm", None)
    if not callable(getattr(type(comm), "_reply_subshell_for", None)):
        return False

    comm._reply_subshell_for = lambda _data, default: default
    return True
