"""Provenance in both directions: where something came from, and what was made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmtp_fw.database import queries
from mmtp_fw.errors import InputError

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
        calculations (with all stages), training_sets, potentials (every version trained on it).

    Raises
    ------
    InputError
        None or several such configurations.
    """
    document = _one(database, "configurations", which, "configuration")
    origin = dict(document["origin"])
    run = database.md_runs.find_one({"number": origin["md_run"]}) if origin.get("md_run") else None
    if run is not None:
        origin["md"] = {name: run[name] for name in ("number", "iteration", "potential", "params", "state")}
    calculations = list(database.calculations.find({"configuration": document["_id"]}).sort("created", 1))
    keys = [calculation["_id"] for calculation in calculations]
    sets = [d["_id"] for d in database.training_sets.find({"calculations": {"$in": keys}}, {"_id": 1})]
    wanted = {"campaign": 1, "iteration": 1, "training_set": 1, "created": 1}
    trained = list(database.potentials.find({"training_set": {"$in": sets}}, wanted).sort("_id", 1))
    return {
        "configuration": document,
        "origin": origin,
        "calculations": calculations,
        "training_sets": sets,
        "potentials": trained,
    }


def potential(database: Database, which: str | int) -> dict[str, Any]:
    """Return a version's whole history.

    Returns
    -------
    dict
        potential (the document), parents (versions back to the first), added and removed (labels against the
        parent), labels (summary of each, see `queries.labels`), md_runs (made with it),
        children, members (of its ensemble), properties.

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
    own = _training(database, document)
    parent = database.potentials.find_one({"_id": document["parent"]}) if document["parent"] else None
    before = _training(database, parent) if parent else set()
    wanted = {
        "number": 1,
        "iteration": 1,
        "state": 1,
        "steps": 1,
        "max_grade": 1,
        "n_candidates": 1,
        "params": 1,
    }
    return {
        "potential": document,
        "parents": _parents(database, document),
        "added": sorted(own - before),
        "removed": sorted(before - own),
        "labels": _labels(database, own),
        "md_runs": list(database.md_runs.find({"potential": number}, wanted).sort("number", 1)),
        "children": [d["_id"] for d in database.potentials.find({"parent": number}, {"_id": 1})],
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
    document = _one(database, "md_runs", str(which), "MD run")
    wanted = {"number": 1, "formula": 1, "origin": 1}
    origin = {"origin.md_run": document["number"]}
    chosen = list(database.configurations.find(origin, wanted).sort("number", 1))
    return {"md_run": document, "selected": chosen}


def campaign(database: Database, name: str) -> dict[str, Any]:
    """Return a campaign's settings, status, labels, potentials and properties.

    Raises
    ------
    InputError
        No such campaign.
    """
    status = queries.campaign_status(database, name)
    document = database.campaigns.find_one({"_id": name})
    wanted = {"text": 0}
    return {
        "campaign": document,
        "status": status,
        "labels": queries.labels(database, name),
        "potentials": list(database.potentials.find({"campaign": name}, wanted).sort("_id", 1)),
        "properties": queries.properties(database, name),
    }


def _one(database: Database, collection: str, which: str, what: str) -> dict[str, Any]:
    """Find by number, or by the beginning of the id."""
    found: list[dict[str, Any]] = []
    if which.isdigit():
        found = list(database.db[collection].find({"number": int(which)}))
    if not found and len(which) >= 6:
        after = which[:-1] + chr(ord(which[-1]) + 1)
        found = list(database.db[collection].find({"_id": {"$gte": which, "$lt": after}}).limit(2))
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"'{which}' is the beginning of several {what}s", "give more characters")
    raise InputError(f"no {what} '{which}' in this database", "`mmtp find` lists what is there")


def _training(database: Database, document: dict[str, Any]) -> set[str]:
    training = database.training_sets.find_one({"_id": document["training_set"]})
    return set(training["calculations"]) if training else set()


def _parents(database: Database, document: dict[str, Any]) -> list[int]:
    chain: list[int] = []
    while document and document.get("parent") and document["parent"] not in chain:
        chain.append(int(document["parent"]))
        document = database.potentials.find_one({"_id": document["parent"]}, {"parent": 1}) or {}
    return chain


def _labels(database: Database, keys: set[str]) -> list[dict[str, Any]]:
    calculations = list(database.calculations.find({"_id": {"$in": sorted(keys)}}).sort("_id", 1))
    hashes = [calculation["configuration"] for calculation in calculations]
    found = {d["_id"]: d for d in database.configurations.find({"_id": {"$in": hashes}})}
    return [
        {"status": calculation["status"]}
        | queries.label_summary(calculation, found.get(calculation["configuration"], {}))
        for calculation in calculations
    ]
