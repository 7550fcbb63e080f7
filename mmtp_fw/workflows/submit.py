"""Planned actions into the database, then into FireWorks: any process may do it, any number of times."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pymongo.errors import DuplicateKeyError

from mmtp_fw import log
from mmtp_fw.campaign import BudgetSettings, Campaign, NotifySettings, stored_campaign
from mmtp_fw.campaign.changes import SERVICE, differences, settable
from mmtp_fw.campaign.experiment import ExperimentSettings
from mmtp_fw.database import ActionDocument, CampaignDocument, Database, queries, store
from mmtp_fw.errors import InputError
from mmtp_fw.loop.documents import document_of
from mmtp_fw.loop.facts import Action, Category, Kind
from mmtp_fw.loop.gather import awaited, earlier_settings, gather_open, keep_closed
from mmtp_fw.loop.planner import Position, due_at, walk
from mmtp_fw.workflows.build import build, build_advance
from mmtp_fw.workflows.change import replace_settings

_LOG = log.logger(__name__)


def submit_campaign(database: Database, campaign: Campaign, folder: Path | None = None) -> Position:
    """Store a campaign and plan its first actions; the same campaign again goes on where it stands.

    With a larger budget it goes on as well, a finished one too: nothing that it has decided or computed changes.

    Parameters
    ----------
    database : Database
        An open database.
    campaign : Campaign
        Checked settings; their name is the campaign's id.
    folder : Path
        Where the names of ``start_from.labels`` begin: the folder of the campaign's file.

    Returns
    -------
    Position
        Where the campaign stands now.

    Raises
    ------
    InputError
        The DFT engine refuses its settings, or a campaign of that name is already there with other settings, paused or
        cancelled.
    """
    from mmtp_fw.dft import get_engine  # numba, which workers that label nothing do without

    get_engine(campaign.dft.engine, **campaign.dft.settings)
    document = CampaignDocument(_id=campaign.name, name=campaign.name, settings=campaign.document())
    with contextlib.suppress(DuplicateKeyError):
        database.campaigns.insert_one(document.to_mongo())
    if (held := queries.held(database, campaign.name)) is not None:
        raise InputError(
            f"campaign '{campaign.name}' is {queries.held_words(held)}",
            f"`mmtp resume {campaign.name}` goes on with it",
        )
    stored = queries.campaign(database, campaign.name, "settings", "history", "imports.digest")
    known = stored_campaign(stored["settings"])
    if refuse_other_settings(campaign, known, [before for _, before in earlier_settings(stored)]):
        raised = known.model_copy(update={"budget": campaign.budget})
        replace_settings(database, known, raised, stored["settings"])
        _LOG.info("goes on with a larger budget", extra={"campaign": campaign.name})
    elif (told := _told_anew(campaign, known)) != known:
        replace_settings(database, known, told, stored["settings"])
    if awaited(known, stored):
        from mmtp_fw.workflows.imports import import_awaited  # numba

        import_awaited(database, known, folder or Path())
    return advance(database, campaign.name)


def _told_anew(campaign: Campaign, known: Campaign) -> Campaign:
    """Return stored settings with what changes nothing that is computed, where the file gives it."""
    if campaign.notify != NotifySettings():
        known = known.model_copy(update={"notify": campaign.notify})
    measured = campaign.properties.experiment
    return _with_experiment(known, measured) if measured else known


def _with_experiment(campaign: Campaign, measured: list[ExperimentSettings]) -> Campaign:
    properties = campaign.properties.model_copy(update={"experiment": measured})
    return campaign.model_copy(update={"properties": properties})


def refuse_other_settings(campaign: Campaign, known: Campaign, earlier: Sequence[Campaign] = ()) -> bool:
    """Refuse a campaign that a database knows with other settings; return whether only its budget was raised.

    Parameters
    ----------
    campaign : Campaign
        Of a file.
    known : Campaign
        Of the database.
    earlier : sequence of Campaign
        What the settings in the database have been: the old file is taken, and the campaign goes on with the new ones.

    Raises
    ------
    InputError
        Which keys differ, and how.
    """
    changed = _changed(campaign, known)
    if not changed:
        return False
    if any(not _changed(campaign, before) for before in earlier):
        told = ", ".join(f"{key}={known}" for key, (_, known) in differences(campaign, known).items())
        _LOG.warning("goes on with settings changed since: %s", told, extra={"campaign": campaign.name})
        return False
    if changed == ["budget"] and _raised(campaign.budget, known.budget):
        return True
    found = {key: pair for key, pair in differences(campaign, known).items() if key.partition(".")[0] in changed}
    told = "; ".join(f"{key}: {mine} in the file, {theirs} in the database" for key, (mine, theirs) in found.items())
    hint = "give the new campaign another name, or take the old settings to go on with it"
    if all(map(settable, found)):
        values = " ".join(f"'{key}={json.dumps(mine)}'" for key, (mine, _) in found.items())
        hint = f"`mmtp set {campaign.name} {values}` changes them there"
    raise InputError(f"campaign '{campaign.name}' is in the database with other settings: {told}", hint)


def advance(database: Database, campaign_id: str) -> Position:
    """Plan what is due, record it, and add its workflows.

    An action is recorded under its unique key before its workflow is added, and only who recorded it adds the
    workflow; `mmtp_fw.loop.reconcile` adds what a crash in between left out.

    Parameters
    ----------
    database : Database
        An open database.
    campaign_id : str
        The campaign's name.

    Returns
    -------
    Position
        Where the campaign stands; nothing is planned in one that is paused or cancelled.
    """
    facts, reopened = gather_open(database, campaign_id)
    closed, position = walk(facts)
    if closed.rounds > facts.closed.rounds:
        keep_closed(database, facts, closed, reopened)
    if queries.held(database, campaign_id) is not None:
        return position
    due = [action for action in due_at(facts, position) if action.key not in facts.planned]
    new = record(database, campaign_id, due)
    add_workflows(database, campaign_id, new)
    for action in new:
        _LOG.info("planned", extra={"campaign": campaign_id, "action": action.key})
    return position


def advance_after(database: Database, action: Action) -> None:
    """Plan what an action that has just been finished makes due.

    A label makes nothing due as long as another one of its round is open: whoever finishes the last one plans. What a
    crash has kept from being planned is planned by those who mend.
    """
    campaign_id = action.key.split("/", 1)[0]
    if action.kind is Kind.LABEL:
        others = queries.unfinished(campaign_id) | {"iteration": action.iteration, "kind": Kind.LABEL.value}
        if database.actions.find_one(others, {"_id": 1}) is not None:
            return
    advance(database, campaign_id)


def record(database: Database, campaign_id: str, actions: Sequence[Action]) -> list[Action]:
    """Store planned actions, in few round trips; return those that were new."""
    documents = [document_of(campaign_id, action) for action in actions]
    there = {str(key) for key in store.insert_new(database.actions, documents)}
    found = database.actions.find({"_id": {"$in": sorted(there)}, "withdrawn": {"$ne": None}}, {"_id": 1})
    again = {one["_id"] for one in found} if there else set()
    wanted = {document.id for document in documents if document.id in again and _wanted_again(database, document)}
    return [action for action in actions if action.key not in there or action.key in wanted]


def _wanted_again(database: Database, document: ActionDocument) -> bool:
    """Plan an action anew that was withdrawn; return whether it was."""
    anew = {"params": document.params, "after": document.after, "withdrawn": None}
    found = database.actions.update_one({"_id": document.id, "withdrawn": {"$ne": None}}, {"$set": anew})
    return found.modified_count == 1


def stored_action(database: Database, key: str) -> Action:
    """Return a planned action by its key.

    Raises
    ------
    InputError
        No such action was ever planned.
    """
    document = database.actions.find_one({"_id": key})
    if document is None:
        raise InputError(f"no action '{key}' in this database", "was the campaign planned in another database?")
    return Action(
        key=key,
        kind=Kind(document["kind"]),
        category=Category(document["category"]),
        iteration=document["iteration"],
        params=document["params"],
        after=tuple(document["after"]),
        priority=document["priority"],
    )


def add_workflows(database: Database, campaign_id: str, actions: Iterable[Action]) -> None:
    """Add one workflow per action to the LaunchPad, in one bulk write; none of a campaign that is held."""
    if queries.held(database, campaign_id) is not None:  # resuming it adds what is missing
        return
    _add(database, [build(campaign_id, action) for action in actions])


def add_advance(database: Database, campaign_id: str) -> None:
    """Add a workflow that plans the campaign's next actions wherever it is pulled."""
    _add(database, [build_advance(campaign_id)])


def _add(database: Database, workflows: Sequence[object]) -> None:
    if not workflows:
        return
    # FireWorks draws a progress bar for every bulk insertion, were it of one workflow.
    with contextlib.redirect_stderr(io.StringIO()):
        database.launchpad.bulk_add_wfs(workflows)


def _raised(new: BudgetSettings, old: BudgetSettings) -> bool:
    """Return whether no limit is lower than before."""
    return all(getattr(new, name) >= getattr(old, name) for name in BudgetSettings.model_fields)


_EARLIER: Mapping[str, Mapping[str, Any]] = {
    "selection": {"clean_rounds": 1},
    "system": {"held_out_lattice_parameters_A": [3.60]},
    "potential": {"r_min_A": 1.9},
    "properties": {"magnetic_order": "ferromagnetic"},
}
"""What earlier versions took where a file left it open, by section and key."""


def _changed(new: Campaign, old: Campaign) -> list[str]:
    """Name the sections that differ; how many workers run is no property of a campaign.

    Where the file leaves open what had another default when the campaign was submitted, the stored value holds.
    """
    for section, earlier in _EARLIER.items():
        mine, stored = getattr(new, section), getattr(old, section)
        kept = {
            name: value
            for name, value in earlier.items()
            if name not in mine.model_fields_set and getattr(stored, name) == value
        }
        new = new.model_copy(update={section: mine.model_copy(update=kept)})
    new = _with_experiment(new, old.properties.experiment)
    fields = [name for name in Campaign.model_fields if name not in SERVICE]
    return [name for name in fields if getattr(new, name) != getattr(old, name)]
