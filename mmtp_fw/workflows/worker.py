"""A worker: FireWorks' own rapidfire, with mending in between.

``mmtp worker`` runs it, and so does

    python -m mmtp_fw.workflows.worker --category dft --category md

Plain ``rlaunch`` workers pull the same Fireworks; what they lack is only the mending.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fireworks import FWorker
from fireworks.core.rocket_launcher import rapidfire
from pymongo.errors import PyMongoError

from mmtp_fw.database import Database
from mmtp_fw.errors import DatabaseError
from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.planner import locate
from mmtp_fw.workflows.mend import mend_all

IDLE_SECONDS = 0.5
"""Pause between looks for work (s)."""
MEND_SECONDS = 30.0
"""Pause between two mendings by one worker (s)."""


class Stop:
    """Whether a worker was asked to end: by SIGTERM or SIGINT, or by the death of its parent."""

    def __init__(self, parent: int | None = None) -> None:
        self.requested = False
        self.parent = parent

    def listen(self) -> None:
        """Take SIGTERM and SIGINT from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "requested", True))

    def __call__(self) -> bool:
        """Return whether to end after the task at hand."""
        return self.requested or (self.parent is not None and os.getppid() != self.parent)


def run_worker(
    database: Database,
    categories: Sequence[str] = (),
    directory: str | Path = ".",
    campaign_id: str | None = None,
    stop: Callable[[], bool] = lambda: False,
    grace_seconds: float = 60.0,
    name: str | None = None,
) -> int:
    """Pull and run Fireworks until told to stop.

    Parameters
    ----------
    database : Database
        An open database.
    categories : sequence of str
        Kinds of work to pull ("md", "dft", "fit", "light"); all if empty.
    directory : str or Path
        Where launch directories are made.
    campaign_id : str, optional
        End when this campaign is finished; without it, go on for ever.
    stop : callable
        Asked between two Fireworks.
    grace_seconds : float
        How long a suspicious state must last before it is mended (s).
    name : str, optional
        Name of the FireWorker; by default host and process id.

    Returns
    -------
    int
        Number of looks for work that found some.
    """
    directory = Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    worker = FWorker(name=name or f"{socket.gethostname()}-{os.getpid()}", category=list(categories))
    launches, mended, found = 0, 0.0, True
    while not stop():
        pause = MEND_SECONDS if found else min(MEND_SECONDS, max(grace_seconds / 4, IDLE_SECONDS))
        if time.monotonic() - mended > pause:
            mend_all(database, grace_seconds)
            mended = time.monotonic()
        found = database.launchpad.run_exists(worker)
        if found:
            rapidfire(database.launchpad, worker, str(directory), nlaunches=1, max_loops=1, sleep_time=0.05)
            launches += 1
        elif campaign_id is not None and locate(gather(database, campaign_id)).finished:
            break
        else:
            time.sleep(IDLE_SECONDS)
    return launches


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mmtp_fw.workflows.worker", description=__doc__)
    parser.add_argument("-l", "--launchpad", help="launchpad file; default: the embedded database")
    parser.add_argument("--category", action="append", default=[], help="kind of work to pull; may be repeated")
    parser.add_argument("--directory", default=".", help="where launch directories are made")
    parser.add_argument("--campaign", help="end when this campaign is finished")
    parser.add_argument("--grace", type=float, default=60.0, help="seconds before suspicious states are mended")
    parser.add_argument("--parent", type=int, help="end when this process has ended")
    options = parser.parse_args(arguments)
    stop = Stop(options.parent)
    stop.listen()
    try:
        with Database.open(options.launchpad) as database:
            run_worker(
                database,
                options.category,
                options.directory,
                options.campaign,
                stop,
                options.grace,
            )
    except (PyMongoError, DatabaseError) as error:
        print(f"worker: the database is away: {error}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
