"""What the commands ask for by name or by condition; everything comes back as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mmtp_fw.database import views
from mmtp_fw.errors import InputError

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

_FEW = 2000
"""Up to so many calculations that fulfil a condition, their configurations are looked up; with more of them the
newest configurations are gone through until enough are found."""


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
        Most configurations, newest first.

    Returns
    -------
    list of LabelRow
        One for every label of a configuration that fulfils the conditions, or for a configuration without one.
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
    if of_label and database.calculations.count_documents(of_label, limit=_FEW) < _FEW:
        about["_id"] = {"$in": database.calculations.distinct("configuration", of_label)}
    rows: list[views.LabelRow] = []
    found = 0
    for configurations in _newest_first(database, about, limit):
        chosen = of_label | {"configuration": {"$in": [document["_id"] for document in configurations]}}
        labels: dict[str, list[dict[str, Any]]] = {}
        for calculation in views.calculations(database, chosen):
            labels.setdefault(calculation["configuration"], []).append(calculation)
        for document in configurations:
            made = labels.get(document["_id"], [] if of_label else [{}])
            rows += [views.label_row(document, calculation) for calculation in made]
            found += bool(made)
            if found == limit:
                return rows
    return rows


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
