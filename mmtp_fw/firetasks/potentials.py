"""Stored potentials and active sets as objects."""

from __future__ import annotations

from mmtp_fw.database import Database, blobs
from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential
from mmtp_fw.selection import ActiveSet


def load_potential(database: Database, version: int) -> Potential:
    """Return a stored potential.

    Raises
    ------
    InputError
        There is no such version.
    """
    document = database.potentials.find_one({"_id": version}, {"text": 1, "species": 1})
    if document is None:
        raise InputError(f"no potential {version} in this database", "`mmtp status` and `mmtp show campaign` name them")
    return Potential.loads(document["text"], document["species"] or None)


def load_active_set(database: Database, version: int) -> ActiveSet:
    """Return the active set of a stored potential.

    Raises
    ------
    InputError
        There is no such version, or it was stored without an active set.
    """
    document = database.potentials.find_one({"_id": version}, {"active_set": 1})
    if document is None or document["active_set"] is None:
        raise InputError(f"no active set of a potential {version} in this database")
    return ActiveSet.from_bytes(blobs.get(database, document["active_set"]))
