"""Selection from the candidates of all trajectories of a round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw import log
from mmtp_fw.campaign import Campaign
from mmtp_fw.database import atoms_codec, store
from mmtp_fw.dft import get_engine
from mmtp_fw.dft.checks import check_request
from mmtp_fw.dft.targets import drawn_back, largest_targets
from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.firetasks.base import Context
from mmtp_fw.firetasks.configurations import store_configurations
from mmtp_fw.firetasks.potentials import load_active_set

_LOG = log.logger(__name__)


class SelectWork:
    """`Work` of a select action."""

    def compute(self, context: Context) -> list[Atoms]:
        """Reduce the candidates to those that raise the active set's volume most."""
        active_set = load_active_set(context.database, context.action.params["potential"])
        candidates = self._candidates(context)
        chosen = active_set.select(candidates, max_count=context.action.params["max_count"])
        selected = [candidates[index] for index in chosen]
        for atoms in selected:
            atoms.info["grade"] = float(active_set.grade(atoms))
            atoms.info["potential"] = context.action.params["potential"]
        return selected

    def store(self, context: Context, payload: list[Atoms], session: ClientSession) -> Mapping[str, Any]:
        """Make configurations of what was selected."""
        return store_configurations(context, payload, session)

    def _candidates(self, context: Context) -> list[Atoms]:
        """Return the candidates of the round that can be labelled and never went to DFT in this campaign."""
        # Only of rounds up to this one: what it selects itself must come out the same when it runs again.
        labels = {
            "campaign": context.campaign.name,
            "kind": "label",
            "iteration": {"$lte": context.action.iteration},
        }
        found = context.database.actions.find(labels, {"params.configuration": 1})
        tried = {document["params"]["configuration"] for document in found}
        possible = _Possible(context.campaign)
        candidates: dict[str, Atoms] = {}
        for key in context.action.after:
            run = context.database.md_runs.find_one({"_id": key}, {"number": 1})
            for saved in store.candidates_of(context.database, key):
                atoms = possible(saved)
                if atoms is None:
                    continue
                atoms.info["md_run"] = run["number"] if run else None
                candidates.setdefault(atoms_codec.content_hash(atoms), atoms)
        return [atoms for digest, atoms in candidates.items() if digest not in tried]


class _Possible:
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
            _LOG.info("step %s is no candidate: %s", candidate.info.get("step"), error)
            return None
        except EngineError:  # a program that labels elsewhere
            pass
        return atoms
