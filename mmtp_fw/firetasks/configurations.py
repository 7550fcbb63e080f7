"""Structures that a task has made, as configurations in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw.database import store
from mmtp_fw.firetasks.base import Context


def store_configurations(context: Context, made: Sequence[Atoms], session: ClientSession) -> Mapping[str, Any]:
    """Store each structure once; return the result of the action that made them.

    Parameters
    ----------
    context : Context
    made : sequence of Atoms
        Their `info` becomes part of the origin.
    session : ClientSession
        Of the claim's transaction.
    """
    origin = {"campaign": context.campaign.name, "action": context.action.key}
    hashes = [
        store.add_configuration(context.database, atoms, origin=origin | atoms.info, session=session) for atoms in made
    ]
    return {"configurations": list(dict.fromkeys(hashes))}
