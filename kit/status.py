"""What ``%kit status`` says."""

from __future__ import annotations

from kit.events import JobState
from kit.outcome import sdk_version
from kit.sampler import Reading
from kit.session import Session
from kit.views.words import memory


def status_text(session: Session) -> str:
    """A few aligned lines: journal, target, handlers, jobs, memory, threads."""
    store = session.store
    rows: list[tuple[str, str]] = [
        ("session", store.session_id),
        ("journal", str(store.path)),
    ]
    rows.append(("", store.place.reason))
    rows += [("", note) for note in store.notes]
    if (fault := session.worker.fault) is not None:
        rows.append(("", f"ends of jobs wait until it can be written again: {fault}"))
    rows.append(("target", session.target))
    if trouble := session.places.trouble(session.target):
        rows.append(("", trouble))
    rows.append(("autorun", "on" if session.autorun else "off"))
    rows.append(("runpod", f"{sdk_version()} installed"))
    if not session.handlers:
        rows.append(("handlers", "none yet: put %%handler on the first line of a cell"))
    for index, (name, handler) in enumerate(session.handlers.items()):
        current = "  current" if handler is session.current else ""
        cell = "" if handler.info.cell is None else f", In [{handler.info.cell}]"
        about = f"{name} v{handler.version}, {handler.kind}{cell}{current}"
        rows.append(("" if index else "handlers", about))
    counts = [
        f"{count:,} {state}"
        for state in JobState
        if (count := store.count(state=state, session=store.session_id))
    ]
    rows.append(("jobs", ", ".join(counts) or "none in this session"))
    rows.append(("memory", _memory(session.sampler.read(), session.sampler.memory_kind)))
    for absence in session.sampler.absences:
        rows.append(("", f"no {absence.source}: {absence.reason}"))
    retired = session.stuck_threads()
    if retired:
        rows.append(
            (
                "stuck",
                f"{retired} handler thread(s) that could not be stopped; a restart frees them",
            )
        )
    return "\n".join(f"{label:<9} {text}" for label, text in rows)


def _memory(now: Reading, kind: str) -> str:
    """``RSS 312 MiB``; ``VRAM GPU 0 4.1 GiB of 24.0 GiB``."""
    known = [p for p in now.points.values() if p.used is not None] if kind == "vram" else []
    if known:
        each = (
            f"GPU {p.device} {_mib(p.used)}{f' of {_mib(p.total)}' if p.total else ''}"
            for p in known
        )
        return f"VRAM {', '.join(each)}"
    return f"RSS {_mib(now.rss)}"


def _mib(count: int | None) -> str:
    return memory(None if count is None else count / 2**20)
