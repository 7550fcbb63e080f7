"""Core hours that were spent, from what stages and attempts tell of themselves: `mmtp cost`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from mmtp_fw.labelling import DECISIONS

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

BY = ("stage", "engine", "site", "campaign", "user")
"""What core hours can be asked by."""
BETWEEN = "label: between stages"
_IDLE = ("not here", "claimed by another", "found done")  # ends of attempts that waited and computed nothing


class SpentRow(TypedDict):
    """Core hours of one kind of work: `count` stages or attempts."""

    campaign: str
    stage: str
    engine: str
    site: str
    user: str
    count: int
    core_hours: float


class Spent(TypedDict):
    """What was spent, and what is not in it.

    `rows` are apart by all of `BY`. `without_end`: attempts whose process was killed or still computes.
    `not_recorded`: stages and finished actions of versions that did not note who computed them.
    """

    rows: list[SpentRow]
    core_hours: float
    without_end: int
    not_recorded: int


def spent(database: Database, campaign: str | None = None) -> Spent:
    """Return the core hours of a campaign, or of all.

    A label costs the campaign that computed it; one that found it done pays nothing. Attempts count however they ended.
    """
    rows = list(database.calculations.aggregate(_pipeline(campaign), allowDiskUse=True))
    of_campaign = {} if campaign is None else {"campaign": campaign}
    without_end = {"attempts": {"$elemMatch": {"ended": None}}}
    found = [_row(row) for row in rows]
    _take_out_stages(found)
    found.sort(key=lambda row: (row["campaign"], -row["core_hours"], row["stage"]))
    return {
        "rows": found,
        "core_hours": sum(row["core_hours"] for row in found),
        "without_end": database.actions.count_documents(of_campaign | without_end),
        "not_recorded": database.actions.count_documents(
            of_campaign | {"finished": {"$ne": None}, "attempts.0": {"$exists": False}}
        ),
    }


def totals(rows: Iterable[SpentRow], by: str) -> list[dict[str, Any]]:
    """Return the core hours summed over everything but one of `BY`, the most first."""
    sums: dict[str, list[float]] = {}
    for row in rows:
        one = sums.setdefault(row[by], [0, 0.0])  # type: ignore[literal-required]
        one[0] += row["count"]
        one[1] += row["core_hours"]
    made = [{by: name, "count": int(count), "core_hours": hours} for name, (count, hours) in sums.items()]
    return sorted(made, key=lambda item: (-item["core_hours"], item[by]))


def _take_out_stages(rows: Sequence[SpentRow]) -> None:
    """Leave of the attempts at labels what lies between their stages."""
    computed: dict[tuple[str, ...], float] = {}
    for row in rows:
        if row["stage"].startswith("label: "):
            computed[_place(row)] = computed.get(_place(row), 0.0) + row["core_hours"]
    for row in rows:
        if row["stage"] == "label":
            row["core_hours"] = max(0.0, row["core_hours"] - computed.get(_place(row), 0.0))
            row["stage"] = BETWEEN


def _place(row: SpentRow) -> tuple[str, ...]:
    return row["campaign"], row["engine"], row["site"], row["user"]


def _row(row: Mapping[str, Any]) -> SpentRow:
    key: dict[str, str] = row["_id"]
    return {
        "campaign": key["campaign"],
        "stage": key["stage"],
        "engine": key["engine"],
        "site": key["site"],
        "user": key["user"],
        "count": row["count"],
        "core_hours": row["core_seconds"] / 3600.0,
    }


def _pipeline(campaign: str | None) -> list[dict[str, Any]]:
    """Return one query for everything: stages of labels, and attempts at actions."""
    computed: dict[str, Any] = {
        "stages.execution": {"$ne": None},
        "stages.reused_from": None,
        "stages.name": {"$nin": [name.value for name in DECISIONS]},
    }
    attempted: dict[str, Any] = {"attempts.ended": {"$ne": None}, "attempts.exit": {"$nin": list(_IDLE)}}
    if campaign is not None:
        inside = {"$gte": f"{campaign}/", "$lt": f"{campaign}0"}  # "0" follows "/"
        computed["stages.execution.action"] = inside
    of_campaign = [] if campaign is None else [{"$match": {"campaign": campaign}}]
    seconds = {"$divide": [{"$subtract": ["$attempts.ended", "$attempts.started"]}, 1000.0]}
    attempts = [
        *of_campaign,
        {"$unwind": "$attempts"},
        {"$match": attempted},
        *_summed("$attempts", "$kind", seconds),
    ]
    stage = {"$concat": ["label: ", "$stages.name"]}
    return [
        {"$project": {"stages.execution": 1, "stages.reused_from": 1, "stages.name": 1, "stages.wall_seconds": 1}},
        {"$unwind": "$stages"},
        {"$match": computed},
        *_summed("$stages.execution", stage, "$stages.wall_seconds"),
        {"$unionWith": {"coll": "actions", "pipeline": attempts}},
    ]


def _summed(execution: str, stage: Any, seconds: Any) -> Sequence[dict[str, Any]]:
    sites = {"from": "environments", "localField": "environment", "foreignField": "_id", "as": "place"}
    key = {name: f"${name}" for name in ("campaign", "stage", "engine", "user")}
    return [
        {
            "$group": {
                "_id": {
                    "campaign": {"$arrayElemAt": [{"$split": [f"{execution}.action", "/"]}, 0]},
                    "stage": stage,
                    "engine": f"{execution}.engine",
                    "user": f"{execution}.user",
                    "environment": f"{execution}.environment",
                },
                "count": {"$sum": 1},
                "core_seconds": {"$sum": {"$multiply": [f"{execution}.cores", seconds]}},
            }
        },
        {
            "$replaceRoot": {
                "newRoot": {"$mergeObjects": ["$_id", {"count": "$count", "core_seconds": "$core_seconds"}]}
            }
        },
        {"$lookup": sites},
        {
            "$group": {
                "_id": key | {"site": {"$ifNull": [{"$first": "$place.site"}, "unknown"]}},
                "count": {"$sum": "$count"},
                "core_seconds": {"$sum": "$core_seconds"},
            }
        },
    ]
