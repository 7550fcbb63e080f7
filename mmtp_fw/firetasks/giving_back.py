"""Work that this worker gives back, for another to do: no attempt is counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from pymongo.errors import PyMongoError

from mmtp_fw import log
from mmtp_fw.database import Database, workers
from mmtp_fw.database.process import owner_name
from mmtp_fw.firetasks.faults import Fault, Kind
from mmtp_fw.loop.facts import Action
from mmtp_fw.workflows.health import HEALTH
from mmtp_fw.workflows.notify import notify

_LOG = log.logger(__name__)

NOT_HERE_SECONDS = 60.0
"""Time that a worker holds what it can't do before it gives it back."""
MOST_FAULTS = 20
"""Faults of machines that are kept of an action, the newest."""
MOST_LEFT = 3
"""How often the last attempt at an action is left to others, in case that they are long at something else."""


def hold(seconds: float, should_stop: Callable[[], bool]) -> None:
    """Keep the action for a while: others get the next ones, and nobody takes this one in a loop."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not should_stop():
        time.sleep(0.1)


def note_not_here(database: Database, action: Action, reason: str, should_stop: Callable[[], bool]) -> None:
    """Say that this machine lacks what an action takes, and hold it for a while."""
    _LOG.error("%s is given back by %s: %s", action.key, owner_name(), reason)
    database.actions.update_one({"_id": action.key}, {"$set": {"not_here": {"owner": owner_name(), "reason": reason}}})
    hold(NOT_HERE_SECONDS, should_stop)


def note_fault(
    database: Database, action: Action, fault: Fault, error: Exception, should_stop: Callable[[], bool]
) -> None:
    """Say that a machine failed, not the action.

    Raises
    ------
    Exception
        `error`, where the database is still away: nothing can be noted.
    """
    _LOG.error("%s failed, and counts as no attempt: %s", fault.kind.value, fault.text)
    note = {"owner": owner_name(), "when": datetime.now(UTC), "kind": fault.kind.value, "text": fault.text}
    push = {"$push": {"machine_faults": {"$each": [note], "$slice": -MOST_FAULTS}}}
    try:
        database.actions.update_one({"_id": action.key}, push)
    except PyMongoError:
        raise error from None
    if fault.kind is Kind.MACHINE and HEALTH.met(action.category.value, fault.text):
        _LOG.error("this worker takes no more %s work: %s", action.category.value, fault.text)
        told = f"{owner_name()} takes no more {action.category.value} work: {fault.text}"
        notify(database, action.key.split("/", 1)[0], "fault", told)
        if not HEALTH.heeded:
            hold(NOT_HERE_SECONDS, should_stop)


def leave_to_another(database: Database, action: Action, most: int, should_stop: Callable[[], bool]) -> bool:
    """Return whether the last attempt is another worker's, for all before it were this one's, or this machine's.

    Parameters
    ----------
    database : Database
    action : Action
    most : int
        Attempts that an action has.
    should_stop : callable
    """
    document = database.actions.find_one({"_id": action.key}, {"errors.owner": 1, "left_to_another": 1}) or {}
    owners = [error["owner"] for error in document.get("errors", ())]
    if not owners or len(owners) != most - 1 or document.get("left_to_another", 0) >= MOST_LEFT:
        return False
    if not _others(database, action.category.value, set(owners)):
        return False
    database.actions.update_one({"_id": action.key}, {"$inc": {"left_to_another": 1}})
    _LOG.warning("the last attempt is left to another worker: those before it were all on %s", _host(owner_name()))
    hold(NOT_HERE_SECONDS, should_stop)
    return True


def _others(database: Database, category: str, owners: set[str]) -> list[str]:
    """Return the workers that would judge otherwise than this one, whose machine or self all of `owners` are."""
    mine = owner_name()
    others = [worker["_id"] for worker in workers.alive(database, category) if worker["_id"] != mine]
    if owners == {mine}:
        return others
    same = {_host(owner) for owner in owners} == {_host(mine)}
    return [other for other in others if same and _host(other) != _host(mine)]


def _host(owner: str) -> str:
    return owner.rpartition(":")[0]
