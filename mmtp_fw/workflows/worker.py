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
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fireworks import FWorker
from fireworks.core.rocket_launcher import rapidfire
from pymongo.errors import PyMongoError

from mmtp_fw import log
from mmtp_fw.database import Database, queries, workers
from mmtp_fw.database.process import owner_name
from mmtp_fw.errors import DatabaseError, InputError, MachineError
from mmtp_fw.loop.facts import Category
from mmtp_fw.loop.gather import gather_open
from mmtp_fw.loop.planner import locate
from mmtp_fw.workflows.health import HEALTH, heeding
from mmtp_fw.workflows.mend import is_our_turn, mend_all
from mmtp_fw.workflows.reconnect import reopened

_LOG = log.logger(__name__)

IDLE_SECONDS, LONGEST_IDLE_SECONDS, IDLE_FRACTION = 0.5, 5.0, 0.05
"""Pause between looks for work (s): this fraction of the time that there was none, between the two."""
MEND_SECONDS = 30.0
"""Pause between two looks of one worker whether it is its turn to mend (s)."""


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
    reopen: Callable[[], Database | None] | None = None,
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
    reopen : callable, optional
        Opens the database again, or returns None while it is away: with it, a worker outlives its database.

    Returns
    -------
    int
        Number of looks for work that found some.

    Raises
    ------
    MachineError
        This machine has failed twice at every kind of work that it was to do.
    PyMongoError, DatabaseError
        The database is away, and there is no `reopen`.
    """
    directory = Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    fworker = FWorker(name=name or f"{socket.gethostname()}-{os.getpid()}", category=list(categories))
    work = _Worker(database, fworker, directory, campaign_id, stop, grace_seconds)
    with log.about(worker=owner_name(), campaign=campaign_id or ""), heeding():
        kinds = ", ".join(categories) or "all"
        _LOG.info("worker starts on %s, for %s work, in %s", repr(database).strip("<>"), kinds, directory)
        work.run(reopen)
    return work.launches


@dataclass
class _Worker:
    """A worker at work."""

    database: Database
    fworker: FWorker
    directory: Path
    campaign: str | None
    stop: Callable[[], bool]
    grace: float
    launches: int = 0
    _idle_since: float | None = None
    _asked: float = 0.0

    def run(self, reopen: Callable[[], Database | None] | None) -> None:
        """Work until the end, and say why it ended."""
        why = ""
        try:
            why = self._outlive(reopen)
        except BaseException as error:
            why = f"{type(error).__name__}: {error}"
            raise
        finally:
            _LOG.info("worker ends after %d tasks: %s", self.launches, why)
            with contextlib.suppress(PyMongoError):  # then it is soon no longer heard of
                workers.leave(self.database)

    def _outlive(self, reopen: Callable[[], Database | None] | None) -> str:
        while True:
            try:
                return self._work()
            except (PyMongoError, DatabaseError) as error:
                if reopen is None:
                    raise
                opened = reopened(reopen, self.stop, error)
                if opened is None:
                    return self._told()
                self.database = opened

    def _work(self) -> str:
        for found in self._looks():
            if found:
                self._idle_since = None
                pad = self.database.launchpad
                rapidfire(pad, self.fworker, str(self.directory), nlaunches=1, max_loops=1, sleep_time=0.05)
                self.launches += 1
                self._heed()
            elif self.campaign is not None and (why := self._ended(self.campaign)):
                return why
            else:
                self._rest()
        return self._told()

    def _rest(self) -> None:
        """Sleep, the longer the longer there has been no work."""
        now = time.monotonic()
        self._idle_since = now if self._idle_since is None else self._idle_since
        end = now + min(LONGEST_IDLE_SECONDS, max(IDLE_SECONDS, IDLE_FRACTION * (now - self._idle_since)))
        while (left := end - time.monotonic()) > 0 and not self.stop():
            time.sleep(min(left, IDLE_SECONDS))

    def _ended(self, campaign_id: str) -> str:
        """Return why there will be no more work of a campaign; "" where there may be."""
        document = queries.campaign(self.database, campaign_id, "held", "finished")
        held = document.get("held")
        if held is not None:
            return f"its campaign is {queries.held_words(held)}" if held["state"] == "cancelled" else ""
        if document.get("finished") is None and not self._over(campaign_id):
            return ""
        return "its campaign is finished"

    def _over(self, campaign_id: str) -> bool:
        """Return whether a campaign has come to an end without a report; now and then, for it needs more reading."""
        if time.monotonic() - self._asked < LONGEST_IDLE_SECONDS:
            return False
        self._asked = time.monotonic()
        if self.database.actions.find_one(queries.unfinished(campaign_id), {"_id": 1}) is not None:
            return False
        return locate(gather_open(self.database, campaign_id)[0]).finished

    def _told(self) -> str:
        return getattr(self.stop, "reason", "") or "it was asked to"

    def _heed(self) -> None:
        """Take no more of the work that this machine can't do."""
        if not HEALTH.refuses:
            return
        before = self.fworker.category or [category.value for category in Category]
        left = [category for category in before if category not in HEALTH.refuses]
        if left != self.fworker.category:
            self.fworker.category = left
            workers.report(self.database, left, self.campaign, HEALTH.refuses)
        if not left:
            reasons = "; ".join(dict.fromkeys(HEALTH.refuses.values()))
            raise MachineError(f"this machine can do no more work: {reasons}", "mend it, and start the worker again")

    def _looks(self) -> Iterator[bool]:
        """Yield whether there is work, until it is to stop; mend, and say that the worker is there, now and then."""
        mended, found = 0.0, True
        while not self.stop():
            often = min(MEND_SECONDS, max(self.grace / 4, IDLE_SECONDS))
            if time.monotonic() - mended > (MEND_SECONDS if found else often):
                workers.report(self.database, self.fworker.category, self.campaign, HEALTH.refuses)
                if is_our_turn(self.database, often):
                    mend_all(self.database, self.grace)
                mended = time.monotonic()
            found = bool(self.database.launchpad.run_exists(self.fworker))
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
    except MachineError as error:
        _LOG.error("worker ends: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
