"""Rows of potentials and of the MD runs with them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from mmtp_fw.database.collections import DECLARED

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

Row = dict[str, Any]


class PotentialRow(TypedDict):
    """A version of the potential; `training` and `validation` are numbers of labels."""

    version: int
    iteration: int | None
    role: str
    parent: int | None
    level: int | None
    n_parameters: int | None
    training: int
    validation: int
    errors: dict[str, Any]
    validation_errors: dict[str, Any]
    fit: dict[str, Any]
    created: datetime


def potentials(database: Database, campaign: str) -> list[PotentialRow]:
    """Return a row for every version and member that a campaign made."""
    made = list(database.potentials.find(DECLARED["potentials"].of_campaign(campaign), {"text": 0}).sort("_id", 1))
    sets = {document["training_set"] for document in made if document.get("training_set")}
    trained = {"$size": {"$setDifference": ["$calculations", "$validation"]}}
    stages: list[Row] = [
        {"$match": {"_id": {"$in": sorted(sets)}}},
        {"$project": {"training": trained, "validation": {"$size": "$validation"}}},
    ]
    sizes = {item["_id"]: item for item in database.training_sets.aggregate(stages)}
    return [_potential(document, sizes.get(document.get("training_set"), {})) for document in made]


def _potential(document: Mapping[str, Any], sizes: Mapping[str, Any]) -> PotentialRow:
    return {
        "version": document["_id"],
        "iteration": document.get("iteration"),
        "role": document.get("role", "version"),
        "parent": document.get("parent"),
        "level": document.get("level"),
        "n_parameters": document.get("n_parameters"),
        "training": sizes.get("training", 0),
        "validation": sizes.get("validation", 0),
        "errors": document.get("errors") or {},
        "validation_errors": document.get("validation_errors") or {},
        "fit": document.get("fit") or {},
        "created": document["created"],
    }


_RUN = ("number", "iteration", "potential", "state", "steps", "max_grade", "n_candidates", "message", "wall_seconds")
_ASKED = ("phase", "lattice_parameter_A", "temperature_K", "magnetic_order")


def md_runs(database: Database, query: Mapping[str, Any]) -> list[Row]:
    """Return a row for every MD run that the query asks for, by number.

    Returns
    -------
    list of dict
        _id, number, iteration, potential, state, steps, max_grade, n_candidates, message, wall_seconds, params, and
        of these phase (None where phases have no names), lattice_parameter_A, temperature_K and magnetic_order.
    """
    wanted = dict.fromkeys((*_RUN, "params"), 1)
    return [
        {"_id": run["_id"]}
        | {name: run.get(name) for name in _RUN}
        | {"params": run["params"]}
        | {name: run["params"].get(name) for name in _ASKED}
        for run in database.md_runs.find(dict(query), wanted).sort("number", 1)
    ]
