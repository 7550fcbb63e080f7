"""Pausing, cancelling and resuming a campaign: what runs ends by itself, nothing new starts, nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import UpdateOne

from mmtp_fw import log
from mmtp_fw.database import Database, environment, queries
from mmtp_fw.errors import InputError
from mmtp_fw.loop.planner import Position
from mmtp_fw.loop.reconcile import NOT_OURS, live_claims
from mmtp_fw.workflows.submit import add_workflows, advance, stored_action

_LOG = log.logger(__name__)

_PARKED = {"paused": "PAUSED", "cancelled": "DEFUSED"}
"""What FireWorks calls Fireworks that nobody may pull, by the state of the campaign."""
_COMING = ["READY", "WAITING", "RESERVED", "RUNNING", *sorted(NOT_OURS)]
"""States of Fireworks that need no other beside them."""


def hold(database: Database, campaign_id: str, state: str, why: str = "") -> int:
    """Let nothing new of a campaign start until it is resumed.

    Its waiting Fireworks are set aside; what a worker has already pulled, or a queue starts later, sees the campaign's
    state and ends at once. Tasks that compute end by themselves, and their results are kept.

    Parameters
    ----------
    database : Database
        An open database.
    campaign_id : str
        The campaign's name.
    state : str
        "paused": its workers wait; "cancelled": they end.
    why : str
        For those who wonder.

    Returns
    -------
    int
        Number of tasks that still compute.

    Raises
    ------
    InputError
        There is no such campaign, it is finished, or it is in that state already.
    """
    document = queries.campaign(database, campaign_id, "finished", "held")
    if document.get("finished") is not None:
        raise InputError(f"campaign '{campaign_id}' is finished", "`mmtp set` and `mmtp retry` go on with it")
    before = document.get("held") or {}
    if before.get("state") == state:
        raise InputError(f"campaign '{campaign_id}' is {queries.held_words(before)}", "`mmtp resume` goes on with it")
    waiting = {"spec.campaign": campaign_id, "state": "READY"}
    numbers = [firework["fw_id"] for firework in database.launchpad.fireworks.find(waiting, {"fw_id": 1, "_id": 0})]
    numbers = sorted({*numbers, *before.get("fireworks", ())})
    held = {"state": state, "when": datetime.now(UTC), "user": environment.user(), "why": why, "fireworks": numbers}
    # First the campaign's state: from then on no task begins, whatever becomes of us.
    database.campaigns.update_one({"_id": campaign_id}, {"$set": {"held": held}})
    _move(database, numbers, ["READY", *_PARKED.values()], _PARKED[state])
    _LOG.warning("%s by %s", state, held["user"], extra={"campaign": campaign_id})
    return sum(key.startswith(f"{campaign_id}/") for key in live_claims(database))


def resume(database: Database, campaign_id: str) -> Position:
    """Go on with a campaign that was paused or cancelled; return where it stands.

    Raises
    ------
    InputError
        There is no such campaign, or it is neither.
    """
    held = queries.campaign(database, campaign_id, "held").get("held")
    if held is None:
        raise InputError(f"campaign '{campaign_id}' is neither paused nor cancelled", "`mmtp status` tells how it is")
    _move(database, held["fireworks"], list(_PARKED.values()), "READY")
    database.campaigns.update_one({"_id": campaign_id}, {"$set": {"held": None}})
    position = advance(database, campaign_id)
    _add_missing(database, campaign_id)
    _LOG.warning("resumed by %s", environment.user(), extra={"campaign": campaign_id})
    return position


def _add_missing(database: Database, campaign_id: str) -> None:
    """Add workflows of what was given back in the meantime: failed attempts, interrupted work, refused starts."""
    todo = database.actions.find(queries.unfinished(campaign_id), {"_id": 1})
    unfinished = {action["_id"] for action in todo}
    coming = {"spec.campaign": campaign_id, "state": {"$in": _COMING}}
    there = set(database.launchpad.fireworks.distinct("spec.action", coming))
    missing = sorted(unfinished - there - set(live_claims(database)))
    add_workflows(database, campaign_id, [stored_action(database, key) for key in missing])


def _move(database: Database, numbers: Sequence[int], states: Sequence[str], to: str) -> None:
    """Set the state of Fireworks that are in one of some states, and that of their workflows, all of one Firework."""
    mine: dict[str, Any] = {"fw_id": {"$in": list(numbers)}}
    pad = database.launchpad
    pad.fireworks.update_many(mine | {"state": {"$in": list(states)}}, {"$set": {"state": to}})
    moved = [found["fw_id"] for found in pad.fireworks.find(mine | {"state": to}, {"fw_id": 1, "_id": 0})]
    changes = [UpdateOne({"nodes": n}, {"$set": {"state": to, f"fw_states.{n}": to}}) for n in moved]
    if changes:
        pad.workflows.bulk_write(changes, ordered=False)
