"""Rows of campaigns and their rounds, and what is worked on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from mmtp_fw.database.collections import DECLARED
from mmtp_fw.labelling import ACCEPTED, FAILED, OPEN, REJECTED

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

Row = dict[str, Any]


class RoundRow(TypedDict):
    """A round of a campaign: labels by verdict, MD runs by state, and what they gave."""

    iteration: int
    generated: int
    selected: int
    accepted: int
    rejected: int
    failed: int
    open: int
    scf_runs: int
    md_runs: int
    md_completed: int
    md_steps: int
    md_states: dict[str, int]
    candidates: int
    max_grade: float | None
    potential: int | None


class CampaignRow(TypedDict):
    """A campaign in a list of them; `actions` and `open` are numbers, `held` is "paused" or "cancelled"."""

    campaign: str
    created: datetime
    finished: datetime | None
    stop: str | None
    held: str | None
    actions: int
    open: int


ACTION = dict.fromkeys(("kind", "iteration", "created", "finished", "params"), 1) | {
    f"result.{name}": 1
    for name in ("outcome", "scf_runs", "md_steps", "candidates", "configurations", "potential", "fit.loss")
}
"""What rounds and counts need of an action, and what it was asked."""


def rounds(database: Database, campaign: str, actions: Iterable[Mapping[str, Any]]) -> list[RoundRow]:
    """Return a row for every round of a campaign that was to learn something, from its actions; see `ACTION`."""
    rows: dict[int, RoundRow] = {}
    fits: dict[int, list[tuple[float, int]]] = {}
    for action in actions:
        if action["kind"] in ("property", "report"):
            continue
        number = int(action["iteration"])
        row = rows.setdefault(number, _empty_round(number))
        kind, result = action["kind"], action.get("result") or {}
        row["scf_runs"] += result.get("scf_runs", 0)
        if kind == "pretrain":
            row["generated"] += len(result.get("configurations", ()))
        elif kind == "select":
            row["selected"] += len(result.get("configurations", ()))
        elif kind == "label":
            _count_label(row, result.get("outcome", OPEN))
        elif kind == "md":
            row["md_runs"] += 1
            row["md_completed"] += result.get("outcome") == "completed"
            row["md_steps"] += result.get("md_steps", 0)
            row["candidates"] += result.get("candidates", 0)
        elif kind == "fit" and result.get("potential") is not None and action["params"].get("role") != "member":
            loss = float(result.get("fit", {}).get("loss", float("inf")))
            fits.setdefault(number, []).append((loss, result["potential"]))
    for number, made in fits.items():
        rows[number]["potential"] = min(made, key=lambda fit: fit[0])[1]  # as the planner does
    _add_runs(database, campaign, rows)
    return [rows[number] for number in sorted(rows)]


def _empty_round(number: int) -> RoundRow:
    return {
        "iteration": number,
        "generated": 0,
        "selected": 0,
        ACCEPTED: 0,
        REJECTED: 0,
        FAILED: 0,
        OPEN: 0,
        "scf_runs": 0,
        "md_runs": 0,
        "md_completed": 0,
        "md_steps": 0,
        "md_states": {},
        "candidates": 0,
        "max_grade": None,
        "potential": None,
    }


def _count_label(row: RoundRow, outcome: str) -> None:
    if outcome == ACCEPTED:
        row[ACCEPTED] += 1
    elif outcome == REJECTED:
        row[REJECTED] += 1
    elif outcome == FAILED:
        row[FAILED] += 1
    else:
        row[OPEN] += 1


def _add_runs(database: Database, campaign: str, rows: Mapping[int, RoundRow]) -> None:
    """Add states and the largest grade of the MD runs of each round."""
    by_state = {"_id": {"iteration": "$iteration", "state": "$state"}, "runs": {"$sum": 1}}
    stages: list[Row] = [
        {"$match": DECLARED["md_runs"].of_campaign(campaign)},
        {"$group": by_state | {"max_grade": {"$max": "$max_grade"}}},
        {"$sort": {"_id": 1}},
    ]
    for found in database.md_runs.aggregate(stages):
        row = rows.get(found["_id"]["iteration"])
        if row is not None:
            row["md_states"][found["_id"]["state"]] = found["runs"]
            grades = [grade for grade in (row["max_grade"], found["max_grade"]) if grade is not None]
            row["max_grade"] = max(grades, default=None)


def counts(actions: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Return how many actions of each kind are planned, finished, and of the finished ones failed."""
    found: dict[str, dict[str, int]] = {}
    for action in actions:
        row = found.setdefault(action["kind"], {"planned": 0, "finished": 0, "failed": 0})
        row["planned"] += 1
        if action.get("result") is not None:
            row["finished"] += 1
            row["failed"] += action["result"].get("outcome") == FAILED
    return found


def verdicts(actions: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Return the number of finished labels by verdict."""
    return Counter(a["result"]["outcome"] for a in actions if a["kind"] == "label" and a.get("result") is not None)


def failures(actions: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return a row for every failed attempt at actions: action, owner, message, given_up."""
    rows: list[Row] = []
    for action in actions:
        given_up = (action.get("result") or {}).get("outcome") == FAILED
        for error in action.get("errors", ()):
            lines = str(error.get("text", "")).strip().splitlines()
            message = lines[-1] if lines else "no message"
            rows.append(
                {"action": action["_id"], "owner": error.get("owner"), "message": message, "given_up": given_up}
            )
    return rows


def campaigns(database: Database) -> list[CampaignRow]:
    """Return a row for every campaign, the newest first."""
    rows: list[CampaignRow] = []
    wanted = {"created": 1, "finished": 1, "stop": 1, "held.state": 1}
    for document in database.campaigns.find({}, wanted).sort("created", -1):
        query = {"campaign": document["_id"]}
        rows.append(
            {
                "campaign": document["_id"],
                "created": document["created"],
                "finished": document.get("finished"),
                "stop": document.get("stop"),
                "held": (document.get("held") or {}).get("state"),
                "actions": database.actions.count_documents(query),
                "open": database.actions.count_documents(query | {"finished": None, "withdrawn": None}),
            }
        )
    return rows


def running(database: Database, campaign: str | None = None) -> list[Row]:
    """Return the claims whose lease runs, by the database's clock: key, owner, taken, lease_until."""
    query: Row = {"$expr": {"$gt": ["$lease_until", "$$NOW"]}}
    if campaign is not None:
        query |= DECLARED["claims"].of_campaign(campaign)
    wanted = {"owner": 1, "taken": 1, "lease_until": 1}
    found = database.claims.find(query, wanted).sort("_id", 1)
    return [{"key": claim.pop("_id"), **claim} for claim in found]
