"""Whether everything that is referred to is there, and unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import gridfs

from mmtp_fw.database import atoms_codec, blobs
from mmtp_fw.errors import DatabaseError

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database


def check(database: Database, contents: bool = True) -> list[str]:
    """Look for damage.

    Parameters
    ----------
    database : Database
    contents : bool
        Recompute hashes of configurations and blobs, too.

    Returns
    -------
    list of str
        One line per problem; empty when all is well.
    """
    return [*_references(database), *(_contents(database) if contents else ())]


def _references(database: Database) -> Iterator[str]:
    links: tuple[tuple[str, str, str], ...] = (
        ("calculations", "configuration", "configurations"),
        ("potentials", "training_set", "training_sets"),
        ("potentials", "parent", "potentials"),
        ("training_sets", "calculations", "calculations"),
        ("md_runs", "potential", "potentials"),
        ("properties", "potential", "potentials"),
        ("actions", "campaign", "campaigns"),
    )
    for source, field, target in links:
        wanted = [value for value in database.db[source].distinct(field) if value is not None]
        there: set[Any] = set(database.db[target].distinct("_id", {"_id": {"$in": wanted}}))
        for value in wanted:
            if value not in there:
                yield f"{source}.{field} refers to {target} '{value}', which is not there"
    store = gridfs.GridFS(database.db, blobs.BUCKET)
    for source, fields in (
        ("potentials", ("active_set",)),
        ("md_runs", ("thermo", "candidates", "trajectory")),
    ):
        for field in fields:
            for digest in database.db[source].distinct(field):
                if digest is not None and not store.exists(digest):
                    yield f"{source}.{field} refers to blob {digest}, which is not there"


def _contents(database: Database) -> Iterator[str]:
    for document in database.configurations.find({}, {"atoms": 1}):
        if atoms_codec.content_hash(atoms_codec.from_document(document["atoms"])) != document["_id"]:
            yield f"configuration '{document['_id']}' is not what its hash says"
    for file in database.db[f"{blobs.BUCKET}.files"].find({}, {"_id": 1}):
        try:
            blobs.get(database, file["_id"])
        except DatabaseError as error:
            yield error.message
        except Exception as error:
            yield f"blob {file['_id']} can't be read: {error}"
