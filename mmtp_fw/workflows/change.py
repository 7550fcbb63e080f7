"""Changing the settings of a campaign that is there: what was done stays, the planner goes on with the new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mmtp_fw import log
from mmtp_fw.campaign import Campaign, stored_campaign
from mmtp_fw.campaign.changes import computes_nothing, differences, with_changes
from mmtp_fw.database import Database, environment, queries
from mmtp_fw.errors import InputError
from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.planner import locate
from mmtp_fw.md.settings import MdSettings
from mmtp_fw.workflows.reopen import reopen

_LOG = log.logger(__name__)


def change_settings(database: Database, campaign_id: str, assignments: Sequence[str]) -> dict[str, Any]:
    """Give a campaign other settings from its next round on; limits hold at once. A finished one goes on.

    Parameters
    ----------
    database : Database
        An open database.
    campaign_id : str
        The campaign's name.
    assignments : sequence of str
        ``section.key=value``.

    Returns
    -------
    dict
        The entry of the campaign's history: when, user, from_iteration, changed (old and new value by key), before (all
        settings).

    Raises
    ------
    InputError
        See `mmtp_fw.campaign.changes.with_changes`; or nothing would change.
    """
    stored = queries.campaign(database, campaign_id, "settings")["settings"]
    known = stored_campaign(stored)
    new = with_changes(known, assignments)
    _check_dynamics(new)
    if not differences(known, new):
        raise InputError(f"campaign '{campaign_id}' has these settings", f"`mmtp show campaign {campaign_id}`")
    return replace_settings(database, known, new, stored)


def replace_settings(database: Database, known: Campaign, new: Campaign, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Put `new` in the place of `known`, which is `stored`; return the entry of the history."""
    facts = gather(database, known.name)
    position = locate(facts)
    changed = differences(known, new)
    entry = {
        "when": datetime.now(UTC),
        "user": environment.user(),
        "from_iteration": position.iteration + facts.explored(position.iteration),
        "changed": changed,
        "before": known.document(),
    }
    # A dot in a name is a path to MongoDB's queries, hence pairs.
    kept = entry | {"changed": [[key, *values] for key, values in changed.items()]}
    update = {"$set": {"settings": new.document()}, "$push": {"history": kept}}
    where = {"settings": stored}
    if all(map(computes_nothing, changed)):
        done = database.campaigns.update_one({"_id": known.name, **where}, update).matched_count == 1
    else:
        done = reopen(database, known.name, why="the settings were changed", update=update, where=where)
    if not done:
        raise InputError(f"campaign '{known.name}' was changed by another at the same moment", "look, and try again")
    _LOG.info("settings changed: %s", ", ".join(changed), extra={"campaign": known.name})
    return entry


def _check_dynamics(campaign: Campaign) -> None:
    """Refuse settings of molecular dynamics that no trajectory would take."""
    own = {"steps": campaign.md.steps, "temperature_K": campaign.md.temperatures_K[0]}
    try:
        MdSettings(**own | {"timestep_fs": campaign.md.timestep_fs} | campaign.md.settings)
    except (TypeError, ValueError) as error:
        first = next((line for line in str(error).splitlines()[1:2]), str(error)).strip()
        raise InputError(
            f"md.settings: {first}: {str(error).splitlines()[-1].strip()}", "see docs/lammps.md"
        ) from error
