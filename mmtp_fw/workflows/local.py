"""A campaign on this machine: N worker processes, watched, restarted when they die, stopped together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from pymongo.errors import PyMongoError

from mmtp_fw import log
from mmtp_fw.database import Database, queries
from mmtp_fw.errors import DatabaseError
from mmtp_fw.loop.planner import Position
from mmtp_fw.processes import end_programs
from mmtp_fw.workflows.mend import mend

_LOG = log.logger(__name__)

GRACE_SECONDS = 10.0
"""On one machine, a suspicious state that lasts this long (s) is mended."""
STOP_SECONDS = 30.0
"""Time (s) that workers get to end cleanly before they are killed."""
LONGEST_BACKOFF = 30.0
"""Longest pause (s) before a worker that keeps dying is started again."""
CLOSING_SECONDS = 10.0
"""Time (s) that FireWorks gets to note the end of the last tasks."""


@dataclass
class _Slot:
    """A place for one worker process."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    not_before: float = 0.0


@dataclass
class LocalRun:
    """The workers of one campaign on this machine.

    Parameters
    ----------
    database : Database
        An open database.
    campaign_id : str
        The campaign's name; it has been submitted.
    workers : int
        Number of worker processes.
    directory : Path
        For launch directories and the workers' logs.
    launchpad_file : str, optional
        What the workers are to open; None for the embedded database.
    """

    database: Database
    campaign_id: str
    workers: int
    directory: Path
    launchpad_file: str | None = None
    restarts: int = 0
    _slots: list[_Slot] = field(default_factory=list)

    def run(self, on_progress: Callable[[Position], None] | None = None, interval: float = 1.0) -> bool:
        """Run to the end of the campaign.

        Parameters
        ----------
        on_progress : callable, optional
            Called about every `interval` seconds with where the campaign stands.
        interval : float
            Seconds between two looks.

        Returns
        -------
        bool
            True when the campaign is finished, False when SIGINT or SIGTERM ended the run before (the same command
            goes on), or somebody has cancelled the campaign.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._slots = [_Slot(number) for number in range(self.workers)]
        with _signals() as stopped:
            try:
                return self._watch(stopped, on_progress, interval)
            finally:
                self._stop()

    def _watch(self, stopped: list[int], on_progress: Callable[[Position], None] | None, interval: float) -> bool:
        grace = 0.0  # nobody but us works here yet; live claims of other machines are respected all the same
        while not stopped:
            try:
                position = mend(self.database, self.campaign_id, grace)[1]
            except (PyMongoError, DatabaseError) as error:
                self._log(logging.WARNING, "the database is away, opened again: %s", str(error).splitlines()[0][:200])
                self._reopen()
                continue
            grace = GRACE_SECONDS
            if on_progress is not None:
                on_progress(position)
            if self._cancelled():
                return False
            if position.finished:
                self._sleep(stopped, CLOSING_SECONDS, until=self._closed)
                return True
            self._tend()
            self._sleep(stopped, interval)
        return False

    def _tend(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._bury(slot, now)
            if slot.process is None and now >= slot.not_before:
                slot.process, slot.started = self._start(slot.number), now
                self._log(logging.INFO, "worker %d started as process %d", slot.number, slot.process.pid)

    def _bury(self, slot: _Slot, now: float) -> None:
        assert slot.process is not None
        code = slot.process.returncode
        level = logging.WARNING if code else logging.INFO  # one that has seen the end of the campaign ends in order
        self._log(level, "worker %d ended with exit code %s, and is started again", slot.number, code)
        self.restarts += 1
        slot.failures = 0 if now - slot.started > LONGEST_BACKOFF else slot.failures + 1
        slot.not_before = now + min(LONGEST_BACKOFF, 0.5 * 2**slot.failures)
        slot.process = None

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mmtp_fw.workflows.worker", "--campaign", self.campaign_id]
        command += ["--directory", str(self.directory / f"worker-{number}")]
        command += ["--grace", str(GRACE_SECONDS), "--parent", str(os.getpid())]
        if self.launchpad_file:
            command += ["-l", self.launchpad_file]
        threads = str(max(1, (os.cpu_count() or 1) // self.workers))
        names = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = dict.fromkeys(names, threads) | {log.VARIABLE: "info"} | dict(os.environ)
        with (self.directory / f"worker-{number}.log").open("ab") as output:
            # An own session: Ctrl-C reaches only us, and we stop the workers in order.
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def _log(self, level: int, message: str, *values: object) -> None:
        _LOG.log(level, message, *values, extra={"campaign": self.campaign_id})

    def _reopen(self) -> None:
        time.sleep(1.0)
        try:
            self.database = Database.open(self.launchpad_file)
        except DatabaseError:
            time.sleep(1.0)

    def _closed(self) -> bool:
        """Whether FireWorks, too, has noted that everything is done."""
        open_states = {"$in": ["READY", "RESERVED", "RUNNING"]}
        query = {"spec.campaign": self.campaign_id, "state": open_states}
        return self.database.launchpad.fireworks.find_one(query, {"_id": 1}) is None

    def _cancelled(self) -> bool:
        held = queries.held(self.database, self.campaign_id)
        return held is not None and held["state"] == "cancelled"

    def _sleep(self, stopped: list[int], seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end = time.monotonic() + seconds
        while not stopped and time.monotonic() < end and not until():
            time.sleep(0.1)

    def _stop(self) -> None:
        running = [slot.process for slot in self._slots if slot.process is not None]
        end_programs(running, STOP_SECONDS, ask_group=False)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> Any:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
