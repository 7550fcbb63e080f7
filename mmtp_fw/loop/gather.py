"""From the database to the planner's facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmtp_fw.campaign import Campaign, stored_campaign
from mmtp_fw.database import Database, queries
from mmtp_fw.loop.facts import Action, Fact, Facts, Kind
from mmtp_fw.loop.fits import MEMBER


def campaign_settings(database: Database, campaign_id: str) -> Campaign:
    """Return the settings of a stored campaign, as they are now.

    Raises
    ------
    InputError
        The database knows no campaign of that name, or its settings are not understood here.
    """
    return stored_campaign(queries.campaign(database, campaign_id, "settings")["settings"])


def settings_of(database: Database, action: Action) -> Campaign:
    """Return the settings with which an action is done: those of its round, or of today where it belongs to none.

    Raises
    ------
    InputError
        See `campaign_settings`.
    """
    document = queries.campaign(database, action.key.split("/", 1)[0], "settings", "history")
    campaign = stored_campaign(document["settings"])
    if action.kind in (Kind.PROPERTY, Kind.REPORT) or action.params.get("role") == MEMBER:
        return campaign
    return Facts(campaign, earlier=earlier_settings(document)).at(action.iteration)


def earlier_settings(document: Mapping[str, Any]) -> tuple[tuple[int, Campaign], ...]:
    """Return what the settings of a campaign's document were before, for `Facts`."""
    changes = document.get("history", ())
    return tuple((int(change["from_iteration"]), stored_campaign(change["before"])) for change in changes)


def gather(database: Database, campaign_id: str) -> Facts:
    """Read everything that decides what comes next in a campaign.

    Parameters
    ----------
    database : Database
        An open database.
    campaign_id : str
        The campaign's name.

    Returns
    -------
    Facts
        A snapshot; facts written afterwards are not in it.
    """
    finished: dict[str, Fact] = {}
    planned: set[str] = set()
    potentials: dict[str, int] = {}
    wanted = {"kind": 1, "iteration": 1, "result": 1, "params.potential": 1, "params.of": 1}
    for document in database.actions.find({"campaign": campaign_id, "withdrawn": None}, wanted):
        key, params = document["_id"], document.get("params", {})
        planned.add(key)
        about = params.get("of") if document["kind"] == Kind.FIT else params.get("potential")
        if about is not None and document["kind"] in (Kind.FIT, Kind.PROPERTY):
            potentials[key] = about
        if document.get("result") is not None:
            finished[key] = Fact.from_result(key, document["kind"], document["iteration"], document["result"])
    stored = queries.campaign(database, campaign_id, "settings", "history", "imports.digest")
    settings, earlier = stored_campaign(stored["settings"]), earlier_settings(stored)
    return Facts(settings, finished, frozenset(planned), potentials, earlier, awaited(settings, stored))


def awaited(campaign: Campaign, document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the files of ``start_from.labels`` of which a campaign's document has no import yet."""
    there = {one["digest"] for one in document.get("imports", ())}
    return tuple(one.file for one in campaign.start_from.labels if one.digest not in there)
