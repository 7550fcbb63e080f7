"""Everything in one file, and back: compressed BSON, readable without mmtp_fw by any MongoDB driver."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import bson
import zstandard

from mmtp_fw.database.collections import BLOBS, DECLARED, FIREWORKS
from mmtp_fw.database.records import SCHEMA_VERSION
from mmtp_fw.errors import InputError
from mmtp_fw.files import replacing

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

_MAGIC = b"mmtp_fw backup 1\n"
_BATCH = 500


def backup(database: Database, path: str | Path) -> dict[str, int]:
    """Write all collections, FireWorks' own included, to a file of mode 0600.

    Returns
    -------
    dict of str to int
        Documents by collection.

    Raises
    ------
    InputError
        The file exists or can't be written.
    """
    path = Path(path)
    if path.exists():
        raise InputError(f"{path} exists", "choose another name: backups are never overwritten")
    counts: dict[str, int] = {}
    try:
        with replacing(path, durable=True, private=True) as partial, partial.open("wb") as raw:
            raw.write(_MAGIC)
            compressor = zstandard.ZstdCompressor(level=6, write_checksum=True)
            with compressor.stream_writer(raw, closefd=False) as stream:
                # One moment for all collections, also while a campaign runs.
                with database.launchpad.connection.start_session(snapshot=True) as session:
                    for name in sorted(_listed(database)):
                        counts[name] = 0
                        for document in database.db[name].find({}, session=session):
                            stream.write(bson.encode({"c": name, "d": document}))
                            counts[name] += 1
                stream.write(bson.encode({"end": counts}))
    except OSError as error:
        raise InputError(f"{path}: can't be written: {error.strerror}") from error
    return counts


def restore(database: Database, path: str | Path) -> dict[str, int]:
    """Read a backup into an empty database.

    Raises
    ------
    InputError
        No backup, an incomplete one, one of a newer mmtp_fw, or a database that has something in it already,
        FireWorks' workflows included: they may be another project's.
    """
    for name in _counted():
        if database.db[name].find_one({}, {"_id": 1}) is not None:
            raise InputError(f"{database!r} is not empty: it has {name}", "restore into a new database")
    expected = _verify(Path(path))
    database.reset()
    for name in expected:
        database.db[name].delete_many({})
    waiting: dict[str, list[dict[str, Any]]] = {}
    for entry in _entries(Path(path)):
        if "c" in entry:
            batch = waiting.setdefault(entry["c"], [])
            batch.append(entry["d"])
            if len(batch) >= _BATCH:
                database.db[entry["c"]].insert_many(batch)
                batch.clear()
    for name, batch in waiting.items():
        if batch:
            database.db[name].insert_many(batch)
    return expected


def _counted() -> Iterator[str]:
    """Yield the collections of which one document is enough for a database to be somebody's."""
    yield from FIREWORKS
    yield from (name for name, declared in DECLARED.items() if declared.content)
    yield f"{BLOBS}.files"


def _listed(database: Database) -> Iterator[str]:
    """Yield what is kept: everything but the server's own collections."""
    return (name for name in database.db.list_collection_names() if not name.startswith("system."))


def _verify(path: Path) -> dict[str, int]:
    """Read the whole file before anything is written."""
    found: dict[str, int] = {}
    for entry in _entries(path):
        if "end" in entry:
            expected = dict(entry["end"])
            if {k: v for k, v in expected.items() if v} == found:
                return expected
            break
        found[entry["c"]] = found.get(entry["c"], 0) + 1
        if entry["c"] == "meta" and entry["d"]["_id"] == "schema" and entry["d"]["version"] > SCHEMA_VERSION:
            raise InputError(f"{path}: of a newer mmtp_fw (schema {entry['d']['version']})", "upgrade mmtp_fw")
    raise InputError(f"{path}: the backup is incomplete", "take another one")


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as raw:
            if raw.read(len(_MAGIC)) != _MAGIC:
                raise InputError(f"{path}: not a backup of mmtp_fw")
            with zstandard.ZstdDecompressor().stream_reader(raw) as stream:
                while head := _read(stream, 4):
                    size = struct.unpack("<i", head)[0]
                    yield bson.decode(head + _read(stream, size - 4))
    except (OSError, zstandard.ZstdError, bson.errors.BSONError, struct.error) as error:
        raise InputError(f"{path}: the backup can't be read: {error}") from error


def _read(stream: BinaryIO | zstandard.ZstdDecompressionReader, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = stream.read(size - len(parts))
        if not part:
            break
        parts += part
    return parts
