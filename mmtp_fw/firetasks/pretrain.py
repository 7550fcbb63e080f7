"""The pretraining set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw.campaign import Campaign
from mmtp_fw.firetasks.base import Context
from mmtp_fw.firetasks.configurations import store_configurations
from mmtp_fw.firetasks.start import pretraining_set
from mmtp_fw.loop.facts import seed_of


def first_configurations(campaign: Campaign, key: str) -> list[Atoms]:
    """Return what a campaign labels first; `key` is that of its pretraining action, from which the seed follows."""
    return pretraining_set(campaign, campaign.pretraining.structures, seed_of(campaign, key))


class PretrainWork:
    """`Work` of the pretraining action."""

    def compute(self, context: Context) -> list[Atoms]:
        """Generate the configurations with their target moments."""
        return first_configurations(context.campaign, context.action.key)

    def store(self, context: Context, payload: list[Atoms], session: ClientSession) -> Mapping[str, Any]:
        """Store each configuration once."""
        return store_configurations(context, payload, session)
