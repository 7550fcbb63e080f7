"""The pretraining set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw.firetasks.base import Context
from mmtp_fw.firetasks.configurations import store_configurations
from mmtp_fw.firetasks.start import pretraining_set
from mmtp_fw.loop.facts import seed_of


class PretrainWork:
    """`Work` of the pretraining action."""

    def compute(self, context: Context) -> list[Atoms]:
        """Generate the configurations with their target moments."""
        campaign = context.campaign
        seed = seed_of(campaign, context.action.key)
        return pretraining_set(campaign, campaign.system.lattice_parameters_A, campaign.pretraining.structures, seed)

    def store(self, context: Context, payload: list[Atoms], session: ClientSession) -> Mapping[str, Any]:
        """Store each configuration once."""
        return store_configurations(context, payload, session)
