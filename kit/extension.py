"""What ``%load_ext kit`` and ``%unload_ext kit`` do."""

from __future__ import annotations

import sys
from typing import Any

from kit import api
from kit.magic import KitMagics, completer
from kit.notebook import Notebook

_loaded: dict[int, tuple[Notebook, Any]] = {}


def load(ip: Any) -> None:
    """Tie the default session to a shell. Loading twice changes nothing."""
    if id(ip) in _loaded:
        return
    session = api.session()
    notebook = Notebook(ip, session)
    notebook.install()
    magics = KitMagics(shell=ip)
    magics.session, magics.namespace = session, ip.user_ns
    session.namespace = ip.user_ns
    ip.register_magics(magics)
    matcher = completer()
    ip.Completer.custom_matchers.append(matcher)
    ip.user_ns.setdefault("kit", sys.modules["kit"])
    _loaded[id(ip)] = (notebook, matcher)


def unload(ip: Any) -> None:
    """Undo ``load``; the session's running jobs become LOST."""
    notebook, matcher = _loaded.pop(id(ip), (None, None))
    if notebook is None:
        return
    notebook.remove()
    if matcher in ip.Completer.custom_matchers:
        ip.Completer.custom_matchers.remove(matcher)
    for kind, names in (
        ("cell", ("handler", "kit_load", "kit_remote")),
        ("line", ("handler", "job", "kit", "kit_load", "kit_remote")),
    ):
        for name in names:
            ip.magics_manager.magics[kind].pop(name, None)
    notebook.session.namespace = {}
    api._session = None
