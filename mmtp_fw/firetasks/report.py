"""The end of a campaign: its summary is stored; the pages are made from the same facts by `mmtp_fw.report`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.client_session import ClientSession

from mmtp_fw.database import store
from mmtp_fw.database.summary import summarize
from mmtp_fw.firetasks.base import Context
from mmtp_fw.firetasks.potentials import load_potential
from mmtp_fw.loop.conclusion import conclusion
from mmtp_fw.properties import ensemble_spread
from mmtp_fw.statepoints import StatePoint


class ReportWork:
    """`Work` of the report action."""

    def compute(self, context: Context) -> dict[str, Any]:
        """Collect the summary."""
        params = context.action.params
        summary = summarize(context.database, context.campaign.name)
        summary["stop"], summary["potential"] = params["stop"], params["potential"]
        summary["iterations"] = context.action.iteration + 1
        summary["ensemble"] = uncertainties(context)
        concluded = conclusion(context.database, context.campaign.name, params["stop"], summary["ensemble"])
        return summary | {name: concluded[name] for name in ("headline", "verdict", "volumes")}

    def store(self, context: Context, payload: dict[str, Any], session: ClientSession) -> Mapping[str, Any]:
        """Note the end of the campaign."""
        context.database.campaigns.update_one(
            {"_id": context.campaign.name, "finished": None},
            [{"$set": {"finished": "$$NOW", "stop": payload["stop"]}}],
            session=session,
        )
        return {"summary": payload}


def uncertainties(context: Context) -> list[dict[str, Any]]:
    """Return the ensemble's spread at every point of comparison, see `mmtp_fw.properties.ensemble_spread`.

    Of the members only those that passed their fit; `members_refused` says how many of those asked for did not, be it
    that they were refused or that their fit failed. Empty where none was asked for.
    """
    database, version = context.database, context.action.params["potential"]
    if version is None:
        return []
    own = {"campaign": context.campaign.name}
    made = list(database.potentials.find({**own, "member_of": version}, {"fit.member.refused": 1}).sort("_id", 1))
    asked = max(len(made), database.actions.count_documents({**own, "kind": "fit", "params.of": version}))
    if not asked:
        return []
    members = [one["_id"] for one in made if not one.get("fit", {}).get("member", {}).get("refused")]
    counted = {"members_refused": float(asked - len(members))}
    ensemble = [load_potential(database, member) for member in (version, *members)]
    averaged = {**own, "potential": version, "source": "mmtp", "trajectory": {"$ne": None}}
    spreads = []
    for document in database.properties.find(averaged, {"params": 1}):
        frames = store.frames_of(database, document["_id"])
        spread = ensemble_spread(ensemble, frames) if members else {"members": 0.0}
        spreads.append({**StatePoint.of(document["params"]).columns(), **counted, **spread})
    return sorted(spreads, key=StatePoint.of)
