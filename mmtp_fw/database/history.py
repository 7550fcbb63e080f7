"""Provenance in both directions: where something came from, and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pymongo.collection import Collection

from mmtp_fw.database import queries, views
from mmtp_fw.errors import InputError
from mmtp_fw.labelling import LABEL_STATES

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database


def configuration(database: Database, which: str) -> dict[str, Any]:
    """Return a configuration's whole history.

    Parameters
    ----------
    database : Database
    which : str
        Number, or the first characters (6 at least) of the content hash.

    Returns
    -------
    dict
        configuration (the document), origin (with md_run and its potential where a trajectory found it),
        calculations (with all stages), training_sets, potentials (every version whose labels it is among;
        ``validation`` where it was kept from training).

    Raises
    ------
    InputError
        None or several such configurations.
    """
    document = one(database.configurations, which, "configuration")
    origin = dict(document["origin"])
    run = database.md_runs.find_one({"number": origin["md_run"]}) if origin.get("md_run") else None
    if run is not None:
        origin["md"] = {name: run[name] for name in ("number", "iteration", "potential", "params", "state")}
    calculations = list(database.calculations.find({"configuration": document["_id"]}).sort("created", 1))
    keys = [calculation["_id"] for calculation in calculations]
    found = list(database.training_sets.find({"calculations": {"$in": keys}}, {"validation": 1}))
    sets = [document["_id"] for document in found]
    held_out = {document["_id"] for document in found if set(document["validation"]) & set(keys)}
    wanted = {"campaign": 1, "iteration": 1, "training_set": 1, "created": 1}
    trained = list(database.potentials.find({"training_set": {"$in": sets}}, wanted).sort("_id", 1))
    return {
        "configuration": document,
        "origin": origin,
        "calculations": calculations,
        "training_sets": sets,
        "potentials": [item | {"validation": item["training_set"] in held_out} for item in trained],
    }


def version(database: Database, which: str | int) -> dict[str, Any]:
    """Return the document of a version of the potential.

    Raises
    ------
    InputError
        No such version.
    """
    try:
        number = int(which)
    except ValueError as error:
        raise InputError(f"'{which}' is no version of a potential", "versions are whole numbers") from error
    document = database.potentials.find_one({"_id": number})
    if document is None:
        known = database.potentials.count_documents({})
        raise InputError(
            f"no potential {number} in this database", f"{known} versions are there; `mmtp status` lists them"
        )
    return document


def potential(database: Database, which: str | int) -> dict[str, Any]:
    """Return a version's whole history.

    Returns
    -------
    dict
        potential (the document), parents (versions back to the first), added and removed (labels against the
        parent), labels and md_runs (made with it; rows of `mmtp_fw.database.views`),
        children, members (of its ensemble), properties.

    Raises
    ------
    InputError
        No such version.
    """
    document = version(database, which)
    number = document["_id"]
    own, held_out = training(database, document)
    parent = database.potentials.find_one({"_id": document["parent"]}) if document["parent"] else None
    before = training(database, parent)[0] if parent else set()
    return {
        "potential": document,
        "parents": _parents(database, document),
        "added": sorted(own - before),
        "removed": sorted(before - own),
        "labels": [row | {"validation": row["calculation"] in held_out} for row in views.labels_of(database, own)],
        "md_runs": views.md_runs(database, {"potential": number}),
        "children": [d["_id"] for d in database.potentials.find({"parent": number, "member_of": None}, {"_id": 1})],
        "members": [d["_id"] for d in database.potentials.find({"member_of": number}, {"_id": 1})],
        "properties": list(database.properties.find({"potential": number}).sort("_id", 1)),
    }


def md_run(database: Database, which: str | int) -> dict[str, Any]:
    """Return a trajectory's record and every configuration that was selected from it.

    Raises
    ------
    InputError
        No such run.
    """
    document = one(database.md_runs, str(which), "MD run")
    wanted = {"number": 1, "formula": 1, "origin": 1}
    origin = {"origin.md_run": document["number"]}
    chosen = list(database.configurations.find(origin, wanted).sort("number", 1))
    return {"md_run": document, "selected": chosen}


def campaign(database: Database, name: str) -> dict[str, Any]:
    """Return a campaign's whole history.

    Returns
    -------
    dict
        campaign (the document); status: campaign, created, finished, stop, iteration, running, counts (by kind:
        planned, finished, failed), labels (by verdict), scf_runs, md_steps, iterations (rows of rounds with the labels
        by verdict, and the errors of their potential), potential (the last round's); labels, potentials, properties.

    Raises
    ------
    InputError
        No such campaign.
    """
    document = queries.campaign(database, name)
    actions = list(database.actions.find({"campaign": name}, views.ACTION))
    rows = views.rounds(database, name, actions)
    made = list(database.potentials.find({"campaign": name}, {"text": 0}).sort("_id", 1))
    versions = {item["_id"]: item for item in made}
    labels = views.campaign_labels(database, name)
    status = {
        "campaign": name,
        "created": document["created"],
        "finished": document.get("finished"),
        "stop": document.get("stop"),
        "iteration": max((action["iteration"] for action in actions), default=0),
        "running": views.running(database, name),
        "counts": views.counts(actions),
        "labels": dict(views.verdicts(actions)),
        "scf_runs": sum(row["scf_runs"] for row in rows),
        "md_steps": sum((action.get("result") or {}).get("md_steps", 0) for action in actions),
        "iterations": [_round(row, versions.get(row["potential"], {})) for row in rows],
        "potential": next((row["potential"] for row in reversed(rows) if row["potential"] is not None), None),
    }
    return {
        "campaign": document,
        "status": status,
        "labels": [label for label in labels if label["status"] != "open"],
        "potentials": made,
        "properties": queries.properties(database, name),
    }


def _round(row: views.RoundRow, version: Mapping[str, Any]) -> dict[str, Any]:
    verdicts = {state: row[state] for state in LABEL_STATES}
    return {
        **row,
        "labels": {verdict: number for verdict, number in verdicts.items() if number},
        "selected": row["generated"] + row["selected"],
        "errors": version.get("errors", {}),
        "validation_errors": version.get("validation_errors", {}),
    }


def one(collection: Collection[dict[str, Any]], which: str, what: str) -> dict[str, Any]:
    """Find a document by its number, or by the beginning of its id.

    Raises
    ------
    InputError
        None or several such documents; `what` they are is said.
    """
    found: list[dict[str, Any]] = []
    if which.isdigit():
        found = list(collection.find({"number": int(which)}))
    if not found and len(which) >= 6:
        after = which[:-1] + chr(ord(which[-1]) + 1)
        found = list(collection.find({"_id": {"$gte": which, "$lt": after}}).limit(2))
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"'{which}' is the beginning of several {what}s", "give more characters")
    raise InputError(f"no {what} '{which}' in this database", "`mmtp find` lists what is there")


def training(database: Database, document: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return the labels of a version, and those among them that were kept for validation."""
    training = database.training_sets.find_one({"_id": document["training_set"]}) or {}
    return set(training.get("calculations", ())), set(training.get("validation", ()))


def _parents(database: Database, document: dict[str, Any]) -> list[int]:
    chain: list[int] = []
    while document and document.get("parent") and document["parent"] not in chain:
        chain.append(int(document["parent"]))
        document = database.potentials.find_one({"_id": document["parent"]}, {"parent": 1}) or {}
    return chain
