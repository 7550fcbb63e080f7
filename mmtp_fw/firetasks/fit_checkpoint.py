"""Unfinished fits in the database: another worker, on another machine, goes on where one was ended."""

from __future__ import annotations

import time
from pathlib import Path

from bson import Binary
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from mmtp_fw import log
from mmtp_fw.database import Database

_LOG = log.logger(__name__)
_KEEP_EVERY_S = 60.0


class KeptFit:
    """The checkpoint of one fit: a file that `mmtp_fw.fitting.fit` writes, and its copy in the database.

    Parameters
    ----------
    database : Database
    key : str
        Of the fit's action.
    path : Path
        Of the file.
    """

    def __init__(self, database: Database, key: str, path: Path) -> None:
        self._collection = database.fit_checkpoints
        self._key = key
        self.path = path
        self._kept = time.monotonic()

    def fetch(self) -> None:
        """Write the file where the database has a copy."""
        found = self._collection.find_one({"_id": self._key})
        if found is not None:
            self.path.write_bytes(found["content"])

    def keep(self, now: bool = False) -> None:
        """Copy the file to the database, at most once a minute; a database that is away is no reason to stop."""
        if not (now or time.monotonic() - self._kept > _KEEP_EVERY_S) or not self.path.exists():
            return
        self._kept = time.monotonic()
        content = Binary(self.path.read_bytes())
        try:
            self._collection.replace_one({"_id": self._key}, {"_id": self._key, "content": content}, upsert=True)
        except PyMongoError as error:
            _LOG.warning("the checkpoint is not kept this time: %s", str(error)[:200])

    @staticmethod
    def drop(database: Database, key: str, session: ClientSession) -> None:
        """Forget a fit that has ended."""
        database.fit_checkpoints.delete_one({"_id": key}, session=session)


class UnkeptFit(KeptFit):
    """A checkpoint that is a file and nothing else: of a fit that is only compared."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fetch(self) -> None:
        """Find nothing."""

    def keep(self, now: bool = False) -> None:
        """Copy nothing."""
