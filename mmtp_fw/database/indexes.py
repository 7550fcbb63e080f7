"""Indexes for every query that the commands make."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database as MongoDatabase

INDEXES: dict[str, list[IndexModel]] = {
    "campaigns": [IndexModel([("created", DESCENDING)])],
    "configurations": [
        IndexModel([("number", ASCENDING)], unique=True),
        IndexModel([("origin.campaign", ASCENDING)]),
        IndexModel([("origin.md_run", ASCENDING)]),
        IndexModel([("formula", ASCENDING)]),
    ],
    "calculations": [
        IndexModel([("configuration", ASCENDING)]),
        IndexModel([("status", ASCENDING), ("quality.grade", ASCENDING)]),
        IndexModel([("quality.grade", ASCENDING)]),
        IndexModel([("engine", ASCENDING), ("status", ASCENDING)]),
    ],
    "potentials": [
        IndexModel([("campaign", ASCENDING), ("iteration", ASCENDING)]),
        IndexModel([("training_set", ASCENDING)]),
        IndexModel([("content_hash", ASCENDING)]),
        IndexModel([("action", ASCENDING)], unique=True, partialFilterExpression={"action": {"$type": "string"}}),
        IndexModel([("parent", ASCENDING)]),
        IndexModel([("member_of", ASCENDING)]),
    ],
    "training_sets": [IndexModel([("calculations", ASCENDING)])],
    "md_runs": [
        IndexModel([("number", ASCENDING)], unique=True),
        IndexModel([("campaign", ASCENDING), ("iteration", ASCENDING)]),
        IndexModel([("potential", ASCENDING)]),
    ],
    "properties": [
        IndexModel([("campaign", ASCENDING), ("iteration", ASCENDING)]),
        IndexModel([("potential", ASCENDING)]),
    ],
    "claims": [
        IndexModel([("lease_until", ASCENDING)]),
        IndexModel([("owner", ASCENDING)]),
        IndexModel([("process.machine", ASCENDING)], sparse=True),
    ],
    "actions": [
        IndexModel([("campaign", ASCENDING), ("iteration", ASCENDING), ("kind", ASCENDING)]),
        IndexModel([("campaign", ASCENDING), ("finished", ASCENDING)]),
        IndexModel([("params.configuration", ASCENDING)], sparse=True),
        IndexModel([("params.potential", ASCENDING)], sparse=True),
    ],
}


def digest() -> str:
    """Return a hash of all indexes, by which a database that has older ones is known."""
    described = {name: [dict(model.document) for model in models] for name, models in INDEXES.items()}
    return hashlib.blake2b(json.dumps(described, default=str).encode(), digest_size=8).hexdigest()


def ensure_indexes(db: MongoDatabase[Any]) -> None:
    """Create all indexes; those that are there stay."""
    for name, models in INDEXES.items():
        db[name].create_indexes(models)
