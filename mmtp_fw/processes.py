"""The one way to end programs: asked first, killed with all that they have started if they don't listen."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from typing import Any

PATIENCE_SECONDS = 10.0
"""Time (s) that a program gets to end cleanly after SIGTERM."""


def end_program(process: subprocess.Popen[Any], patience_s: float = PATIENCE_SECONDS) -> None:
    """End a program and every process in its group; see `end_programs`."""
    end_programs([process], patience_s)


def end_programs(
    processes: Iterable[subprocess.Popen[Any]], patience_s: float = PATIENCE_SECONDS, *, ask_group: bool = True
) -> None:
    """Ask programs to end with SIGTERM, kill those that have not within a time, and wait for their end.

    A program that was started in a session of its own (``start_new_session=True``) leads a process group: what is left
    of that group is killed, too, also where its leader ended in order. Of any other program only itself is ended.

    Parameters
    ----------
    processes : iterable of Popen
        Those that have ended before are left alone.
    patience_s : float
        Time (s) for all of them together; 0 kills at once.
    ask_group : bool
        Whether SIGTERM goes to the whole group (an MPI launcher in a shell, say), or only to the program, which then
        ends its own in order.
    """
    running = [process for process in processes if process.poll() is None]
    leaders = {process.pid for process in running if _leads_group(process.pid)}
    if patience_s > 0:
        for process in running:
            _signal(process, signal.SIGTERM, ask_group and process.pid in leaders)
    end = time.monotonic() + patience_s
    for process in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
        _signal(process, signal.SIGKILL, process.pid in leaders)
        process.wait()


def _leads_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def _signal(process: subprocess.Popen[Any], number: signal.Signals, group: bool) -> None:
    if not group:
        process.send_signal(number)  # does nothing where it has ended
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
