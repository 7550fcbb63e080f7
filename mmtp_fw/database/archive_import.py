"""Documents of an archive into a database: everything is looked at before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from mmtp_fw.database import blobs, store
from mmtp_fw.database.collections import KEY
from mmtp_fw.errors import InputError

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

_BY_CONTENT = ("environments", "configurations", "calculations", "training_sets")
"""Collections in which the same key means the same thing, whatever else was noted with it."""
_NUMBERED = {"configurations": "number", "md_runs": "number", "potentials": KEY}
_MANY = 500
Documents = Mapping[str, Mapping[Any, dict[str, Any]]]


class Imported(TypedDict):
    """How many documents were written, how many were there, and configurations that got another number."""

    written: dict[str, int]
    there: dict[str, int]
    renumbered: int


def write(
    database: Database, path: Path, documents: Documents, contents: Mapping[str, bytes], order: Sequence[str]
) -> Imported:
    """Write what is not there, in an order of collections; see `mmtp_fw.database.archive.load`.

    Raises
    ------
    InputError
        The database has something else under a key.
    """
    new = {name: _new(database, path, name, documents[name]) for name in order}
    _check_numbers(database, path, new["md_runs"])
    for digest, content in contents.items():
        if blobs.put(database, content, "imported") != digest:
            raise InputError(f"{path}: blob {digest} is not what its name says")
    renumbered = _renumber(database, new["configurations"])
    _raise_counters(database, documents)
    for name in order:
        for start in range(0, len(new[name]), _MANY):
            database.db[name].insert_many(new[name][start : start + _MANY])
    return {
        "written": {name: len(new[name]) for name in order},
        "there": {name: len(documents[name]) - len(new[name]) for name in order},
        "renumbered": renumbered,
    }


def _new(database: Database, path: Path, name: str, documents: Mapping[Any, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the documents that are not there.

    Raises
    ------
    InputError
        One is there, and another one.
    """
    there = set()
    keys = list(documents)
    for start in range(0, len(keys), _MANY):
        for found in database.db[name].find({KEY: {"$in": keys[start : start + _MANY]}}):
            there.add(found[KEY])
            if name not in _BY_CONTENT and not _same(name, found, documents[found[KEY]]):
                raise InputError(
                    f"{path}: '{found[KEY]}' of {name} is another one in {database!r}", "import into an empty database"
                )
    return [document for key, document in documents.items() if key not in there]


def _same(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two documents of a key are the same thing; a campaign may have gone on since."""
    fields = ("settings", "created") if name == "campaigns" else ("created",)
    return all(one.get(field) == other.get(field) for field in fields)


def _check_numbers(database: Database, path: Path, runs: Sequence[dict[str, Any]]) -> None:
    numbers = [run["number"] for run in runs]
    taken = database.md_runs.find_one({"number": {"$in": numbers}}, {"number": 1})
    if taken is not None:
        raise InputError(
            f"{path}: MD run {taken['number']} is another one in {database!r}", "import into an empty database"
        )


def _renumber(database: Database, configurations: Sequence[dict[str, Any]]) -> int:
    """Give configurations whose number is taken another one; return how many."""
    numbers = [document["number"] for document in configurations]
    query = {"number": {"$in": numbers}}
    taken = {document["number"] for document in database.configurations.find(query, {"number": 1})}
    _raise(database, "configurations", max(numbers, default=0))
    changed = [document for document in configurations if document["number"] in taken]
    for document in changed:
        document["number"] = store.next_number(database, "configurations")
    return len(changed)


def _raise_counters(database: Database, documents: Documents) -> None:
    for name, field in _NUMBERED.items():
        _raise(database, name, max((document[field] for document in documents[name].values()), default=0))


def _raise(database: Database, counter: str, value: int) -> None:
    database.counters.update_one({KEY: counter}, {"$max": {"value": value}}, upsert=True)
