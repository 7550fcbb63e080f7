"""Where a campaign stands right now, in a few quick queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mmtp_fw.database import Database
from mmtp_fw.errors import InputError
from mmtp_fw.loop.facts import Fact, Facts
from mmtp_fw.loop.gather import campaign_settings
from mmtp_fw.loop.planner import locate
from mmtp_fw.loop.stop import EXPLANATIONS

LABEL_STATES = ("accepted", "rejected", "failed")


def snapshot(database: Database, campaign_id: str) -> dict[str, Any]:
    """Return where a campaign stands.

    Parameters
    ----------
    database : Database
    campaign_id : str
        The campaign's name.

    Returns
    -------
    dict
        campaign, started, finished, iteration, phase, stop (reason or None), explanation, due (open actions
        by kind), running (what is worked on, by whom, since when), labels (accepted, rejected, failed, open,
        budget), scf_runs, md_steps, selected (by iteration), potential (newest version, with its errors),
        failures (failed attempts) and their newest message, not_here (what a worker gave back because its machine
        lacks a program).

    Raises
    ------
    InputError
        There is no such campaign.
    """
    document = database.campaigns.find_one({"_id": campaign_id}, {"settings": 0})
    if document is None:
        raise InputError(f"no campaign '{campaign_id}' in this database", "`mmtp status` lists the campaigns")
    campaign = campaign_settings(database, campaign_id)
    wanted = {"kind": 1, "iteration": 1, "result": 1, "params": 1, "errors": 1, "not_here": 1}
    actions = list(database.actions.find({"campaign": campaign_id}, wanted))
    finished = {
        action["_id"]: Fact.from_result(action["_id"], action["kind"], action["iteration"], action["result"])
        for action in actions
        if action.get("result") is not None
    }
    position = locate(Facts(campaign, finished, frozenset(action["_id"] for action in actions)))
    facts = finished.values()
    outcomes = Counter(fact.outcome for fact in facts if fact.kind == "label")
    labels = {name: outcomes.get(name, 0) for name in LABEL_STATES}
    unfinished = [action for action in actions if action["_id"] not in finished]
    labels["open"] = sum(action["kind"] == "label" for action in unfinished)
    failures = [(action["_id"], error) for action in actions for error in action.get("errors", ())]
    return {
        "campaign": campaign_id,
        "started": document["created"],
        "finished": document.get("finished"),
        "iteration": position.iteration,
        "phase": position.phase.value,
        "complete": position.finished,
        "stop": position.stop.value if position.stop else None,
        "explanation": EXPLANATIONS[position.stop] if position.stop else None,
        "due": dict(Counter(action["kind"] for action in unfinished)),
        "running": _running(database, {action["_id"]: action for action in unfinished}),
        "labels": labels | {"budget": campaign.budget.max_labels},
        "scf_runs": sum(fact.scf_runs for fact in facts),
        "md_steps": sum(fact.md_steps for fact in facts),
        "selected": {fact.iteration: len(fact.configurations) for fact in facts if fact.kind == "select"},
        "potential": _potential(database, position.potential),
        "failures": len(failures),
        "newest_failure": _newest(failures),
        "not_here": [
            f"{action['_id']}: {action['not_here']['reason']} ({action['not_here']['owner']})"
            for action in unfinished
            if action.get("not_here")
        ],
    }


def list_campaigns(database: Database) -> list[dict[str, Any]]:
    """Return a line on every campaign, the newest first."""
    lines = []
    for document in database.campaigns.find({}, {"settings": 0}).sort("created", -1):
        query = {"campaign": document["_id"]}
        lines.append(
            {
                "campaign": document["_id"],
                "created": document["created"],
                "finished": document.get("finished"),
                "stop": document.get("stop"),
                "actions": database.actions.count_documents(query),
                "open": database.actions.count_documents(query | {"finished": None}),
            }
        )
    return lines


def _running(database: Database, unfinished: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    query = {"_id": {"$in": list(unfinished)}, "$expr": {"$gt": ["$lease_until", "$$NOW"]}}
    now = datetime.now(UTC).replace(tzinfo=None)
    found = []
    for claim in database.claims.find(query):
        action = unfinished[claim["_id"]]
        since = claim.get("taken")
        found.append(
            {
                "action": claim["_id"],
                "kind": action["kind"],
                "subject": _subject(action),
                "owner": claim["owner"],
                "seconds": max(0.0, (now - since.replace(tzinfo=None)).total_seconds()) if since else None,
            }
        )
    return sorted(found, key=lambda item: item["action"])


def _subject(action: Mapping[str, Any]) -> str:
    params = action.get("params", {})
    if "lattice_parameter_A" in params:
        source = f" {params['source']}" if "source" in params else ""
        return f"a = {params['lattice_parameter_A']:g} Å{source}"
    return str(params.get("configuration", ""))[:10]


def _potential(database: Database, version: int | None) -> dict[str, Any] | None:
    if version is None:
        return None
    fields = {"errors": 1, "validation_errors": 1, "n_parameters": 1, "iteration": 1}
    document = database.potentials.find_one({"_id": version}, fields)
    if document is None:
        return None
    return {"version": version, **{name: document.get(name) for name in fields}}


def _newest(failures: Iterable[tuple[str, Mapping[str, Any]]]) -> str | None:
    newest = None
    for key, error in failures:
        lines = str(error.get("text", "")).strip().splitlines()
        newest = f"{key}: {lines[-1] if lines else 'no message'}"
    return newest
