"""The database that everything of a campaign is in."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType

from fireworks import LaunchPad
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from mmtp_fw.database.collections import Collections
from mmtp_fw.database.indexes import digest, ensure_indexes
from mmtp_fw.database.launchpad import (
    address,
    make_launchpad,
    open_launchpad,
    without_password_in_repr,
    write_launchpad_file,
)
from mmtp_fw.database.records import SCHEMA_VERSION
from mmtp_fw.errors import DatabaseError


class Database(Collections):
    """An open database: FireWorks' LaunchPad and mmtp_fw's own collections beside it.

    Attributes
    ----------
    launchpad : fireworks.LaunchPad
    db : pymongo.database.Database
    name : str
    campaigns, configurations, calculations …
        The collections that `mmtp_fw.database.collections` declares; another name is an error.
    """

    def __init__(self, launchpad: LaunchPad) -> None:
        super().__init__(launchpad.db)
        self.launchpad = launchpad
        self.name: str = launchpad.db.name
        try:
            self._prepare()
        except OperationFailure as error:
            raise DatabaseError(
                f"{self!r} can't be prepared: {error.details.get('errmsg') if error.details else error}",
                "mmtp_fw needs a replica set (of one, at least) and the right to write",
            ) from error
        except PyMongoError as error:
            raise DatabaseError(f"{self!r} does not answer: {error}") from error

    @classmethod
    def open(cls, launchpad_file: str | Path | None = None) -> Database:
        """Open the database of a launchpad file, of FireWorks' configuration, or the embedded one.

        Raises
        ------
        InputError, DatabaseError
            In one line, what to do about it.
        """
        return cls(open_launchpad(launchpad_file))

    @classmethod
    def from_launchpad(cls, launchpad: LaunchPad) -> Database:
        """Open the database that a running Firework came from."""
        if not launchpad.mongoclient_kwargs.get("journal"):
            settings = {
                name: getattr(launchpad, name)
                for name in ("host", "port", "name", "username", "password", "authsource", "uri_mode")
            }
            launchpad = make_launchpad(settings | {"mongoclient_kwargs": launchpad.mongoclient_kwargs})
        return cls(without_password_in_repr(launchpad))

    def launchpad_file(self) -> Path:
        """Write a private launchpad file for FireWorks' own commands on this database."""
        return write_launchpad_file(self.launchpad)

    def reset(self) -> None:
        """Delete everything, FireWorks' collections included."""
        for name in self.db.list_collection_names():
            self.db.drop_collection(name)
        self.launchpad.reset("", require_password=False, max_reset_wo_password=0)
        self._prepare(force=True)

    def close(self) -> None:
        """Close the connection."""
        self.launchpad.connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Database {self.name} at {address(self.launchpad)}>"

    def _prepare(self, force: bool = False) -> None:
        """Create the indexes, and what FireWorks needs in a new database."""
        meta = {document["_id"]: document for document in self.meta.find({})}
        found = meta.get("schema", {}).get("version", SCHEMA_VERSION)
        if found > SCHEMA_VERSION:
            raise DatabaseError(
                f"{self!r} was written by a newer mmtp_fw (schema {found}, this one knows {SCHEMA_VERSION})",
                "upgrade mmtp_fw",
            )
        ids = self.launchpad.fw_id_assigner
        if force or ids.find_one({}, {"_id": 1}) is None:
            with contextlib.suppress(DuplicateKeyError):  # FireWorks' own id: two processes make one counter
                ids.insert_one({"_id": -1, "next_fw_id": 1, "next_launch_id": 1})
        if force or meta.get("indexes", {}).get("digest") != digest():
            ensure_indexes(self.db)
            self.launchpad.tuneup()
            self.meta.update_one({"_id": "schema"}, {"$set": {"version": SCHEMA_VERSION}}, upsert=True)
            self.meta.update_one({"_id": "indexes"}, {"$set": {"digest": digest()}}, upsert=True)
