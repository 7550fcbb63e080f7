"""What a campaign would find in a database and cost, before it is submitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ase import Atoms

from mmtp_fw.campaign import Campaign, stored_campaign
from mmtp_fw.database import Database, atoms_codec
from mmtp_fw.dft import get_engine
from mmtp_fw.dft.registry import checked_settings
from mmtp_fw.errors import EngineError, MmtpError
from mmtp_fw.firetasks.label import calculation_key
from mmtp_fw.firetasks.pretrain import first_configurations
from mmtp_fw.firetasks.start import check_engine
from mmtp_fw.labelling import ACCEPTED
from mmtp_fw.loop.cost import Cost, Measured, estimate
from mmtp_fw.loop.facts import Facts, Kind
from mmtp_fw.loop.gather import earlier_settings
from mmtp_fw.workflows.submit import refuse_other_settings

# The newest calculations of an engine that say what its calculations take.
_NEWEST = 200


@dataclass(frozen=True)
class Outlook:
    """What was found.

    Attributes
    ----------
    cost : Cost
    first : int
        Configurations of the first set.
    first_labelled : int or None
        Those that have an accepted label with the campaign's own engine, settings and protocol; None where no database
        was looked at.
    labels : int or None
        Accepted labels that the campaign has, where the database knows it; None where it doesn't.
    lacks : str
        What is missing here that workers of this machine would need; empty where nothing is.
    """

    cost: Cost
    first: int
    first_labelled: int | None
    labels: int | None
    lacks: str


def foresee(campaign: Campaign, database: Database | None) -> Outlook:
    """Check a campaign as if it were submitted, and estimate what it costs.

    Parameters
    ----------
    campaign : Campaign
    database : Database, optional
        Where its labels would be; nothing is written.

    Raises
    ------
    InputError
        What `mmtp submit` would refuse: settings that the engine doesn't know, species, moments or orders that can't be
        computed, a campaign of that name with other settings.
    """
    lacks = ""
    try:
        check_engine(campaign, here=True)
    except EngineError as error:
        lacks = str(error)
    cells = first_configurations(campaign, Facts(campaign).action(0, Kind.PRETRAIN).key)
    if database is None:
        return Outlook(estimate(campaign, cells), len(cells), None, None, lacks)
    labels = _labels(database, campaign)
    labelled = _labelled(database, campaign, cells)
    stages = list(_stages(database, campaign))
    cost = estimate(campaign, cells, stages, labelled if labels is None else max(labels, labelled))
    return Outlook(cost, len(cells), labelled, labels, lacks)


def _labels(database: Database, campaign: Campaign) -> int | None:
    """Return the accepted labels of a campaign that is there, refused where its settings are others."""
    known = database.campaigns.find_one({"_id": campaign.name}, {"settings": 1, "history": 1})
    if known is None:
        return None
    earlier = [before for _, before in earlier_settings(known)]
    refuse_other_settings(campaign, stored_campaign(known["settings"]), earlier)
    mine = {"campaign": campaign.name, "kind": Kind.LABEL.value, "result.outcome": ACCEPTED}
    return database.actions.count_documents(mine)


def _labelled(database: Database, campaign: Campaign, cells: list[Atoms]) -> int:
    """Return how many configurations have their label."""
    engine = get_engine(campaign.dft.engine, **campaign.dft.settings)
    keys = [calculation_key(atoms_codec.content_hash(cell), engine, campaign.dft.protocol) for cell in cells]
    return database.calculations.count_documents({"_id": {"$in": keys}, "status": ACCEPTED})


def _stages(database: Database, campaign: Campaign) -> Iterator[Measured]:
    """Iterate over the finished stages of the campaign's engine in its newest calculations."""
    description = campaign.dft.description
    # How many processes worked is no part of a calculation's record: those of the campaign are taken.
    processes = getattr(checked_settings(description, campaign.dft.settings), "mpi_processes", 1)
    wanted = {"engine": description.name, "stages.scf_steps": {"$gt": 0}}
    fields = {"configuration": 1, "engine_settings": 1, "stages.scf_steps": 1, "stages.wall_seconds": 1}
    fields |= {"stages.reused_from": 1, "stages.converged": 1}
    found = list(database.calculations.find(wanted, fields).sort("created", -1).limit(_NEWEST))
    atoms = _cells(database, {calculation["configuration"] for calculation in found})
    for calculation in found:
        cell = atoms.get(calculation["configuration"])
        try:
            count = description.costs.work
            work = None if count is None or cell is None else count(calculation["engine_settings"], cell)
        except (MmtpError, ValueError):  # settings of an earlier version, or data that are gone
            continue
        for stage in calculation["stages"]:
            if stage.get("reused_from") is None and stage.get("converged"):
                yield Measured(work, stage.get("scf_steps", 0), processes * stage.get("wall_seconds", 0.0))


def _cells(database: Database, keys: set[str]) -> Mapping[str, Any]:
    found = database.configurations.find({"_id": {"$in": sorted(keys)}}, {"atoms": 1})
    return {document["_id"]: atoms_codec.from_document(document["atoms"]) for document in found}
