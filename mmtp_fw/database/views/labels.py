"""Rows of labels: a configuration, and what a calculation made of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from mmtp_fw import labelling

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

Row = dict[str, Any]

_DECISIONS = [name.value for name in labelling.DECISIONS]
_BESIDE_THE_TARGET = [name.value for name in labelling.BESIDE_THE_TARGET]
_MANY = 10_000
"""Most ids that are asked for at once: a query may not be larger than a document."""


class LabelRow(TypedDict):
    """A configuration and what labelling it gave; None is what isn't known.

    λ, deviations and achieved moments (μB) are the label's; where there is none, those of the converged constrained
    stage nearest to the targets, which the reason of a rejection speaks of. `scf_runs` and `wall_seconds` are what was
    spent on it, stages that another calculation had computed left out. `grade` is the label's quality, A, B or C.
    """

    configuration: int | None
    hash: str | None
    formula: str | None
    calculation: str | None
    engine: str | None
    status: str | None
    reason: str | None
    rule: str | None
    lambda_eV_per_muB2: float | None
    mae_muB: float | None
    max_deviation_muB: float | None
    grade: str | None
    bias_eV_per_atom: float | None
    stages: int
    scf_runs: int
    wall_seconds: float
    numbers: list[int] | None
    targets: list[float] | None
    achieved: list[float] | None
    origin: dict[str, Any] | None


class CampaignLabelRow(LabelRow):
    """A label that a campaign asked for; `scf_runs` is what that campaign spent, `status` may be "open"."""

    iteration: int


def label_row(configuration: Mapping[str, Any], calculation: Mapping[str, Any]) -> LabelRow:
    """Return the row of a configuration and what `calculations` gave of its calculation; either may be empty."""
    atoms = configuration.get("atoms") or {}
    return {
        "configuration": configuration.get("number"),
        "hash": configuration.get("_id") or calculation.get("configuration"),
        "formula": configuration.get("formula"),
        "calculation": calculation.get("_id"),
        "engine": calculation.get("engine"),
        "status": calculation.get("status"),
        "reason": calculation.get("reason"),
        "rule": calculation.get("rule"),
        "lambda_eV_per_muB2": calculation.get("lambda_eV_per_muB2"),
        "mae_muB": calculation.get("mae_muB"),
        "max_deviation_muB": calculation.get("max_deviation_muB"),
        "grade": calculation.get("grade"),
        "bias_eV_per_atom": calculation.get("bias_eV_per_atom"),
        "stages": calculation.get("stages", 0),
        "scf_runs": calculation.get("scf_runs", 0),
        "wall_seconds": calculation.get("wall_seconds", 0.0),
        "numbers": atoms.get("numbers"),
        "targets": atoms.get("moments"),
        "achieved": calculation.get("achieved"),
        "origin": configuration.get("origin"),
    }


CONFIGURATION = {"number": 1, "origin": 1, "formula": 1, "atoms.numbers": 1, "atoms.moments": 1}
"""What a row needs of a configuration."""


def calculations(database: Database, query: Mapping[str, Any], hint: str | None = None) -> Iterator[Row]:
    """Iterate over what rows need of calculations, by key: the server looks through the stages.

    `hint` names the field whose index is to be used.
    """
    constrained = {
        "$and": [
            {"$gt": ["$$this.mae_muB", None]},
            {"$ne": ["$$this.converged", False]},
            {"$not": {"$in": ["$$this.name", _BESIDE_THE_TARGET]}},
        ]
    }
    nearer = {"$or": [{"$eq": ["$$value", None]}, {"$lt": ["$$this.mae_muB", "$$value.mae_muB"]}]}
    best = {
        "$reduce": {
            "input": {"$filter": {"input": "$stages", "cond": constrained}},
            "initialValue": None,
            "in": {"$cond": [nearer, "$$this", "$$value"]},
        }
    }
    own = {
        "$and": [
            {"$not": {"$in": ["$$this.name", _DECISIONS]}},
            {"$eq": [{"$ifNull": ["$$this.reused_from", None]}, None]},
        ]
    }
    named = {"$objectToArray": {"$ifNull": ["$best.achieved", {}]}}
    wanted = {"$filter": {"input": named, "cond": {"$eq": ["$$this.k", "$best.which_definition"]}}}
    reached = {"$map": {"input": wanted, "in": "$$this.v"}}
    plain = dict.fromkeys(("configuration", "engine", "status", "reason", "rule"), 1)
    of_label = ("lambda_eV_per_muB2", "mae_muB", "max_deviation_muB")
    stages: list[Row] = [
        {"$match": dict(query)},
        {
            "$project": plain
            | {"label": 1, "best": best, "own": {"$filter": {"input": "$stages", "cond": own}}}
            | {"stages": {"$size": "$stages"}}
        },
        {
            "$project": plain
            | {name: {"$cond": [{"$gt": ["$label", None]}, f"$label.{name}", f"$best.{name}"]} for name in of_label}
            | {"grade": {"$cond": [{"$eq": ["$rule", labelling.BY_HAND]}, None, "$label.grade"]}}
            | {"bias_eV_per_atom": "$label.bias_eV_per_atom", "stages": 1}
            | {"scf_runs": {"$size": "$own"}, "wall_seconds": {"$sum": "$own.wall_seconds"}}
            | {"achieved": {"$ifNull": ["$label.moments", {"$arrayElemAt": [reached, 0]}]}}
        },
        {"$sort": {"_id": 1}},  # of what is left of them, not of their stages
    ]
    chosen: Row = {} if hint is None else {"hint": {hint: 1}}
    return iter(database.calculations.aggregate(stages, allowDiskUse=True, **chosen))


def labels_of(database: Database, keys: Iterable[str]) -> list[LabelRow]:
    """Return a row for every calculation of those keys, by key."""
    rows = []
    for part in _parts(sorted(keys)):
        found = list(calculations(database, {"_id": {"$in": part}}))
        about = _configurations(database, [calculation["configuration"] for calculation in found])
        rows += [label_row(about.get(item["configuration"], {}), item) for item in found]
    return rows


def campaign_labels(database: Database, campaign: str) -> list[CampaignLabelRow]:
    """Return a row for every label that a campaign asked for, open ones included, in the order of rounds."""
    wanted = {"iteration": 1, "params.configuration": 1}
    wanted |= {f"result.{name}": 1 for name in ("outcome", "reason", "scf_runs", "calculation")}
    asked = list(database.actions.find({"campaign": campaign, "kind": "label"}, wanted))
    results = {action["_id"]: action.get("result") or {} for action in asked}
    keys = sorted({result["calculation"] for result in results.values() if result.get("calculation")})
    made = {row["_id"]: row for part in _parts(keys) for row in calculations(database, {"_id": {"$in": part}})}
    hashes = [action["params"]["configuration"] for action in asked]
    about = {key: item for part in _parts(hashes) for key, item in _configurations(database, part).items()}
    rows: list[CampaignLabelRow] = []
    for action in sorted(asked, key=lambda item: (item["iteration"], item["_id"])):
        result = results[action["_id"]]
        row = label_row(about.get(action["params"]["configuration"], {}), made.get(result.get("calculation"), {}))
        rows.append(
            {
                **row,
                "hash": action["params"]["configuration"],
                "iteration": action["iteration"],
                "status": result.get("outcome", labelling.OPEN),
                "reason": row["reason"] or result.get("reason"),
                "scf_runs": result.get("scf_runs", 0),
            }
        )
    return rows


def _configurations(database: Database, hashes: Sequence[str]) -> dict[str, Row]:
    found = database.configurations.find({"_id": {"$in": list(hashes)}}, CONFIGURATION)
    return {document["_id"]: document for document in found}


def _parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + _MANY] for start in range(0, len(items), _MANY))
