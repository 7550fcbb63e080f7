"""From the database to the planner's facts."""

from __future__ import annotations

from mmtp_fw.campaign import Campaign, stored_campaign
from mmtp_fw.database import Database, queries
from mmtp_fw.loop.facts import Fact, Facts, Kind


def campaign_settings(database: Database, campaign_id: str) -> Campaign:
    """Return the settings of a stored campaign.

    Raises
    ------
    InputError
        The database knows no campaign of that name, or its settings are not understood here.
    """
    return stored_campaign(queries.campaign(database, campaign_id, "settings")["settings"])


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
    return Facts(campaign_settings(database, campaign_id), finished, frozenset(planned), potentials)
