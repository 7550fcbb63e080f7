"""Who a process is, so that others on the same machine can tell when it is gone."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path


@functools.cache
def machine() -> str | None:
    """Return what tells this boot of this machine, and this container on it, from all others; None off Linux.

    Host names are given twice, and so are process numbers in containers.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def owner_name() -> str:
    """Return this process' name for people, as claims and logs have it: host and process number."""
    return f"{socket.gethostname()}:{os.getpid()}"


def started(pid: int) -> int | None:
    """Return when a process was started, in ticks since the boot; None when it is gone (or waits to be buried)."""
    try:
        # Behind the program's name, which may hold anything, come the state and nineteen columns later the start.
        columns = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if columns[0] in "ZX" else int(columns[19])


def identity() -> dict[str, str | int] | None:
    """Return this process' machine, number and start; None where they can't be told."""
    pid = os.getpid()
    start = started(pid)
    here = machine()
    return None if here is None or start is None else {"machine": here, "pid": pid, "started": start}
