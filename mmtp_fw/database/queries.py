"""What `mmtp status`, `find` and the report ask; everything comes back as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmtp_fw.errors import InputError

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

ACCEPTED = "accepted"


def campaigns(database: Database) -> list[dict[str, Any]]:
    """Return name, creation and end of every campaign, newest first."""
    wanted = {"name": 1, "created": 1, "finished": 1, "stop": 1}
    return list(database.campaigns.find({}, wanted).sort("created", -1))


def campaign_status(database: Database, campaign: str) -> dict[str, Any]:
    """Return where a campaign stands.

    Returns
    -------
    dict
        campaign, finished, stop, iteration, running (key, owner, since), counts (by kind: planned, finished,
        failed), labels (by status), scf_runs, md_steps, iterations (one dict each: iteration, selected,
        labels by status, potential, errors, max_grade, md_states), potential (newest version).

    Raises
    ------
    InputError
        No such campaign.
    """
    document = _campaign(database, campaign)
    actions = list(database.actions.find({"campaign": campaign}))
    results = [(action, action["result"]) for action in actions if action.get("result") is not None]
    labels = Counter(result["outcome"] for action, result in results if action["kind"] == "label")
    rounds = sorted({action["iteration"] for action in actions})
    potentials = _potentials(database, campaign)
    return {
        "campaign": campaign,
        "created": document["created"],
        "finished": document.get("finished"),
        "stop": document.get("stop"),
        "iteration": rounds[-1] if rounds else 0,
        "running": running(database, campaign),
        "counts": _counts(actions),
        "labels": dict(labels),
        "scf_runs": sum(result.get("scf_runs", 0) for _, result in results),
        "md_steps": sum(result.get("md_steps", 0) for _, result in results),
        "iterations": [_round(database, campaign, number, results, potentials) for number in rounds],
        "potential": max((p["_id"] for p in potentials), default=None),
    }


def running(database: Database, campaign: str | None = None) -> list[dict[str, Any]]:
    """Return the claims whose lease runs: key, owner, taken, lease_until."""
    query: dict[str, Any] = {"$expr": {"$gt": ["$lease_until", "$$NOW"]}}
    if campaign is not None:
        query["_id"] = {"$gte": f"{campaign}/", "$lt": f"{campaign}0"}
    wanted = {"owner": 1, "taken": 1, "lease_until": 1}
    found = database.claims.find(query, wanted).sort("_id", 1)
    return [{"key": claim.pop("_id"), **claim} for claim in found]


def labels(database: Database, campaign: str) -> list[dict[str, Any]]:
    """Return every label of a campaign, in the order of rounds.

    Returns
    -------
    list of dict
        configuration (number), hash, iteration, status, reason, rule, lambda_eV_per_muB2, mae_muB,
        max_deviation_muB, grade (of its quality), scf_runs, stages, targets, achieved, origin.
    """
    query = {"campaign": campaign, "kind": "label", "result": {"$ne": None}}
    actions = sorted(database.actions.find(query), key=lambda a: (a["iteration"], a["_id"]))
    keys = [action["result"].get("calculation") for action in actions]
    calculations = {d["_id"]: d for d in database.calculations.find({"_id": {"$in": [k for k in keys if k]}})}
    hashes = [action["params"]["configuration"] for action in actions]
    wanted = {"number": 1, "origin": 1, "formula": 1, "atoms.moments": 1}
    found = {d["_id"]: d for d in database.configurations.find({"_id": {"$in": hashes}}, wanted)}
    rows = []
    for action, key, digest in zip(actions, keys, hashes, strict=True):
        row = {"iteration": action["iteration"], "status": action["result"]["outcome"]}
        row |= label_summary(calculations.get(key) or {}, found.get(digest) or {})
        row["scf_runs"] = action["result"].get("scf_runs", 0)
        rows.append(row | {"reason": row["reason"] or action["result"].get("reason")})
    return rows


def label_summary(calculation: Mapping[str, Any], configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return what people want to know of a label, see `labels`."""
    stages: Sequence[Mapping[str, Any]] = calculation.get("stages", [])
    last = stages[-1] if stages else {}
    label = calculation.get("label") or {}
    quality = calculation.get("quality") or {}
    achieved = last.get("achieved") or {}
    return {
        "configuration": configuration.get("number"),
        "hash": configuration.get("_id") or calculation.get("configuration"),
        "formula": configuration.get("formula"),
        "calculation": calculation.get("_id"),
        "engine": calculation.get("engine"),
        "reason": calculation.get("reason"),
        "rule": calculation.get("rule"),
        "lambda_eV_per_muB2": label.get("lambda_eV_per_muB2", last.get("lambda_eV_per_muB2")),
        "mae_muB": quality.get("mae_muB", label.get("mae_muB", last.get("mae_muB"))),
        "max_deviation_muB": quality.get(
            "max_deviation_muB", label.get("max_deviation_muB", last.get("max_deviation_muB"))
        ),
        "grade": quality.get("grade"),
        "stages": len(stages),
        "targets": (configuration.get("atoms") or {}).get("moments"),
        "achieved": label.get("moments") or achieved.get(last.get("which_definition", "")),
        "origin": configuration.get("origin"),
    }


def properties(database: Database, campaign: str) -> list[dict[str, Any]]:
    """Return the averages of a campaign: source, potential, iteration, params, values."""
    return list(database.properties.find({"campaign": campaign}).sort("_id", 1))


def find_configurations(
    database: Database,
    *,
    campaign: str | None = None,
    formula: str | None = None,
    status: str | None = None,
    engine: str | None = None,
    quality: str | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return configurations with their labels; every condition that is given must hold.

    Parameters
    ----------
    database : Database
    campaign : str, optional
        Whose generator or trajectory it came from.
    formula : str, optional
        As ASE writes it, for example "Fe11Pd5".
    status : str, optional
        Of the label: "accepted", "rejected", "failed", "running".
    engine : str, optional
    quality : str, optional
        Grade of the label.
    limit : int
        Most rows, newest first.

    Returns
    -------
    list of dict
        See `labels`.
    """
    about: dict[str, Any] = {}
    if campaign is not None:
        about["origin.campaign"] = campaign
    if formula is not None:
        about["formula"] = formula
    of_label = {
        name: value
        for name, value in (("status", status), ("engine", engine), ("quality.grade", quality))
        if value is not None
    }
    if of_label:
        about["_id"] = {"$in": database.calculations.distinct("configuration", of_label)}
    found = list(database.configurations.find(about).sort("number", -1).limit(limit))
    chosen = of_label | {"configuration": {"$in": [document["_id"] for document in found]}}
    by_configuration: dict[str, list[dict[str, Any]]] = {}
    for calculation in database.calculations.find(chosen):
        by_configuration.setdefault(calculation["configuration"], []).append(calculation)
    rows = []
    for document in found:
        for calculation in by_configuration.get(document["_id"], [{}]):
            rows.append({"status": calculation.get("status")} | label_summary(calculation, document))
    return rows


def _campaign(database: Database, campaign: str) -> dict[str, Any]:
    document: dict[str, Any] | None = database.campaigns.find_one({"_id": campaign})
    if document is None:
        raise InputError(f"no campaign '{campaign}' in this database", "`mmtp status` lists the campaigns")
    return document


def _potentials(database: Database, campaign: str) -> list[dict[str, Any]]:
    wanted = {"iteration": 1, "errors": 1, "validation_errors": 1, "fit": 1, "parent": 1, "training_set": 1}
    versions = {"campaign": campaign, "role": {"$ne": "member"}}
    return list(database.potentials.find(versions, wanted).sort("_id", 1))


def _counts(actions: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for action in actions:
        row = counts.setdefault(action["kind"], {"planned": 0, "finished": 0, "failed": 0})
        row["planned"] += 1
        if action.get("result") is not None:
            row["finished"] += 1
            row["failed"] += action["result"].get("outcome") == "failed"
    return counts


def _round(
    database: Database,
    campaign: str,
    number: int,
    results: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    potentials: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    own = [(action, result) for action, result in results if action["iteration"] == number]
    labels = Counter(result["outcome"] for action, result in own if action["kind"] == "label")
    selected = [
        len(result.get("configurations", [])) for action, result in own if action["kind"] in ("select", "pretrain")
    ]
    potential = next((p for p in reversed(potentials) if p.get("iteration") == number), None)
    runs = list(
        database.md_runs.find(
            {"campaign": campaign, "iteration": number}, {"max_grade": 1, "state": 1, "n_candidates": 1}
        )
    )
    return {
        "iteration": number,
        "labels": dict(labels),
        "selected": sum(selected),
        "candidates": sum(run["n_candidates"] for run in runs),
        "potential": potential["_id"] if potential else None,
        "errors": (potential or {}).get("errors", {}),
        "validation_errors": (potential or {}).get("validation_errors", {}),
        "max_grade": max((run["max_grade"] for run in runs if run["max_grade"] is not None), default=None),
        "md_states": dict(Counter(run["state"] for run in runs)),
    }
