"""The functions of ``import kit``. Each asks the default session; parts are loaded when first used."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from kit.batch import Batch
    from kit.freeing import Freed
    from kit.handler import Handler
    from kit.job import Job
    from kit.pod import Pod
    from kit.secret import Secret
    from kit.session import Session

_MISSING: Any = object()
_lock = threading.Lock()
_session: Session | None = None


def session() -> Session:
    """The session of this process, made at first use."""
    global _session
    if _session is None:
        from kit.session import Session

        with _lock:
            if _session is None:
                _session = Session()
    return _session


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not _MISSING}


def run(
    x: Any = _MISSING,
    *,
    handler: str | Handler | None = None,
    target: str | Pod | None = None,
    timeout_s: float | None = None,
    input: Any = _MISSING,
    request: Any = _MISSING,
) -> Job:
    """Run one job; returns at once, displays nothing.

    Parameters
    ----------
    x : JSON value
        The input, or a whole request. It is a request if it is a dict with ``input`` and ``id``,
        or with ``input`` and otherwise only ``webhook``, ``policy`` and ``s3Config``.
    handler : str, Handler or None
        A registered handler's name; None for the one registered last.
    target : str, Pod or None
        Where to run; None for the one set by ``kit.use``.
    timeout_s : float or None
        Stop the job after so many seconds of running (TIMED_OUT). None: no limit here.
    input, request
        Force one reading or the other instead of ``x``.

    Returns
    -------
    Job
        ``await job`` or ``job.result()`` gives the output; as the last line of a cell it shows its
        card.

    Raises
    ------
    PayloadError
        The input cannot be sent as JSON; the message names the place.
    UsageError, TargetError, StoreError
        With a sentence. No job was accepted then.
    """
    from kit.request import make

    if input is _MISSING and request is _MISSING and x is not _MISSING:
        made = make(x)
    else:
        made = make(**_given(value=x, input=input, request=request))
    return session().intake.submit(made, handler, target, timeout_s)


def map(
    inputs: Iterable[Any],
    *,
    handler: str | Handler | None = None,
    concurrency: int | None = None,
    target: str | Pod | None = None,
) -> Batch:
    """Run one job per input; returns at once.

    Parameters
    ----------
    inputs : iterable of JSON values
        Each is an input, never a request.
    concurrency : int or None
        At most so many in flight. The handler's own limit holds as well: without a
        concurrency_modifier that is 1, as in production.

    Returns
    -------
    Batch
        ``batch.jobs``, ``batch.frame()``, ``batch.result()``, ``await batch``; shows a progress bar as the last line
        of a cell.
    """
    return session().intake.map(inputs, handler, concurrency, target)


def debug(
    x: Any = _MISSING,
    *,
    handler: str | Handler | None = None,
    input: Any = _MISSING,
    request: Any = _MISSING,
) -> Any:
    """Run one job in the main thread and return its output; blocks.

    ``breakpoint()``, ``%debug`` afterwards and ``input()`` work inside the handler, and what it
    raises is raised here. Different from production: no queue, no other job beside it, prints
    appear under the cell as well.
    """
    from kit.debugging import run_here
    from kit.request import make

    given = _given(input=input, request=request)
    made = make(**given) if x is _MISSING else make(x, **given)
    return session().intake.debug(made, handler, run_here)


def use(target: str | Pod) -> None:
    """Set where jobs run from now on.

    Parameters
    ----------
    target : str or Pod
        ``local``: in this kernel. ``process``: through exported code in real worker processes on
        this machine, with their cold starts and the SDK's own pacing. A :class:`kit.Pod`: on
        another machine through its Jupyter server; blocks until that has answered. Jobs that this
        notebook left there when its kernel was restarted are heard of again, which is printed.

    Raises
    ------
    TargetError
        There is no such target, or the pod cannot be used; the message says why.
    """
    now = session()
    now.use(target)
    if said := now.places.news(now.target):
        sys.stdout.write(f"{said}\n")


def jobs(
    limit: int | None = None,
    *,
    handler: str | None = None,
    version: int | None = None,
    state: str | None = None,
    target: str | None = None,
    this_session: bool = False,
) -> pandas.DataFrame:
    """Jobs of the journal as a table, newest first.

    Parameters
    ----------
    limit : int or None
        At most so many; None for all.
    handler, version, state, target
        Keep only these.
    this_session : bool
        Only this kernel's; by default all sessions of the journal, yesterday's too.

    Returns
    -------
    pandas.DataFrame
        ``id`` string; ``handler``, ``target``, ``state`` category; ``version`` Int64;
        ``submitted_at``, ``started_at``, ``ended_at`` datetime64[us, UTC]; ``delay_time_ms``,
        ``execution_time_ms`` Float64; ``memory_kind`` category; ``memory_before_mib``,
        ``memory_peak_mib``, ``memory_after_mib`` Float64, the sum over devices; ``memory_own``
        boolean; ``input``, ``output`` object; ``error`` string; ``findings`` Int64.
    """
    from kit.views.frame import jobs_frame

    s = session()
    return jobs_frame(
        s.store,
        limit=limit,
        handler=handler,
        version=version,
        state=state,
        target=target,
        session=s.session_id if this_session else None,
    )


def events(limit: int | None = None, *, this_session: bool = True) -> pandas.DataFrame:
    """Events of the journal as a table, in order; the last ``limit`` of them, or all.

    Model loads (``%%kit_load``) and setups stand among them, ``kind`` ``load`` and ``setup``.

    Returns
    -------
    pandas.DataFrame
        ``seq`` Int64; ``time`` datetime64[us, UTC]; ``key`` string; ``attempt`` Int64; ``kind``
        category; ``slot``, ``chunk`` Int64; ``delay_time_ms``, ``execution_time_ms`` Float64;
        ``text``, ``payload`` string.
    """
    from kit.views.eventframe import events_frame

    s = session()
    return events_frame(s.store, limit=limit, session=s.session_id if this_session else None)


def samples(*, this_session: bool = True) -> pandas.DataFrame:
    """Memory samples as a table, in order of time. ``%kit sample 20`` sets how many a second.

    Returns
    -------
    pandas.DataFrame
        ``time`` datetime64[us, UTC]; ``kind`` category (``vram``, ``torch_allocated``,
        ``torch_reserved``, ``rss``); ``target`` category, as in ``kit.jobs()``: ``local``, ``process`` or
        the pod whose memory it is; ``device`` Int64 as it is numbered there, <NA> for rss;
        ``used_mib``, ``total_mib``, ``utilization`` Float64.
    """
    from kit.views.frame import samples_frame

    s = session()
    return samples_frame(s.store, session=s.session_id if this_session else None)


def pods(key: str | Secret | None = None, *, probe: bool = True) -> pandas.DataFrame:
    """List the pods of your RunPod account, and whether their Jupyter answers. Costs nothing.

    Blocks for one request to RunPod's REST API v2, and up to 8 s for the Jupyter servers, asked all at
    once.

    Parameters
    ----------
    key : str, Secret or None
        None: ``RUNPOD_API_KEY``, else the file that ``runpod config`` wrote. Never stored or shown.
    probe : bool
        Whether to ask each running pod's Jupyter server.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``name``, ``gpu`` (missing for a CPU pod), ``gpu_count``, ``state`` (RunPod's),
        ``cost_per_hour_usd`` (what it costs now), ``jupyter`` (``answers``, ``answers, token
        unknown``, ``wrong token``, ``does not answer``, ``no port 8888/http``, ``not running`` ...;
        missing without `probe`).

    Raises
    ------
    UsageError
        There is no key; the message names the places where one is looked for.
    RunpodError
        RunPod refused, in its own words, or could not be reached.
    """
    from kit.podlist import listed

    return listed(key, probe=probe)


def free() -> Freed:
    """Give memory back: what the kit holds, Python's cycles, torch's cache. Blocks for under a second.

    Dropped are the last exception that Python and IPython keep for ``%debug``, idle worker processes
    of target ``process`` with their models, and large last inputs. Then the garbage collector runs,
    torch's cache is emptied if torch is loaded and has initialised CUDA, and freed heap goes back to
    the system. Your own variables are never touched; the large ones are named.

    Returns
    -------
    Freed
        ``.regained`` per GPU and for this process, in MiB; ``.done``; ``.held``: what could not be
        freed, each with the way out. Its repr says it in words.
    """
    from kit.freeing import free as give_back

    return give_back(session())
