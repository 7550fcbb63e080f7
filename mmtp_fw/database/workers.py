"""The workers that are there: each says now and then what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmtp_fw.database.collections import upserted
from mmtp_fw.database.process import owner_name

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

SILENT_SECONDS = 180
"""A worker without a task that has said nothing for this long (s) is gone."""


def report(
    database: Database, categories: Sequence[str], campaign: str | None = None, refuses: Mapping[str, str] | None = None
) -> None:
    """Say that this process takes work.

    Parameters
    ----------
    database : Database
    categories : sequence of str
        Kinds of work that it takes; all if empty.
    campaign : str, optional
        The campaign with whose end it ends.
    refuses : mapping of str to str, optional
        Kinds of work that it takes no more, with the reason.
    """
    told = {"categories": list(categories), "campaign": campaign, "refuses": dict(refuses or {})}
    change = {name: {"$literal": value} for name, value in told.items()}
    since = {"started": {"$ifNull": ["$started", "$$NOW"]}, "seen": "$$NOW"}
    upserted(database.workers, owner_name(), [{"$set": change | since}])


def leave(database: Database) -> None:
    """Say that this process takes no more work."""
    database.workers.delete_one({"_id": owner_name()})


def alive(database: Database, category: str | None = None) -> list[dict[str, Any]]:
    """Return the workers that are there, by the database's clock: heard of lately, or at work under a claim.

    Parameters
    ----------
    database : Database
    category : str, optional
        Only those that take this kind of work.
    """
    running = {"owner": {"$ne": ""}, "$expr": {"$gt": ["$lease_until", "$$NOW"]}}
    busy = sorted({claim["owner"] for claim in database.claims.find(running, {"owner": 1})})
    age = {"$subtract": ["$$NOW", "$seen"]}
    heard = {"$or": [{"$expr": {"$lt": [age, SILENT_SECONDS * 1000]}}, {"_id": {"$in": busy}}]}
    found = database.workers.find(heard).sort("_id", 1)
    return [worker for worker in found if category is None or takes(worker, category)]


def takes(worker: Mapping[str, Any], category: str) -> bool:
    """Return whether a worker takes a kind of work."""
    return category not in worker["refuses"] and (not worker["categories"] or category in worker["categories"])
