"""The one tree of errors.

::

    KitError
    ├── RegistrationError   a cell, or a start() call in it, cannot become a handler
    ├── UsageError          a name, option or argument the kit does not know
    ├── PayloadError        a value that cannot travel as JSON; ``.path`` says where
    ├── StoreError          the journal cannot be read or written
    ├── TargetError         the place where jobs should run cannot take them
    │   └── RunpodError     RunPod's API refused or cannot be reached; ``.status``
    ├── ExportError         a bundle cannot be planned, checked or written
    └── JobError            what ``await job`` and ``job.result()`` raise
        ├── JobFailed       the handler raised, returned ``error``, or its result would be lost
        ├── JobTimedOut     the job was stopped at its own time limit
        ├── JobCancelled    the job was cancelled
        └── JobLost         nobody can be running the job any more

A handler's failure is data on its job first (``job.state``, ``job.error``); it becomes an
exception only where somebody asks for the result. Every message says what happened, where, and
what to do next.
"""

from __future__ import annotations


class KitError(Exception):
    """Base of everything the kit raises on purpose."""


class RegistrationError(KitError):
    """A cell cannot be registered as a handler. The message is one sentence."""


class UsageError(KitError):
    """An unknown name, option or argument."""


class PayloadError(KitError):
    """A value cannot be sent as JSON.

    Parameters
    ----------
    message : str
        What is wrong, in one sentence.
    path : str
        JSON path of the first fault, ``$`` for the value itself.
    code : str
        What kind of fault, for code that decides by it: see :func:`kit.payload.encode`.
    """

    def __init__(self, message: str, path: str = "$", *, code: str = "type") -> None:
        super().__init__(message)
        self.path = path
        self.code = code


class StoreError(KitError):
    """The journal cannot be read or written. No job was accepted without a row."""


class TargetError(KitError):
    """A target is unknown or cannot take jobs."""


class RunpodError(TargetError):
    """RunPod's API refused, in its own words, or could not be reached.

    Parameters
    ----------
    message : str
    status : int or None
        The HTTP status of the answer; None if there was none, or none that makes sense.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ExportError(KitError):
    """A bundle was refused. Nothing was written."""


class JobError(KitError):
    """A job did not end COMPLETED.

    Parameters
    ----------
    message : str
        One sentence, followed by the handler's own traceback where there is one.
    job_id, job_key : str
        RunPod's id and the store's key of the job.
    attempt : int
        Which attempt ended so, counted from 1.
    """

    def __init__(self, message: str, *, job_id: str, job_key: str, attempt: int) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.job_key = job_key
        self.attempt = attempt


class JobFailed(JobError):
    """The handler failed, or its result could not have been delivered."""


class JobTimedOut(JobError):
    """The job was stopped at its own time limit."""


class JobCancelled(JobError):
    """The job was cancelled."""


class JobLost(JobError):
    """The process or loop that ran the job is gone."""
