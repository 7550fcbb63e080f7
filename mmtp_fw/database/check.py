"""Whether everything that is referred to is there, and unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mmtp_fw.database import atoms_codec, blobs
from mmtp_fw.database.collections import BLOBS, DECLARED, KEY, Link
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
    for source, declared in DECLARED.items():
        links = declared.links
        if declared.campaign not in (None, KEY):
            links = (*links, Link(declared.campaign, "campaigns"))
        for link in links:
            for value in _missing(database, source, link):
                yield f"{source}.{link.field} refers to {link.to} '{value}', which is not there"
        for field in declared.blobs:
            for digest in _missing(database, source, Link(field, f"{BLOBS}.files")):
                yield f"{source}.{field} refers to blob {digest}, which is not there"


def _missing(database: Database, source: str, link: Link) -> Iterator[Any]:
    """Yield the values of a link that lead nowhere; the server compares, and a list of any length may come back."""
    there = {
        "from": link.to,
        "let": {"wanted": "$_id"},
        "pipeline": [{"$match": {"$expr": {"$eq": [f"${link.by}", "$$wanted"]}}}, {"$project": {KEY: 1}}],
        "as": "there",
    }
    stages: list[dict[str, Any]] = [
        {"$project": {"wanted": f"${link.field}"}},
        {"$unwind": "$wanted"},  # leaves out what is null or not given
        {"$group": {KEY: "$wanted"}},
        {"$lookup": there},
        {"$match": {"there": {"$size": 0}}},
        {"$sort": {KEY: 1}},
    ]
    return (item[KEY] for item in database.db[source].aggregate(stages, allowDiskUse=True))


def _contents(database: Database) -> Iterator[str]:
    for document in database.configurations.find({}, {"atoms": 1}):
        if atoms_codec.content_hash(atoms_codec.from_document(document["atoms"])) != document[KEY]:
            yield f"configuration '{document[KEY]}' is not what its hash says"
    for file in database.db[f"{BLOBS}.files"].find({}, {KEY: 1}):
        try:
            blobs.get(database, file[KEY])
        except DatabaseError as error:
            yield error.message
        except Exception as error:
            yield f"blob {file[KEY]} can't be read: {error}"
