"""What the commands ask for by name or by condition; everything comes back as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mmtp_fw.database import views
from mmtp_fw.errors import InputError
from mmtp_fw.labelling import LABEL_STATES, RUNNING, Grade

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

_FEW = 2000
"""Most configurations that are looked at together."""
_STATES = (*LABEL_STATES, RUNNING)


def campaign(database: Database, name: str, *fields: str) -> dict[str, Any]:
    """Return a campaign's document, or some fields of it.

    Raises
    ------
    InputError
        No such campaign.
    """
    document = database.campaigns.find_one({"_id": name}, dict.fromkeys(fields, 1) or None)
    if document is None:
        raise InputError(f"no campaign '{name}' in this database", "`mmtp status` lists the campaigns")
    return document


def unfinished(name: str) -> dict[str, Any]:
    """Return the query for the actions of a campaign that are still to be done: those alone are read."""
    return {"campaign": name, "finished": None, "result": None, "withdrawn": None}


def held(database: Database, name: str) -> dict[str, Any] | None:
    """Return why nothing new of a campaign may start: its field ``held``; None where it may, or is not there."""
    document = database.campaigns.find_one({"_id": name}, {"held": 1})
    return (document or {}).get("held")


def held_words(held: Mapping[str, Any]) -> str:
    """Return in words by whom and why a campaign was paused or cancelled."""
    why = f": {held['why']}" if held["why"] else ""
    return f"{held['state']} since {held['when']:%Y-%m-%d %H:%M} UTC by {held['user']}{why}"


def newest_campaign(database: Database) -> str | None:
    """Return the name of the campaign that was begun last, or None where there is none."""
    newest = database.campaigns.find_one({}, {"_id": 1}, sort=[("created", -1)])
    return str(newest["_id"]) if newest else None


def properties(database: Database, name: str) -> list[dict[str, Any]]:
    """Return the averages of a campaign: source, potential, iteration, params, values."""
    return list(database.properties.find({"campaign": name}).sort("_id", 1))


def find_configurations(
    database: Database,
    *,
    campaign: str | None = None,
    formula: str | None = None,
    status: str | None = None,
    engine: str | None = None,
    quality: str | None = None,
    limit: int = 100,
) -> list[views.LabelRow]:
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
        Of the label: A, B or C.
    limit : int
        Most rows. Of configurations the newest first; with conditions on labels only, the newest labels first.

    Returns
    -------
    list of LabelRow
        One for every label of a configuration that fulfils the conditions, or for a configuration without one.

    Notes
    -----
    No more documents are read than rows are returned, except where conditions on configuration and label meet: then the
    newest configurations are gone through until enough of them have such a label.
    """
    about = _given({"origin.campaign": campaign, "formula": formula})
    of_label = _given({"status": status, "engine": engine, "quality.grade": quality})
    if of_label and not about:
        return _newest_labels(database, of_label, limit)
    rows: list[views.LabelRow] = []
    for configurations in _newest_first(database, about, limit):
        chosen = of_label | {"configuration": {"$in": [document["_id"] for document in configurations]}}
        labels: dict[str, list[dict[str, Any]]] = {}
        for calculation in views.calculations(database, chosen, hint="configuration"):
            labels.setdefault(calculation["configuration"], []).append(calculation)
        for document in configurations:
            made = labels.get(document["_id"], [] if of_label else [{}])
            rows += [views.label_row(document, calculation) for calculation in made]
            if len(rows) >= limit:
                return rows[:limit]
    return rows


def _given(conditions: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in conditions.items() if value is not None}


def _newest_labels(database: Database, of_label: Mapping[str, Any], limit: int) -> list[views.LabelRow]:
    """Return the newest labels that fulfil conditions: the index has them in order for every value of its fields."""
    every = {
        "engine": {"$in": database.calculations.distinct("engine")},
        "status": {"$in": list(_STATES)},
        "quality.grade": {"$in": [None, *(grade.value for grade in Grade)]},
    }
    newest = database.calculations.find({**every, **of_label}, {"_id": 1}).sort([("created", -1), ("_id", -1)])
    keys = [document["_id"] for document in newest.limit(limit)]
    rows = {row["calculation"]: row for row in views.labels_of(database, keys)}
    return [rows[key] for key in keys]


def _newest_first(database: Database, about: Mapping[str, Any], size: int) -> Iterator[list[dict[str, Any]]]:
    """Yield configurations in lists of `size`, then of more and more, the newest first."""
    below: dict[str, Any] = {}
    while True:
        query = {**about, **below}
        part = list(database.configurations.find(query, views.CONFIGURATION).sort("number", -1).limit(size))
        if part:
            yield part
        if len(part) < size:
            return
        below = {"number": {"$lt": part[-1]["number"]}}
        size = max(size, min(2 * size, _FEW))
