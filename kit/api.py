"""The functions of ``import kit``. Each asks the default session; parts are loaded when first used."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from kit.batch import Batch
    from kit.export import Bundle, Report
    from kit.freeing import Freed
    from kit.handler import Handler
    from kit.job import Job
    from kit.pod import Pod
    from kit.secret import Secret
    from kit.serving import Serving
    from kit.session import Session
    from kit.workerfile import Loaded

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

    given = _given(input=input, request=request)
    made = make(**given) if x is _MISSING else make(x, **given)
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
        ``batch.jobs``, ``batch.frame()``, ``batch.result()``; shows a progress bar as the last line
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
        another machine through its Jupyter server; blocks until that has answered.

    Raises
    ------
    TargetError
        There is no such target, or the pod cannot be used; the message says why.
    """
    session().use(target)


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
    """Events of the journal as a table, in order; the last ``limit`` of them, or all."""
    from kit.views.frame import events_frame

    s = session()
    return events_frame(s.store, limit=limit, session=s.session_id if this_session else None)


def samples(*, this_session: bool = True) -> pandas.DataFrame:
    """Memory samples as a table, in order of time."""
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


def export(
    path: str | os.PathLike[str] | Path = "worker",
    *,
    handler: str | Handler | None = None,
    overwrite: bool = False,
    verify: bool = True,
    clean_env: bool = False,
    files: Iterable[str] | None = None,
    base_image: str | None = None,
    env: Mapping[str, str] | None = None,
    packages: Iterable[str] = (),
    requirements: Iterable[str] = (),
) -> Bundle:
    """Write a handler as a worker: ``handler.py`` and what it needs, proven against the real SDK.

    Modules of the project that the handler imports are copied with their own imports and their
    packages' data, and so are files that the code reads by a literal path: from inside the project
    only, no hidden file and no key, 20 MB together. What is not copied is in ``bundle.notes``.

    Parameters
    ----------
    path : path
        Folder to write, relative to the kernel's. One that holds only an unedited earlier export of
        the same handler is replaced; anything else is refused, by name, unless ``overwrite``.
    verify : bool
        Run recorded jobs through the file in a real worker process and compare what it posts with
        the notebook's ``job.wire``.
    clean_env : bool
        Prove it in a virtual environment of its own, with what its requirements.txt says and runpod;
        made once for the same requirements, with pip and the package index.
    files : iterable of str or None
        Which parts to write beside ``handler.py`` and what it imports: ``requirements``,
        ``dockerfile`` (with ``.dockerignore``), ``test_input``, ``hub`` (``.runpod/hub.json`` and
        ``tests.json``), ``github`` (``.github/tests.json``), ``readme``. None: all of them.
    base_image : str or None
        Image to build on; None for the one that fits the Python, torch and CUDA in use here.
    env : mapping of str to str or None
        Variables of the image, beside those that ``%env`` has set. No keys: those are set on the
        endpoint.
    packages : iterable of str
        Debian packages that the image installs: ``("ffmpeg",)``.
    requirements : iterable of str
        Further lines of requirements.txt: ``("accelerate", "numpy<2")``. One without a version gets
        the version installed here.

    Returns
    -------
    Bundle
        ``.files``, ``.report``, ``.notes``, ``.explain()``, ``.diff()`` to the export before.

    Raises
    ------
    ExportError
        With what is missing or in the way. Nothing was written then.
    UsageError
        A choice is not what it should be.
    """
    from kit.export.choices import choose

    choices = choose(files, base_image, env, packages, requirements)
    say = _say(clean_env)
    return session().export_to(path, handler, overwrite, verify, choices, clean_env=say)


def load(
    path: str | os.PathLike[str] | Path = "handler.py",
    notebook: str | os.PathLike[str] | Path | None = None,
    *,
    overwrite: bool = False,
) -> Loaded:
    """Make a notebook of a worker's file: imports, configuration, helpers, model and handler as cells.

    The cells hold the file's own text, comments included; running them registers the handler with
    its ``start()`` options, and ``kit.export`` writes an equivalent worker again. A
    ``test_input.json`` beside the file becomes the input of the handler's cell.

    Parameters
    ----------
    path : path
        The file, or a folder with a ``handler.py``, relative to the kernel's. It is only read.
    notebook : path or None
        Where to write; None is beside the file, ``handler.ipynb`` for ``handler.py``.
    overwrite : bool
        Whether a notebook that is there may be replaced.

    Returns
    -------
    Loaded
        ``.path``, ``.cells``; in Jupyter it shows itself as a link.

    Raises
    ------
    UsageError
        Nothing to read, no Python, no handler in it, or a notebook in the way. Nothing was written.
    """
    from kit.workerfile import load_file

    folder = session().folder()
    target = None if notebook is None else folder / os.fspath(notebook)
    return load_file(folder / os.fspath(path), target, overwrite=overwrite)


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


def serve(
    path: str | os.PathLike[str] | Path | None = None,
    *,
    handler: str | Handler | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    workers_min: int = 0,
    workers_max: int = 1,
    idle_timeout_s: float = 5.0,
) -> Serving:
    """Open a RunPod endpoint on this machine; any RunPod client works against it. Returns at once.

    Parameters
    ----------
    path : path or None
        A folder with ``handler.py``: it runs in real worker processes, with cold starts, idle
        timeout and the SDK's pacing. None serves a registered handler where its jobs run now, in
        the kernel with the model that is loaded; every request is a job on its card.
    handler : str, Handler or None
        Without a path: which one, None for the current.
    host, port : str, int
        Where to listen; 0 takes a free port. Every request needs the key (``.key``), which is made
        anew each time.
    workers_min, workers_max, idle_timeout_s : int, int, float
        Of the pool of processes.

    Returns
    -------
    Serving
        ``.url``, ``.key``, ``.health()``, ``.stop()``; also a context manager.

    Raises
    ------
    UsageError
        There is no handler, or no ``handler.py``.
    TargetError
        The port is taken.
    """
    if not 0 <= workers_min <= workers_max or workers_max < 1:
        from kit.errors import UsageError

        raise UsageError(
            f"workers_min={workers_min}, workers_max={workers_max}: give 0 <= min <= max, max >= 1."
        )
    workers = (workers_min, workers_max)
    return session().serve(path, handler, host, port, workers, idle_timeout_s)


def verify(
    path: str | os.PathLike[str] | Path = "worker",
    *,
    handler: str | Handler | None = None,
    relative: float = 0.0,
    absolute: float = 0.0,
    image: float = 0.0,
    clean_env: bool = False,
) -> Report:
    """Prove a worker: run recorded jobs through real ``python -u handler.py`` and compare; blocks.

    ``test_input.json`` and ``tests.json`` beside the handler are run too and must end COMPLETED. Nothing
    is started if a second copy of the model does not fit beside the kernel's.

    Parameters
    ----------
    path : path
        The worker's folder, relative to the kernel's.
    handler : str, Handler or None
        Whose recorded jobs; None for those of the handler and version that the folder was
        exported from.
    relative, absolute : float
        How far numbers may be apart, as in ``math.isclose``; 0 wants them the same.
    image : float
        How far the pixels of two pictures may be apart on average, 0 to 255.
    clean_env : bool
        Run the worker in a virtual environment of its own, with what its requirements.txt says and
        runpod; made once for the same requirements, with pip and the package index.

    Returns
    -------
    Report
        Shows itself as a table; ``.passed``, ``.verdict``, ``.rows``.

    Raises
    ------
    UsageError
        There is no ``handler.py``.
    """
    from kit.export.compare import Tolerance

    tolerance = Tolerance(relative, absolute, image)
    return session().verify(path, handler, tolerance, clean_env=_say(clean_env))


def _say(wanted: bool) -> Callable[[str], None] | None:
    """Where pip's progress goes: under the cell."""

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    return say if wanted else None
