"""The end of a campaign is taken back, and failures of its actions; what was written about them is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.client_session import ClientSession

from mmtp_fw.database import Database, environment
from mmtp_fw.database.claims import revoke
from mmtp_fw.labelling import FAILED
from mmtp_fw.loop.facts import Kind


def reopen(
    database: Database,
    campaign_id: str,
    keys: Sequence[str] = (),
    why: str = "",
    update: Mapping[str, Any] | None = None,
    where: Mapping[str, Any] | None = None,
) -> bool:
    """Take back the end of a campaign, and the results of some of its failed actions, all at once or not at all.

    Parameters
    ----------
    database : Database
    campaign_id : str
        The campaign's name.
    keys : sequence of str
        Of failed actions.
    why : str
        Kept with what is taken back.
    update : mapping, optional
        What else changes in the campaign's document.
    where : mapping, optional
        Conditions on that document.

    Returns
    -------
    bool
        False where the conditions are not fulfilled; then nothing was written.
    """
    given = dict(update or {})
    # With the number, what ended rounds came to is no longer believed.
    ended = {"finished": None, "stop": None, "closed": None}
    change = given | {"$set": {**given.get("$set", {}), **ended}, "$inc": {"reopened": 1}}

    def write(session: ClientSession) -> bool:
        done = database.campaigns.update_one({"_id": campaign_id, **(where or {})}, change, session=session)
        if done.matched_count == 0:
            return False
        failed = {"_id": {"$in": list(keys)}, "result.outcome": FAILED}
        report = {"campaign": campaign_id, "kind": Kind.REPORT.value, "withdrawn": None}
        for action in database.actions.find(report, {"_id": 1}, session=session):
            revoke(database, action["_id"], session)
        database.actions.update_many({"$or": [failed, report]}, _taken_back(why), session=session)
        return True

    with database.launchpad.connection.start_session() as session:
        done = bool(session.with_transaction(write))
    if done:  # those that fizzled are looked at again: they end in order once the action has succeeded
        database.launchpad.fireworks.update_many({"spec.action": {"$in": list(keys)}}, {"$unset": {"settled": ""}})
    return done


def _taken_back(why: str) -> list[dict[str, Any]]:
    """Return the update that withdraws an action, its result and errors kept in its list ``reopened``."""
    before: dict[str, Any] = {"result": "$result", "finished": "$finished", "errors": "$errors", "when": "$$NOW"}
    before |= {"user": {"$literal": environment.user()}, "why": {"$literal": why}}
    earlier = {"$ifNull": ["$reopened", []]}
    nothing = {"$and": [{"$eq": ["$result", None]}, {"$eq": ["$errors", []]}]}
    kept = {"$cond": [nothing, earlier, {"$concatArrays": [earlier, [before]]}]}
    return [
        {"$set": {"reopened": kept, "withdrawn": "$$NOW"}},
        {"$set": {"result": None, "finished": None, "errors": []}},
    ]
