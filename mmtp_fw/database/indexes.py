"""Indexes for every query that the commands make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from pymongo import IndexModel
from pymongo.database import Database as MongoDatabase

from mmtp_fw.database.collections import DECLARED, FIREWORKS


def indexes() -> Iterator[tuple[str, tuple[IndexModel, ...]]]:
    """Yield the names of collections and their indexes, those on FireWorks' collections included."""
    for name, declared in DECLARED.items():
        yield name, declared.indexes
    yield from FIREWORKS.items()


def digest() -> str:
    """Return a hash of all indexes, by which a database that has older ones is known."""
    described = {name: [dict(model.document) for model in models] for name, models in indexes()}
    return hashlib.blake2b(json.dumps(described, default=str).encode(), digest_size=8).hexdigest()


def ensure_indexes(db: MongoDatabase[Any]) -> None:
    """Create all indexes; those that are there stay."""
    for name, models in indexes():
        if models:
            db[name].create_indexes(list(models))
