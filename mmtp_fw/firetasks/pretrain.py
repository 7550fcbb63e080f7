"""The pretraining set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw.firetasks.base import Context
from mmtp_fw.firetasks.configurations import store_configurations
from mmtp_fw.loop.facts import seed_of
from mmtp_fw.structures import generate


class PretrainWork:
    """`Work` of the pretraining action."""

    def compute(self, context: Context) -> list[Atoms]:
        """Generate the configurations with their target moments."""
        system, pretraining = context.campaign.system, context.campaign.pretraining
        return generate(
            system.composition,
            system.lattice_parameters_A,
            system.typical_moments_muB,
            structures=pretraining.structures,
            structure=system.structure,
            supercell=system.supercell,
            displacement_A=pretraining.displacement_A,
            strain=pretraining.strain,
            moment_scale=pretraining.moment_scale,
            flipped_fraction=pretraining.flipped_fraction,
            seed=seed_of(context.campaign, context.action.key),
        )

    def store(self, context: Context, payload: list[Atoms], session: ClientSession) -> Mapping[str, Any]:
        """Store each configuration once."""
        return store_configurations(context, payload, session)
