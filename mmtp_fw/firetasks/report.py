"""The numbers that sum a campaign up; the pages are made from the same facts by `mmtp_fw.report`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from pymongo.client_session import ClientSession

from mmtp_fw.database import Database, store
from mmtp_fw.firetasks.base import Context
from mmtp_fw.firetasks.potentials import load_potential
from mmtp_fw.loop.facts import ACCEPTED, FAILED
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
        return summary

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


def summarize(database: Database, campaign_id: str) -> dict[str, Any]:
    """Return the summary of a campaign from its finished actions.

    Returns
    -------
    dict
        magnetization_mae_muB_per_atom and pressure_mae_GPa (None where nothing can be compared), the same for
        held-out volumes only, labels_accepted, labels_rejected, labels_failed, scf_runs, md_steps,
        wall_seconds (from the first planned action to the last finished one).
    """
    actions = list(database.actions.find({"campaign": campaign_id}))
    results = [(action, action["result"]) for action in actions if action.get("result") is not None]
    labels = [result for action, result in results if action["kind"] == "label"]
    outcomes = [label["outcome"] for label in labels]
    properties = [(action["params"], result) for action, result in results if action["kind"] == "property"]
    settings = database.campaigns.find_one({"_id": campaign_id}, {"settings.system": 1})["settings"]
    held_out = settings["system"]["held_out_lattice_parameters_A"]
    started = min((action["created"] for action in actions), default=None)
    ended = max((action["finished"] for action, _ in results if action.get("finished")), default=None)
    return {
        **_errors(properties, None, ""),
        **_errors(properties, held_out, "held_out_"),
        "labels_accepted": outcomes.count(ACCEPTED),
        "labels_rejected": outcomes.count("rejected"),
        "labels_failed": outcomes.count(FAILED),
        "scf_runs": sum(label.get("scf_runs", 0) for label in labels),
        "md_steps": sum(result.get("md_steps", 0) for _, result in results),
        "wall_seconds": (ended - started).total_seconds() if started and ended else 0.0,
    }


def _errors(
    properties: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]],
    volumes: list[float] | None,
    prefix: str,
) -> dict[str, float | None]:
    """Return mean absolute errors of the potential against the reference at the volumes both have."""
    found: dict[str, dict[float, Mapping[str, Any]]] = {"mmtp": {}, "reference": {}}
    for params, result in properties:
        if result["outcome"] == "done":
            found[params["source"]][params["lattice_parameter_A"]] = result
    wanted = set(found["mmtp"] if volumes is None else volumes)
    shared = sorted(set(found["mmtp"]) & set(found["reference"]) & wanted)
    names = {
        "magnetization_muB_per_atom": "magnetization_mae_muB_per_atom",
        "pressure_GPa": "pressure_mae_GPa",
    }
    errors: dict[str, float | None] = {}
    for quantity, name in names.items():
        differences = [abs(found["mmtp"][a][quantity] - found["reference"][a][quantity]) for a in shared]
        errors[prefix + name] = float(np.mean(differences)) if differences else None
    return errors
