"""A worker: FireWorks' own rapidfire, with mending in between.

``mmtp worker`` runs it, and so does

    python -m mmtp_fw.workflows.worker --category dft --category md

Plain ``rlaunch`` workers pull the same Fireworks; what they lack is only the mending.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from fireworks import FWorker
from fireworks.core.rocket_launcher import rapidfire
from pymongo.errors import PyMongoError

from mmtp_fw import log
from mmtp_fw.database import Database, queries, workers
from mmtp_fw.database.process import owner_name
from mmtp_fw.errors import DatabaseError, InputError
from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.planner import locate
from mmtp_fw.workflows.mend import mend_all

_LOG = log.logger(__name__)

IDLE_SECONDS = 0.5
"""Pause between looks for work (s)."""
MEND_SECONDS = 30.0
"""Pause between two mendings by one worker (s)."""


class Stop:
    """Whether a worker was asked to end: by SIGTERM or SIGINT, or by the death of its parent."""

    def __init__(self, parent: int | None = None) -> None:
        self.requested = False
        self.reason = ""
        self.parent = parent

    def listen(self) -> None:
        """Take SIGTERM and SIGINT from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.requested, self.reason = True, signal.Signals(number).name

    def __call__(self) -> bool:
        """Return whether to end after the task at hand."""
        if not self.requested and self.parent is not None and os.getppid() != self.parent:
            self.requested, self.reason = True, "the process that started it is gone"
        return self.requested


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
        End when this campaign is finished or cancelled; without it, go on for ever.
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
    with log.about(worker=owner_name(), campaign=campaign_id or ""):
        where, kinds = repr(database).strip("<>"), ", ".join(categories) or "all"
        _LOG.info("worker starts on %s, for %s work, in %s", where, kinds, directory)
        launches, why = 0, ""
        try:
            for found in _looks(database, worker, stop, grace_seconds, campaign_id):
                if found:
                    rapidfire(database.launchpad, worker, str(directory), nlaunches=1, max_loops=1, sleep_time=0.05)
                    launches += 1
                elif campaign_id is not None and (why := _ended(database, campaign_id)):
                    break
                else:
                    time.sleep(IDLE_SECONDS)
            else:
                why = getattr(stop, "reason", "") or "it was asked to"
        except BaseException as error:
            why = f"{type(error).__name__}: {error}"
            raise
        finally:
            _LOG.info("worker ends after %d tasks: %s", launches, why)
            with contextlib.suppress(PyMongoError):  # then it is soon no longer heard of
                workers.leave(database)
    return launches


def _ended(database: Database, campaign_id: str) -> str:
    """Return why there will be no more work of a campaign; "" where there may be."""
    held = queries.held(database, campaign_id)
    if held is not None:
        return f"its campaign is {queries.held_words(held)}" if held["state"] == "cancelled" else ""
    return "its campaign is finished" if locate(gather(database, campaign_id)).finished else ""


def _looks(
    database: Database, worker: FWorker, stop: Callable[[], bool], grace_seconds: float, campaign_id: str | None
) -> Iterator[bool]:
    """Yield whether there is work for a worker, until it is to stop; mend, and say that it is there, now and then."""
    mended, found = 0.0, True
    while not stop():
        pause = MEND_SECONDS if found else min(MEND_SECONDS, max(grace_seconds / 4, IDLE_SECONDS))
        if time.monotonic() - mended > pause:
            workers.report(database, worker.category, campaign_id)
            mend_all(database, grace_seconds)
            mended = time.monotonic()
        found = bool(database.launchpad.run_exists(worker))
        yield found


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
    try:
        log.configure(log.from_environment() or log.LogSettings())
    except InputError as error:
        parser.error(str(error))
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
        _LOG.error("worker ends: the database is away: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
