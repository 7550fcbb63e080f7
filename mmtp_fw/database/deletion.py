"""Deleting a campaign: all that is its own goes, what others use stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne
from pymongo.collection import Collection

from mmtp_fw.database import blobs, queries, views
from mmtp_fw.database.collections import DECLARED
from mmtp_fw.errors import InputError

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

_MANY = 1000
_BY_KEY = ("claims", "fit_checkpoints", "suspicions")


@dataclass(frozen=True)
class Deletion:
    """What goes with a campaign, in the order in which it is deleted: interrupted, it is found again.

    Attributes
    ----------
    campaign : str
    ids : dict of str to list
        Ids of documents by collection, FireWorks' own included.
    handed_on : dict of str to str
        Configurations that another campaign uses, and which: they become that campaign's, with the old origin inside.
    """

    campaign: str
    ids: dict[str, list[Any]]
    handed_on: dict[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """Number of documents by collection; what there is none of is left out."""
        return {name: len(ids) for name, ids in self.ids.items() if ids}


def deletion_of(database: Database, campaign: str) -> Deletion:
    """Find what would be deleted with a campaign; nothing is changed.

    Raises
    ------
    InputError
        No such campaign; tasks of it still run; another campaign goes on from one of its potentials.
    """
    document = queries.campaign(database, campaign, "finished", "held")
    running = views.running(database, campaign)
    if running:
        raise InputError(
            f"{len(running)} tasks of campaign '{campaign}' still run, as {running[0]['key']}",
            f"`mmtp cancel {campaign}` lets nothing new start; then wait, or end its workers",
        )
    if document.get("finished") is None and document.get("held") is None:
        raise InputError(f"campaign '{campaign}' is under way", f"`mmtp cancel {campaign}` stops it")
    own = {"campaign": campaign}
    configurations = _ids(database.configurations, DECLARED["configurations"].of_campaign(campaign))
    handed_on = _used_by_others(database, campaign, configurations)
    potentials = _ids(database.potentials, own)
    _refuse_used(database, campaign, potentials)
    sets = set(database.potentials.distinct("training_set", own)) - {None}
    sets -= set(database.potentials.distinct("training_set", {"campaign": {"$ne": campaign}}))
    gone = [key for key in configurations if key not in handed_on]
    numbers = _ids(database.launchpad.fireworks, {"spec.campaign": campaign}, "fw_id")
    ids: dict[str, list[Any]] = {
        "launches": _among(database.launchpad.launches, "fw_id", numbers),
        "workflows": _ids(database.launchpad.workflows, {"metadata.campaign": campaign}),
        "fireworks": _ids(database.launchpad.fireworks, {"spec.campaign": campaign}),
        "blobs": sorted(_blobs(database, campaign)),
        "calculations": _calculations(database, campaign, gone, sets),
        "training_sets": sorted(sets),
        **{name: _ids(database.db[name], own) for name in ("md_runs", "properties")},
        "potentials": potentials,
        "actions": _ids(database.actions, own),
        "configurations": gone,
        **{name: _ids(database.db[name], DECLARED[name].of_campaign(campaign)) for name in _BY_KEY},
        "campaigns": [campaign],
    }
    return Deletion(campaign, ids, handed_on)


def delete(database: Database, found: Deletion) -> None:
    """Delete what `deletion_of` found."""
    for name, ids in found.ids.items():
        if name == "configurations":
            _hand_on(database, found)
        for part in _parts(ids):
            if name == "blobs":
                for digest in part:
                    blobs.remove(database, digest)
            else:
                database.db[name].delete_many({"_id": {"$in": part}})


def _used_by_others(database: Database, campaign: str, configurations: Iterable[str]) -> dict[str, str]:
    """Return the configurations that actions of other campaigns are about or gave, each with one of these."""
    found: dict[str, str] = {}
    for part in _parts(configurations):
        wanted = {"$in": part}
        about = [{"params.configuration": wanted}, {"result.configurations": wanted}]
        query = {"campaign": {"$ne": campaign}, "$or": about}
        fields = {"campaign": 1, "params.configuration": 1, "result.configurations": 1}
        mine = set(part)
        for action in database.actions.find(query, fields).sort("_id", 1):
            result = action.get("result") or {}
            named = [action["params"].get("configuration"), *result.get("configurations", ())]
            found |= {key: action["campaign"] for key in named if key in mine and key not in found}
    return found


def _refuse_used(database: Database, campaign: str, potentials: list[int]) -> None:
    others = {"campaign": {"$ne": campaign}}
    for name, field in (("potentials", "parent"), ("potentials", "member_of"), ("md_runs", "potential")):
        for part in _parts(potentials):
            user = database.db[name].find_one(others | {field: {"$in": part}}, {"campaign": 1, field: 1})
            if user is not None:
                raise InputError(
                    f"potential {user[field]} of campaign '{campaign}' is the {field} of {name} {user['_id']} of "
                    f"'{user['campaign']}'",
                    "delete that campaign first",
                )


def _calculations(database: Database, campaign: str, configurations: list[str], sets: set[str]) -> list[str]:
    """Return the calculations that only this campaign uses: of its own configurations, and its own of others'."""
    asked = {"campaign": campaign, "result.calculation": {"$ne": None}}
    mine = {action["result"]["calculation"] for action in database.actions.find(asked, {"result.calculation": 1})}
    mine |= set(_among(database.calculations, "configuration", configurations))
    for part in _parts(sorted(mine)):
        used = {"campaign": {"$ne": campaign}, "result.calculation": {"$in": part}}
        mine -= {action["result"]["calculation"] for action in database.actions.find(used, {"result.calculation": 1})}
        trained = {"_id": {"$nin": sorted(sets)}, "calculations": {"$in": part}}
        for kept in database.training_sets.find(trained, {"calculations": 1}):
            mine -= set(kept["calculations"])
    return sorted(mine)


def _blobs(database: Database, campaign: str) -> set[str]:
    """Return the blobs that only documents of this campaign hold."""
    mine: set[str] = set()
    others: set[str] = set()
    for name, declared in DECLARED.items():
        for field in declared.blobs:
            own = declared.of_campaign(campaign)
            mine |= set(database.db[name].distinct(field, own)) - {None}
            others |= set(database.db[name].distinct(field, {"$nor": [own]}))
    return mine - others


def _hand_on(database: Database, found: Deletion) -> None:
    """Make shared configurations another campaign's; what their origin was stays readable in it."""
    changes = [
        UpdateOne(
            {"_id": key, "origin.campaign": found.campaign},
            [{"$set": {"origin": {"$literal": {}}, "was": "$origin"}},
             {"$set": {"origin": {"campaign": other, "generator": "a deleted campaign", "deleted": "$was"}}},
             {"$unset": "was"}],
        )
        for key, other in found.handed_on.items()
    ]  # fmt: skip
    if changes:
        database.configurations.bulk_write(changes)


def _ids(collection: Collection[dict[str, Any]], query: dict[str, Any], field: str = "_id") -> list[Any]:
    return [document[field] for document in collection.find(query, {field: 1}).sort("_id", 1)]


def _among(collection: Collection[dict[str, Any]], field: str, values: Iterable[Any]) -> list[Any]:
    return [key for part in _parts(values) for key in _ids(collection, {field: {"$in": part}})]


def _parts(values: Iterable[Any]) -> Iterator[list[Any]]:
    items = list(values)
    return (items[start : start + _MANY] for start in range(0, len(items), _MANY))
