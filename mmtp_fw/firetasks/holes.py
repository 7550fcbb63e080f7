"""Holes of a new potential: what stands of them in its document, and the labels that would close them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from mmtp_fw.campaign import Campaign
from mmtp_fw.firetasks.configurations import Possible
from mmtp_fw.fitting import Hole, MomentHole
from mmtp_fw.potential import Potential


def documents(holes: Sequence[Hole]) -> list[dict[str, Any]]:
    """Return a document of each hole; the key of the configuration that would close it comes when that is stored."""
    return [
        {"species": hole.species, "message": hole.message, "barrier_eV": hole.barrier, "configuration": None}
        for hole in holes
    ]


def closing(campaign: Campaign, potential: Potential, holes: Sequence[Hole]) -> tuple[Atoms | None, ...]:
    """Return a configuration for each hole whose label would close it; None where the engine can't label one.

    Moments are drawn back to what a species can carry; where that is no farther than what was trained, no label of this
    material says anything of the hole.

    Parameters
    ----------
    campaign : Campaign
    potential : Potential
        The one with the holes.
    holes : sequence of Hole
    """
    if not holes:
        return ()
    possible = Possible(campaign)
    return tuple(_closing(possible, potential, hole) for hole in holes)


def _closing(possible: Possible, potential: Potential, hole: Hole) -> Atoms | None:
    atoms = possible(hole.candidate)
    if atoms is None:
        return None
    if isinstance(hole, MomentHole) and potential.trained is not None:
        types = np.array([potential.species.index(symbol) for symbol in atoms.get_chemical_symbols()], dtype=np.int32)
        if not potential.trained.outside(types, atoms.get_initial_magnetic_moments()).any():
            return None
    told: Atoms = atoms.copy()
    told.info = {"closes": hole.message}
    return told
