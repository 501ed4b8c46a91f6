"""What an export would write and what it has shown: plain values between the export and its view."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DraftFile:
    """One file of a bundle.

    Attributes
    ----------
    name : str
    size_bytes : int
    state : str
        Against what lies in that place: ``"new"``, ``"same"``, ``"changed"``, ``"edited"`` (by hand
        since the last export) or ``"gone"`` (the last export wrote it, this one does not).
    """

    name: str
    size_bytes: int
    state: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One statement of the notebook and why it stays or goes.

    Attributes
    ----------
    kept : bool
    question : bool
        Whether the source alone could not settle it.
    place : str
        ``In [3], line 7``.
    code : str
        Its first line.
    reason : str
    """

    kept: bool
    question: bool
    place: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExportDraft:
    """What an export would write, before anything is written.

    Attributes
    ----------
    handler : str
        Name and version, ``classify v3``.
    path : str
        Folder, as it was asked for.
    files : tuple of DraftFile
    code : str
        ``handler.py``; empty if there is none.
    choices : tuple of Choice
        The statements worth a line, in the order of execution.
    unlisted : tuple of str
        What became of the others, one phrase each: ``"3 dropped: only shows something"``.
    notes : tuple of str
        What a person should know, one sentence each.
    diff : str or None
        Unified diff from the last export in that place; empty if nothing differs, None if there was
        none.
    refused : str or None
        Why the export would be refused; None if nothing is in the way.
    edited : bool
        Whether it is refused only because of what lies there, which ``overwrite`` would replace.
    jobs : int
        Recorded jobs that the proof runs.
    """

    handler: str
    path: str
    files: tuple[DraftFile, ...] = ()
    code: str = ""
    choices: tuple[Choice, ...] = ()
    unlisted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    diff: str | None = None
    refused: str | None = None
    edited: bool = False
    jobs: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """One recorded job, or test input, as the written worker answered it.

    Attributes
    ----------
    job_id : str
    result : str
        ``"equal"``, ``"different"``, ``"not run"``, ``"completed"`` or ``"failed"``.
    path : str
        JSON path of the first difference; empty if there is none.
    notebook, worker : str
        What stands there on both sides, cut short.
    reason : str
    """

    job_id: str
    result: str
    path: str = ""
    notebook: str = ""
    worker: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExportOutcome:
    """What became of an export.

    Attributes
    ----------
    ok : bool
        Whether the bundle was written.
    sentence : str
        For the person: where it is and what was proven, or why nothing was written.
    verdict : str
        ``"equal"``, ``"completed"``, ``"different"``, ``"not verified"``; empty if nothing was
        written.
    compared : tuple of Compared
    seconds : float
        What the proof took.
    notes : tuple of str
        What else it found, one sentence each: constants that differ, or why they were not compared.
    """

    ok: bool
    sentence: str
    verdict: str = ""
    compared: tuple[Compared, ...] = ()
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
