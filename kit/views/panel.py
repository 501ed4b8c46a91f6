"""``kit.panel()``: the same view over all handlers, of this session or of the whole store."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from kit.controls import Controls
from kit.views.card import Face

if TYPE_CHECKING:
    from kit.store import Store

# one model per store and kind, shown again by each call: a panel in every cell costs no more than one
_faces: weakref.WeakKeyDictionary[Store, dict[bool, Face]] = weakref.WeakKeyDictionary()


class Panel:
    """All jobs, live.

    Parameters
    ----------
    store : Store
    controls : Controls
    all_sessions : bool
        All jobs of the store instead of this session's; the view has a switch for it too.
    """

    def __init__(
        self,
        store: Store,
        controls: Controls,
        *,
        all_sessions: bool = False,
    ) -> None:
        faces = _faces.setdefault(store, {})
        if all_sessions not in faces:
            faces[all_sessions] = Face(store, controls, None, all_sessions=all_sessions)
        self._face = faces[all_sessions]

    def show(self) -> None:
        """Show under the running cell; in a terminal, print a summary."""
        self._face.show()
