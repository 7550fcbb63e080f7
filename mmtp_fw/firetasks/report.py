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


def uncertainties(context: Context) -> list[dict[str, float]]:
    """Return the ensemble's spread at every lattice parameter, see `mmtp_fw.properties.ensemble_spread`.

    Empty without a second member.
    """
    database, version = context.database, context.action.params["potential"]
    found = database.potentials.find({"campaign": context.campaign.name, "member_of": version}, {"_id": 1})
    versions = [version, *sorted(document["_id"] for document in found)]
    if version is None or len(versions) < 2:
        return []
    ensemble = [load_potential(database, member) for member in versions]
    own = {"campaign": context.campaign.name, "potential": version, "source": "mmtp", "trajectory": {"$ne": None}}
    spreads = []
    for document in database.properties.find(own, {"params": 1}):
        spread = ensemble_spread(ensemble, store.frames_of(database, document["_id"]))
        spreads.append({"lattice_parameter_A": document["params"]["lattice_parameter_A"], **spread})
    return sorted(spreads, key=lambda row: row["lattice_parameter_A"])
