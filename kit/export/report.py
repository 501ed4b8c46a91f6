"""Report and Bundle: what was written and what was proven, as values and as a person sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kit.export import show
from kit.export.constants import Drift
from kit.export.diff import Change, Diff
from kit.source.slice import Decision

Verdict = Literal["equal", "completed", "different", "not verified"]


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded job, or one test input.

    Attributes
    ----------
    job_id, state : str
        For a test input its name and the state it ended in.
    result : str
        ``"equal"``, ``"different"`` or ``"not run"``; for a test input without anything to compare
        ``"completed"`` or ``"failed"``.
    path : str
        JSON path of the first difference, e.g. ``done.output.label``; ``""`` if there is none.
    notebook, worker : str
        What stands there on both sides, cut short.
    reason : str
        Why it was not run, or what escaped the SDK.
    normalised : tuple of str
        What the comparison left out or made alike, by name.
    silent : bool
        Whether nothing is posted on either side: there was no result to compare.
    """

    job_id: str
    state: str
    result: str
    path: str = ""
    notebook: str = ""
    worker: str = ""
    reason: str = ""
    normalised: tuple[str, ...] = ()
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What running the exported file showed.

    Attributes
    ----------
    verdict : str
        ``"equal"``: every job that was run posts what it posted in the notebook, and at least one
        posts a result.
        ``"completed"``: there was none, and every test input ended COMPLETED. ``"different"``: at
        least one does not. ``"not verified"``: ``reason`` says why.
    reason : str
    rows : tuple of Row
    seconds : float
        Time the clean process took, loading included.
    cold_start_s : float or None
        Of the worker: import of runpod and model load.
    drift : tuple of Drift
        Constants that are something else in the kernel than the exported code computes.
    not_compared : str
        Why the constants were not compared; ``""`` if they were, or if there was nothing to compare.
    where : str
        Where it ran if not in this environment, as the end of a sentence.
    """

    verdict: Verdict
    reason: str = ""
    rows: tuple[Row, ...] = ()
    seconds: float = 0.0
    cold_start_s: float | None = None
    drift: tuple[Drift, ...] = ()
    not_compared: str = ""
    where: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything that could be run was, and none of it was different or failed."""
        return self.verdict in ("equal", "completed")

    def sentence(self) -> str:
        """The verdict as one sentence."""
        count = len(self.drift)
        differ = f"; {count} constant{'s' * (count != 1)} not as in the kernel" if count else ""
        if self.verdict == "not verified":
            return f"not verified: {self.reason}{differ}"
        tests = [row for row in self.rows if row.result in ("completed", "failed")]
        run = [row for row in self.rows if row.result in ("equal", "different")]
        jobs = f"{len(run)} recorded job{'s' * (len(run) != 1)}"
        inputs = f"{len(tests)} test input{'s' * (len(tests) != 1)}"
        both = " and ".join(text for text, rows in ((jobs, run), (inputs, tests)) if rows)
        if self.passed:
            compared = "" if run else ", no recorded job to compare with"
            silent = sum(row.silent for row in run)
            if silent:
                compared = f"; {silent} of them post{'s' * (silent == 1)} no result on either side"
            return f"{self.verdict}: {both} through a real worker{self.where}{compared}{differ}"
        wrong = [row for row in self.rows if row.result in ("different", "failed")]
        if run and tests:
            both = f"{len(run) + len(tests)}: {both}"
        where = f" at {wrong[0].path}" if wrong[0].path else ""
        return (
            f"different: {len(wrong)} of {both}{self.where}, first in job {wrong[0].job_id}{where}"
        )

    def remarks(self) -> tuple[str, ...]:
        """What is to be said of the constants, one sentence each; empty if they are equal."""
        found = tuple(found.sentence() for found in self.drift)
        why = f"constants were not compared: {self.not_compared}"
        return (*found, why) if self.not_compared else found

    def __repr__(self) -> str:
        return show.report_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": show.report_html(self)}


@dataclass(frozen=True, slots=True, repr=False)
class Bundle:
    """A worker that was written.

    Attributes
    ----------
    path : Path
    handler : str
        Name and version, ``classify v3``.
    files : tuple of str
        Names in ``path``.
    report : Report
    decisions : tuple of Decision
        Every statement of the notebook in order, kept or dropped, with the reason.
    notes : tuple of str
        What a person should know, one sentence each.
    changes : tuple of Change
        What became of the files of an earlier export in the same place; empty if there was none.
    """

    path: Path
    handler: str
    files: tuple[str, ...]
    report: Report
    decisions: tuple[Decision, ...]
    notes: tuple[str, ...]
    changes: tuple[Change, ...] = ()

    @property
    def kept(self) -> tuple[Decision, ...]:
        return tuple(d for d in self.decisions if d.kept)

    @property
    def dropped(self) -> tuple[Decision, ...]:
        return tuple(d for d in self.decisions if not d.kept)

    @property
    def questions(self) -> tuple[Decision, ...]:
        """Statements whose fate the source alone could not settle."""
        return tuple(d for d in self.decisions if d.question)

    def sentence(self) -> str:
        """What happened, as one sentence."""
        return f"{self.handler} is in {self.path} ({self.report.sentence()})."

    def diff(self) -> Diff:
        """What this export changed in the place it went to, as a unified diff; empty at first."""
        return Diff(self.changes)

    def explain(self, all: bool = False) -> Explanation:
        """Why every statement was kept or dropped: cell, line, reason.

        Parameters
        ----------
        all : bool
            List the kit's own statements, display lines and magics too; else they are counted.
        """
        return Explanation(self.decisions, all)

    def __repr__(self) -> str:
        return show.bundle_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": show.bundle_html(self)}


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """The decisions of an export, readable; ``all`` says whether the quiet ones are listed."""

    decisions: tuple[Decision, ...]
    all: bool = True

    @property
    def listed(self) -> tuple[Decision, ...]:
        return tuple(d for d in self.decisions if self.all or not d.quiet)

    @property
    def counted(self) -> dict[str, int]:
        """How many decisions of each reason are not listed."""
        counts: dict[str, int] = {}
        for decision in self.decisions:
            if decision.quiet and not self.all:
                counts[decision.reason] = counts.get(decision.reason, 0) + 1
        return counts

    def __repr__(self) -> str:
        return show.explanation_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": show.explanation_html(self)}


#: None if a second copy of the model fits beside the kernel's, else the sentence why not
Fits = Callable[[], "str | None"]
