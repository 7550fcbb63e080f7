"""From the database to the planner's facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmtp_fw.campaign import Campaign, stored_campaign
from mmtp_fw.database import Database, queries
from mmtp_fw.loop.closed import Closed
from mmtp_fw.loop.facts import Action, Fact, Facts, Kind
from mmtp_fw.loop.fits import MEMBER


def campaign_settings(database: Database, campaign_id: str) -> Campaign:
    """Return the settings of a stored campaign, as they are now.

    Raises
    ------
    InputError
        The database knows no campaign of that name, or its settings are not understood here.
    """
    return stored_campaign(queries.campaign(database, campaign_id, "settings")["settings"])


def settings_of(database: Database, action: Action) -> Campaign:
    """Return the settings with which an action is done: those of its round, or of today where it belongs to none.

    Raises
    ------
    InputError
        See `campaign_settings`.
    """
    document = queries.campaign(database, action.key.split("/", 1)[0], "settings", "history")
    campaign = stored_campaign(document["settings"])
    if action.kind in (Kind.PROPERTY, Kind.REPORT) or action.params.get("role") == MEMBER:
        return campaign
    return Facts(campaign, earlier=earlier_settings(document)).at(action.iteration)


def earlier_settings(document: Mapping[str, Any]) -> tuple[tuple[int, Campaign], ...]:
    """Return what the settings of a campaign's document were before, for `Facts`."""
    changes = document.get("history", ())
    return tuple((int(change["from_iteration"]), stored_campaign(change["before"])) for change in changes)


def gather(database: Database, campaign_id: str) -> Facts:
    """Read everything that decides what comes next in a campaign.

    Parameters
    ----------
    database : Database
        An open database.
    campaign_id : str
        The campaign's name.

    Returns
    -------
    Facts
        A snapshot; facts written afterwards are not in it.
    """
    stored = queries.campaign(database, campaign_id, "settings", "history", "imports.digest")
    return _facts(stored, _read(database, {"campaign": campaign_id}), Closed())


def gather_open(database: Database, campaign_id: str) -> tuple[Facts, int]:
    """Read what decides what comes next, ended rounds as they were summed up by `keep_closed`, if they were.

    Parameters
    ----------
    database : Database
        An open database.
    campaign_id : str
        The campaign's name.

    Returns
    -------
    Facts
        From which the planner decides what it does from those of `gather`.
    int
        For `keep_closed`.
    """
    stored = queries.campaign(database, campaign_id, "settings", "history", "imports.digest", "closed", "reopened")
    reopened, closed = int(stored.get("reopened") or 0), stored.get("closed")
    changes = len(stored.get("history") or ())  # of versions, too, that don't know of the sum
    if (
        closed is None
        or (closed["reopened"], closed.get("changes")) != (reopened, changes)
        or _missing(database, campaign_id, closed["rounds"])
    ):
        return _facts(stored, _read(database, {"campaign": campaign_id}), Closed()), reopened
    known = Closed.from_document(closed)
    documents = _read(database, {"campaign": campaign_id, "iteration": {"$gte": known.rounds}})
    documents += _read(database, {"campaign": campaign_id, "iteration": 0, "kind": Kind.PROPERTY.value})
    documents += _read(database, {"_id": known.fit})
    closing = {one for fit in documents if fit["kind"] == Kind.FIT for one in _closing(fit)}
    if closing:
        labels = {"params.configuration": {"$in": sorted(closing)}, "campaign": campaign_id, "kind": Kind.LABEL.value}
        documents += _read(database, labels)
    return _facts(stored, documents, known), reopened


def keep_closed(database: Database, facts: Facts, closed: Closed, reopened: int) -> None:
    """Keep what ended rounds come to, unless something was taken back since the facts were read by `gather_open`."""
    changes = len(facts.earlier)
    same: dict[str, Any] = {"_id": facts.campaign.name, "reopened": reopened or {"$in": [0, None]}}
    same["history"] = {"$size": changes} if changes else {"$in": [[], None]}
    kept = closed.document() | {"reopened": reopened, "changes": changes}
    database.campaigns.update_one(same, {"$set": {"closed": kept}})


_WANTED = {"kind": 1, "iteration": 1, "result": 1, "params.potential": 1, "params.of": 1}


def _read(database: Database, query: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(database.actions.find({**query, "withdrawn": None}, _WANTED))


def _missing(database: Database, campaign_id: str, rounds: int) -> bool:
    """Return whether an ended round has work to do again: its settings or failures were taken back."""
    learning = {"$nin": [Kind.PROPERTY.value, Kind.REPORT.value]}
    learnt = {"iteration": {"$lt": rounds}, "kind": learning, "params.role": {"$ne": MEMBER}}
    return database.actions.find_one(queries.unfinished(campaign_id) | learnt, {"_id": 1}) is not None


def _closing(fit: Mapping[str, Any]) -> Iterable[str]:
    """Return what would close the holes of a fit's potential."""
    configurations: Iterable[str] = (fit.get("result") or {}).get("configurations", ())
    return configurations


def _facts(stored: Mapping[str, Any], documents: Iterable[Mapping[str, Any]], closed: Closed) -> Facts:
    finished: dict[str, Fact] = {}
    planned: set[str] = set()
    potentials: dict[str, int] = {}
    for document in documents:
        key, params = document["_id"], document.get("params", {})
        planned.add(key)
        about = params.get("of") if document["kind"] == Kind.FIT else params.get("potential")
        if about is not None and document["kind"] in (Kind.FIT, Kind.PROPERTY):
            potentials[key] = about
        if document.get("result") is not None:
            finished[key] = Fact.from_result(key, document["kind"], document["iteration"], document["result"])
    settings, earlier = stored_campaign(stored["settings"]), earlier_settings(stored)
    return Facts(settings, finished, frozenset(planned), potentials, earlier, closed, awaited(settings, stored))


def awaited(campaign: Campaign, document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the files of ``start_from.labels`` of which a campaign's document has no import yet."""
    there = {one["digest"] for one in document.get("imports", ())}
    return tuple(one.file for one in campaign.start_from.labels if one.digest not in there)
