"""Parent of one worker process: ``python -I -S warden.py PARENT LIFELINE STATUS COMMAND...``.

It starts the command in a process group of its own and ends everything that came of it (the SDK's
ping process, data loaders, what daemonised itself) when the command ends or when the other end of
the lifeline closes, or when its own parent is another one: a pipe closes when its holder dies,
however it dies, unless a fork of the holder has it too. So nothing is left after the kernel was
killed. Standard library only, never imported by the kit.

A ``T`` on the lifeline passes SIGTERM on. The status pipe gets ``pid N`` and ``exit CODE``.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CLEAN_S = 3.0
_LOOK_S = 1.0


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the group alone must do."""
    if sys.platform == "linux":
        with contextlib.suppress(Exception):
            import ctypes

            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _start(command: list[str]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # by both, so that neither can be too late
        return pid
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # should somebody kill the warden itself
        if os.getppid() == parent:
            os.execvp(command[0], command)  # noqa: S606 - a list, never through a shell
    except OSError as exc:
        os.write(2, f"{command[0]}: {exc}\n".encode())
    os._exit(127)


def _children() -> list[int]:
    """Whoever has this process as parent: by PR_SET_CHILD_SUBREAPER every orphan below it too."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _end_all(group: int) -> None:
    deadline = time.monotonic() + _CLEAN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
        for child in _children():
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def main(arguments: list[str]) -> None:
    """Start, watch, clean up, and tell how it ended."""
    parent, lifeline, status = map(int, arguments[:3])
    command = arguments[3:]
    os.set_inheritable(lifeline, False)
    os.set_inheritable(status, False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    pid = _start(command)
    with contextlib.suppress(OSError):
        os.write(status, f"pid {pid}\n".encode())
    code = -signal.SIGKILL
    while True:
        ready, _, _ = select.select([lifeline, woken], [], [], _LOOK_S)
        if os.getppid() != parent:
            break
        if lifeline in ready:
            asked = os.read(lifeline, 16)
            if not asked:
                break
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        if woken in ready:
            os.read(woken, 512)
            with contextlib.suppress(ChildProcessError):
                ended, how = os.waitpid(pid, os.WNOHANG)
                if ended:
                    code = os.waitstatus_to_exitcode(how)
                    break
    _end_all(pid)
    with contextlib.suppress(OSError):
        os.write(status, f"exit {code}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1:])
