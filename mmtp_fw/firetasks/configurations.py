"""Structures that a task has made: which of them can be labelled, and as configurations in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw import log
from mmtp_fw.campaign import Campaign
from mmtp_fw.database import store
from mmtp_fw.dft import get_engine
from mmtp_fw.dft.checks import check_request
from mmtp_fw.dft.targets import drawn_back, largest_targets
from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.firetasks.base import Context

_LOG = log.logger(__name__)


def store_configurations(context: Context, made: Sequence[Atoms], session: ClientSession) -> Mapping[str, Any]:
    """Store each structure once; return the result of the action that made them.

    Parameters
    ----------
    context : Context
    made : sequence of Atoms
        Their `info` becomes part of the origin.
    session : ClientSession
        Of the claim's transaction.
    """
    origin = {"campaign": context.campaign.name, "action": context.action.key}
    hashes = [
        store.add_configuration(context.database, atoms, origin=origin | atoms.info, session=session) for atoms in made
    ]
    return {"configurations": list(dict.fromkeys(hashes))}


class Possible:
    """What of a candidate the engine of a campaign can label."""

    def __init__(self, campaign: Campaign) -> None:
        self.engine = get_engine(campaign.dft.engine, **campaign.dft.settings)
        typical = campaign.system.typical_moments_muB
        limits = {species: self.engine.largest_moment(species) for species in typical}
        self.largest = largest_targets(typical, limits, campaign.potential.max_moment_muB)

    def __call__(self, candidate: Atoms) -> Atoms | None:
        """Return the candidate, its moments drawn back where they ran away; None if it would be refused."""
        atoms, changed = drawn_back(candidate, self.largest)
        if changed:
            atoms.info["drawn_back"] = changed
        try:
            check_request(self.engine, atoms)
        except InputError as error:
            where = f"step {candidate.info['step']}" if "step" in candidate.info else "a hole"
            _LOG.info("%s is no candidate: %s", where, error)
            return None
        except EngineError:  # a program that labels elsewhere
            pass
        return atoms
