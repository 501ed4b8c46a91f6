"""What a forked child must not do with its parent's connections to the journal: not even close them."""

from __future__ import annotations

import os
import sqlite3
import weakref

_open: weakref.WeakKeyDictionary[object, tuple[sqlite3.Connection, ...]] = (
    weakref.WeakKeyDictionary()
)


def keep(owner: object, *connections: sqlite3.Connection) -> None:
    """Never close these in a forked child, for as long as their owner lives or until ``forget``."""
    _open[owner] = connections


def forget(owner: object) -> None:
    """The owner has closed its connections."""
    _open.pop(owner, None)


def _abandon() -> None:
    """In a forked child: keep SQLite's connections from ever being closed.

    A connection must not be used in a child, and closing counts as use: it would wait for a mutex
    that a thread of the parent held at the fork, and that nobody holds here.
    """
    import ctypes

    for connections in list(_open.values()):
        for connection in connections:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon)
