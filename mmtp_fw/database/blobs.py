"""Large things in GridFS: compressed, and each content once."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Any

import gridfs
import zstandard
from gridfs.errors import FileExists, NoFile

from mmtp_fw.database.collections import BLOBS
from mmtp_fw.errors import DatabaseError

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database


def put(database: Database, content: bytes, kind: str) -> str:
    """Store bytes; return their sha256, by which `get` finds them. Storing the same twice stores it once.

    Parameters
    ----------
    database : Database
    content : bytes
    kind : str
        What it is, for people: "trajectory", "active set" …
    """
    digest = hashlib.sha256(content).hexdigest()
    store = gridfs.GridFS(database.db, BLOBS)
    if store.exists(digest):
        return digest
    compressed = zstandard.ZstdCompressor(level=9).compress(content)
    with contextlib.suppress(FileExists):  # another worker was faster with the same content
        store.put(compressed, _id=digest, kind=kind, size=len(content))
    return digest


def get(database: Database, digest: str) -> bytes:
    """Return stored bytes.

    Raises
    ------
    DatabaseError
        There are none, or they are damaged.
    """
    try:
        compressed = gridfs.GridFS(database.db, BLOBS).get(digest).read()
    except NoFile as error:
        raise DatabaseError(f"blob {digest} is not in {database!r}", "`mmtp db check` looks for more") from error
    content = zstandard.ZstdDecompressor().decompress(compressed)
    if hashlib.sha256(content).hexdigest() != digest:
        raise DatabaseError(f"blob {digest} is damaged", "restore it from a backup")
    return content


def put_json(database: Database, data: Any, kind: str) -> str:
    """Store JSON-able data; see `put`."""
    return put(database, json.dumps(data, sort_keys=True, separators=(",", ":")).encode(), kind)


def get_json(database: Database, digest: str) -> Any:
    """Return what `put_json` stored."""
    return json.loads(get(database, digest))


def remove(database: Database, digest: str) -> None:
    """Delete stored bytes, if they are there."""
    gridfs.GridFS(database.db, BLOBS).delete(digest)
