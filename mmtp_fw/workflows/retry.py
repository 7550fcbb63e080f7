"""Failed actions are tried again where that puts nothing in doubt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmtp_fw.database import Database
from mmtp_fw.errors import InputError
from mmtp_fw.labelling import FAILED
from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.reopening import obstacle
from mmtp_fw.workflows.reopen import reopen
from mmtp_fw.workflows.submit import advance


@dataclass(frozen=True)
class Retried:
    """What became of failed actions.

    Attributes
    ----------
    reopened : tuple of str
        Keys of those that are tried again.
    refused : mapping of str to str
        Why the others are not, by key.
    """

    reopened: tuple[str, ...]
    refused: Mapping[str, str]


def retry(
    database: Database, key: str | None = None, campaign_id: str | None = None, reason: str | None = None
) -> Retried:
    """Take failed actions up again, with all their attempts; every condition that is given must hold.

    Their results and errors move to the list ``reopened`` of the action. The planner has them done as soon as they are
    due; the campaign's report is made anew at its end.

    Parameters
    ----------
    database : Database
        An open database.
    key : str, optional
        Of one action.
    campaign_id : str, optional
        All that failed in a campaign.
    reason : str, optional
        All whose reason to fail contains this, in whatever case.

    Raises
    ------
    InputError
        No condition was given, or no failed action fulfils them.
    """
    found = _failed(database, key, campaign_id, reason)
    reopened: list[str] = []
    refused: dict[str, str] = {}
    for name in dict.fromkeys(action["campaign"] for action in found):
        facts = gather(database, name)
        chosen = []
        for action in found:
            if action["campaign"] == name and action["_id"] in facts.finished:
                against = obstacle(facts, action["_id"], action["params"].get("role"))
                if against is None:
                    chosen.append(action["_id"])
                else:
                    refused[action["_id"]] = against
        if chosen:
            reopen(database, name, chosen, "retried")
            advance(database, name)
            reopened += chosen
    return Retried(tuple(reopened), refused)


def _failed(database: Database, key: str | None, campaign_id: str | None, reason: str | None) -> list[dict[str, Any]]:
    query: dict[str, Any] = {"result.outcome": FAILED}
    query |= {"_id": key} if key is not None else {}
    query |= {"campaign": campaign_id} if campaign_id is not None else {}
    query |= {"result.reason": {"$regex": re.escape(reason), "$options": "i"}} if reason is not None else {}
    if len(query) == 1:
        raise InputError("nothing says what is to be tried again", "give a KEY, --campaign NAME or --reason TEXT")
    wanted = {"campaign": 1, "params": 1, "iteration": 1}
    found = list(database.actions.find(query, wanted).sort([("campaign", 1), ("iteration", 1), ("_id", 1)]))
    if not found:
        raise _nothing(database, key)
    return found


def _nothing(database: Database, key: str | None) -> InputError:
    """Return in words why there is nothing to be tried again."""
    if key is None:
        return InputError("no action has failed under these conditions", "`mmtp status` tells what has")
    action = database.actions.find_one({"_id": key}, {"result.outcome": 1})
    if action is None:
        return InputError(f"no action '{key}' in this database", "`mmtp retry --campaign NAME` takes all that failed")
    outcome = (action.get("result") or {}).get("outcome")
    if outcome is None:
        return InputError(f"{key} has not failed: it is still to be done", "`mmtp status` tells who is at it")
    return InputError(f"{key} has not failed: {outcome}", "a verdict stays; `mmtp show configuration` has its reason")
