"""Waiting for a database that is away, for as long as it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from fireworks import fw_config
from pymongo.errors import PyMongoError

from mmtp_fw import log
from mmtp_fw.database import Database, server
from mmtp_fw.errors import DatabaseError

_LOG = log.logger(__name__)

LONGEST_PAUSE = 15.0
"""Longest pause between two looks for the database (s)."""


def opener(launchpad_file: str | None) -> Callable[[], Database | None]:
    """Return what opens a database again: None while it is away.

    The embedded one is waited for, not started: somebody may have stopped it.

    Parameters
    ----------
    launchpad_file : str or None
        As for `Database.open`.
    """
    embedded = not (launchpad_file or fw_config.LAUNCHPAD_LOC)

    def reopen() -> Database | None:
        return None if embedded and not server.status().running else Database.open(launchpad_file)

    return reopen


def reopened(reopen: Callable[[], Database | None], stop: Callable[[], bool], error: Exception) -> Database | None:
    """Wait until a database can be opened again; return it, or None when `stop` says so before."""
    _LOG.warning("the database is away, and waited for: %s", str(error).splitlines()[0][:200])
    pause = 0.5
    while not stop():
        try:
            database = reopen()
        except (PyMongoError, DatabaseError):
            database = None
        if database is not None:
            _LOG.warning("the database is back: %s", repr(database).strip("<>"))
            return database
        until = time.monotonic() + pause
        while time.monotonic() < until and not stop():
            time.sleep(0.1)
        pause = min(LONGEST_PAUSE, 1.5 * pause)
    return None
