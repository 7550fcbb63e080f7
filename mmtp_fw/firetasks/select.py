"""Selection from the candidates of all trajectories of a round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw.database import atoms_codec, store
from mmtp_fw.firetasks.base import Context
from mmtp_fw.firetasks.configurations import Possible, store_configurations
from mmtp_fw.firetasks.potentials import load_active_set


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
        possible = Possible(context.campaign)
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
