"""``kit.export``, ``verify``, ``load`` and ``serve``: a handler's ways out of the notebook and in."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.api import session

if TYPE_CHECKING:
    from kit.export import Bundle, Report
    from kit.handler import Handler
    from kit.serving import Serving
    from kit.workerfile import Loaded


def export(
    path: str | os.PathLike[str] | Path = "worker",
    *,
    handler: str | Handler | Callable[..., Any] | None = None,
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
    handler : str, Handler, function or None
        Which one: its name, or the function that was registered; None for the current.
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

    _check_path(path)
    choices = choose(files, base_image, env, packages, requirements)
    say = _say(clean_env)
    return session().export_to(path, handler, overwrite, verify, choices, clean_env=say)


def verify(
    path: str | os.PathLike[str] | Path = "worker",
    *,
    handler: str | Handler | Callable[..., Any] | None = None,
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
    handler : str, Handler, function or None
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

    _check_path(path, "verify")
    tolerance = Tolerance(relative, absolute, image)
    return session().verify(path, handler, tolerance, clean_env=_say(clean_env))


def _check_path(path: object, verb: str = "export") -> None:
    """Refuse what is no path: most often it is the handler, which has a keyword of its own."""
    from kit.errors import UsageError

    if isinstance(path, (str, os.PathLike)):
        return
    name = getattr(path, "name", None) or getattr(path, "__name__", None)
    if isinstance(name, str) and name.isidentifier():
        raise UsageError(
            f'the first argument is the folder: write kit.{verb}("worker", handler="{name}").'
        )
    raise UsageError(
        f'the first argument is the folder, not {type(path).__name__}: write kit.{verb}("worker").'
    )


def _say(wanted: bool) -> Callable[[str], None] | None:
    """Where pip's progress goes: under the cell."""

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    return say if wanted else None


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
        A folder with ``handler.py``, or a worker's file: it runs in real worker processes, with cold starts, idle
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
        There is no handler, no such file, it is no Python, or it never calls start().
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
