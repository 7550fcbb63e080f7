"""What rests on a label, and how a label is taken back by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from pymongo.client_session import ClientSession
from pymongo.collection import Collection as MongoCollection

from mmtp_fw.database import environment, history
from mmtp_fw.errors import InputError
from mmtp_fw.labelling import ACCEPTED, BY_HAND, REJECTED

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

_MANY = 10_000


class Taint(TypedDict):
    """Everything that would not be what it is without a label.

    `versions` and `members` are potentials trained on it, or made from such ones, `md_runs` numbers of the runs with
    them, `configurations` numbers of what was selected from these, `labels` keys of their labels, `properties` keys of
    averages.
    """

    configuration: int
    calculations: list[str]
    versions: list[int]
    members: list[int]
    md_runs: list[int]
    configurations: list[int]
    labels: list[str]
    properties: list[str]


def taint(database: Database, which: str) -> Taint:
    """Return what rests on the labels of a configuration, to the last consequence.

    Labels that a version kept for validation count, too: its errors rest on them.

    Parameters
    ----------
    database : Database
    which : str
        Number or beginning of the hash of the configuration, or the key of a calculation.

    Raises
    ------
    InputError
        There is no such label.
    """
    configuration, keys = _labels(database, which)
    labels, potentials, runs, found = set(keys), set[int](), set[int](), dict[str, int]()
    fresh = set(keys)
    while fresh:
        made = _potentials(database, fresh) - potentials
        potentials |= made
        numbers = set(_ids(database.md_runs, "potential", made, "number")) - runs
        runs |= numbers
        chosen = {
            document["_id"]: document["number"]
            for part in _parts(numbers)
            for document in database.configurations.find({"origin.md_run": {"$in": part}}, {"number": 1})
        }
        found |= chosen
        fresh = set(_ids(database.calculations, "configuration", chosen)) - labels
        labels |= fresh
    roles = [
        document
        for part in _parts(potentials)
        for document in database.potentials.find({"_id": {"$in": part}}, {"member_of": 1})
    ]
    return {
        "configuration": configuration["number"],
        "calculations": sorted(keys),
        "versions": sorted(document["_id"] for document in roles if document.get("member_of") is None),
        "members": sorted(document["_id"] for document in roles if document.get("member_of") is not None),
        "md_runs": sorted(runs),
        "configurations": sorted(found.values()),
        "labels": sorted(labels - set(keys)),
        "properties": sorted(_ids(database.properties, "potential", potentials)),
    }


def reject(database: Database, which: str, why: str) -> list[str]:
    """Take accepted labels of a configuration back: no later fit uses them; return their keys.

    The numbers stay, and so do the versions that were trained on them: `taint` says which. Documents keep who, when
    and why.

    Parameters
    ----------
    database : Database
    which : str
        As for `taint`.
    why : str
        For those who come later.

    Raises
    ------
    InputError
        There is no such label, none of them is accepted, or no reason was given.
    """
    if not why.strip():
        raise InputError("a label is not rejected without a reason", "--why 'the cell is too small'")
    configuration, keys = _labels(database, which)
    query = {"_id": {"$in": sorted(keys)}, "status": ACCEPTED}
    accepted = [document["_id"] for document in database.calculations.find(query, {"_id": 1})]
    if not accepted:
        raise InputError(
            f"configuration {configuration['number']} has no accepted label",
            f"`mmtp show configuration {configuration['number']}` shows what it has",
        )
    reason = f"rejected by hand: {why.strip()}"
    now = datetime.now(UTC)
    by_hand = {"user": environment.user(), "when": now, "why": why.strip(), "status": ACCEPTED}

    def write(session: ClientSession) -> None:
        overruled = {name: {"$literal": value} for name, value in by_hand.items()} | {"rule": "$rule"}
        verdict = {"status": REJECTED, "rule": BY_HAND, "reason": {"$literal": reason}, "quality": None}
        change = [{"$set": verdict | {"overruled": overruled}}]
        database.calculations.update_many({"_id": {"$in": accepted}}, change, session=session)
        fact = {"result.outcome": REJECTED, "result.reason": reason}
        asked = {"kind": "label", "result.calculation": {"$in": accepted}, "result.outcome": ACCEPTED}
        database.actions.update_many(asked, {"$set": fact}, session=session)

    with database.launchpad.connection.start_session() as session:
        session.with_transaction(write)
    return accepted


def _labels(database: Database, which: str) -> tuple[dict[str, Any], list[str]]:
    configuration, slash, _ = which.partition("/")
    document = history.one(database.configurations, configuration, "configuration")
    found = [item["_id"] for item in database.calculations.find({"configuration": document["_id"]}, {"_id": 1})]
    keys = [key for key in found if key.startswith(which)] if slash else found
    if not keys:
        raise InputError(
            f"configuration {document['number']} has no label '{which}'", "`mmtp find` lists what is there"
        )
    return document, keys


def _potentials(database: Database, labels: Collection[str]) -> set[int]:
    """Return the versions and members that were trained on labels, and all that were made from these."""
    sets = set(_ids(database.training_sets, "calculations", labels))
    made = set(_ids(database.potentials, "training_set", sets))
    children = made
    while children:
        children = {*_ids(database.potentials, "parent", children), *_ids(database.potentials, "member_of", children)}
        children -= made
        made |= children
    return made


def _ids(collection: MongoCollection[Any], field: str, values: Iterable[Any], wanted: str = "_id") -> list[Any]:
    found = (collection.find({field: {"$in": part}}, {wanted: 1}) for part in _parts(values))
    return [document[wanted] for documents in found for document in documents]


def _parts(values: Iterable[Any]) -> Iterable[list[Any]]:
    items = list(values)
    return (items[start : start + _MANY] for start in range(0, len(items), _MANY))
