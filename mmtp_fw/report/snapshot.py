"""Where a campaign stands right now, in a few quick queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mmtp_fw.database import Database, queries, views
from mmtp_fw.labelling import LABEL_STATES, OPEN
from mmtp_fw.loop.conclusion import conclusion
from mmtp_fw.loop.facts import Facts, Kind
from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.planner import Position, locate
from mmtp_fw.loop.stop import EXPLANATIONS
from mmtp_fw.report.waiting import waiting
from mmtp_fw.statepoints import StatePoint

_WAITING = {"kind": 1, "category": 1, "params": 1, "not_here": 1}
"""What is shown of actions that aren't finished."""


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
        campaign, started, finished, iteration, phase, stop (reason or None), explanation, headline (the verdict of a
        finished campaign, see `mmtp_fw.loop.conclusion`, or None), due (open actions by kind), running (what is worked
        on, by whom, since when), labels (accepted, rejected, failed, open, budget; refused: those of the rejected that
        cost nothing; imported: those of the accepted that were there before), scf_runs, md_steps, selected (by
        iteration), potential (newest version, with its errors),
        failures (failed attempts) and their newest message, not_here (what a worker gave back because its machine
        lacks a program), held (paused or cancelled: by whom, when, why; or None), waiting (see
        `mmtp_fw.report.waiting`).

    Raises
    ------
    InputError
        There is no such campaign.
    """
    document = queries.campaign(database, campaign_id, "created", "finished", "held")
    facts = gather(database, campaign_id)
    position = locate(facts)
    unfinished = list(database.actions.find({"_id": {"$in": sorted(facts.planned - set(facts.finished))}}, _WAITING))
    finished = facts.finished.values()
    due = Counter(action["kind"] for action in unfinished)
    failures = _failures(database, campaign_id)
    running = _running(database, campaign_id, unfinished)
    held = document.get("held")
    return {
        "campaign": campaign_id,
        "started": document["created"],
        "finished": document.get("finished"),
        "iteration": position.iteration,
        "phase": position.phase.value,
        "complete": position.finished,
        "stop": position.stop.value if position.stop else None,
        "explanation": EXPLANATIONS[position.stop] if position.stop else None,
        "headline": _headline(database, campaign_id, position),
        "due": dict(due),
        "running": running,
        "held": held,
        "waiting": waiting(
            database, campaign_id, held, unfinished, [item["action"] for item in running], facts.awaited
        ),
        "labels": _labels(facts, due["label"]),
        "scf_runs": sum(fact.scf_runs for fact in finished),
        "md_steps": sum(fact.md_steps for fact in finished),
        "selected": {fact.iteration: len(fact.configurations) for fact in facts.of_kind(Kind.SELECT)},
        "potential": _potential(database, position.potential),
        "failures": len(failures),
        "newest_failure": failures[-1] if failures else None,
        "not_here": _given_back(unfinished),
    }


def _given_back(unfinished: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line on every action that a worker's machine could not do."""
    given_back = [action for action in unfinished if action.get("not_here")]
    return [f"{one['_id']}: {one['not_here']['reason']} ({one['not_here']['owner']})" for one in given_back]


def _labels(facts: Facts, unfinished: int) -> dict[str, int]:
    """Return how many labels ended how, and what may be spent on them."""
    found = list(facts.of_kind(Kind.LABEL))
    outcomes = Counter(fact.outcome for fact in found)
    numbers = {name: outcomes.get(name, 0) for name in LABEL_STATES}
    refused = sum(fact.refused for fact in found)
    imported = sum(fact.imported for fact in found)
    free = {"refused": refused, "imported": imported}
    return numbers | {OPEN: unfinished, "budget": facts.campaign.budget.max_labels} | free


def _headline(database: Database, campaign_id: str, position: Position) -> str | None:
    return conclusion(database, campaign_id)["headline"] if position.finished else None


def _running(database: Database, campaign_id: str, actions: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    unfinished = {action["_id"]: action for action in actions}
    now = datetime.now(UTC).replace(tzinfo=None)
    found = []
    for claim in views.running(database, campaign_id):
        action = unfinished.get(claim["key"])
        since = claim.get("taken")
        if action is not None:
            found.append(
                {
                    "action": claim["key"],
                    "kind": action["kind"],
                    "subject": _subject(action),
                    "owner": claim["owner"],
                    "seconds": max(0.0, (now - since.replace(tzinfo=None)).total_seconds()) if since else None,
                }
            )
    return found


def _subject(action: Mapping[str, Any]) -> str:
    params = action.get("params", {})
    if "lattice_parameter_A" in params:
        source = f" {params['source']}" if "source" in params else ""
        point = StatePoint.of(params)
        return f"{point.phase}{' ' if point.phase else ''}a = {point.lattice_parameter_A:g} Å{source}"
    return str(params.get("configuration", ""))[:10]


def _potential(database: Database, version: int | None) -> dict[str, Any] | None:
    if version is None:
        return None
    fields = {"errors": 1, "validation_errors": 1, "n_parameters": 1, "iteration": 1}
    document = database.potentials.find_one({"_id": version}, fields)
    if document is None:
        return None
    return {"version": version, **{name: document.get(name) for name in fields}}


def _failures(database: Database, campaign_id: str) -> list[str]:
    """Return a line on every failed attempt."""
    query = {"campaign": campaign_id, "errors.0": {"$exists": True}}
    actions = database.actions.find(query, {"errors": 1}).sort("_id", 1)
    return [f"{row['action']}: {row['message']}" for row in views.failures(actions)]
