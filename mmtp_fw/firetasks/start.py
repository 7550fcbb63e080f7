"""The cells that a campaign is about, and whether its engine can compute them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from mmtp_fw.campaign import Campaign
from mmtp_fw.dft import get_engine
from mmtp_fw.dft.checks import check_request
from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.structures import Phase, distorted_cells, target_moments

SHORTEST_A = 0.7
"""No two atoms of a solid are nearer (Å): the bond of the hydrogen molecule, the shortest there is, has 0.74 Å."""


def check_engine(campaign: Campaign, here: bool) -> None:
    """Refuse a campaign whose cells can't be made or computed by its engine, before anything is submitted.

    Parameters
    ----------
    campaign : Campaign
    here : bool
        Whether the workers are on this machine, so that program and data must be, too.

    Raises
    ------
    InputError
        Settings that the engine doesn't know, species or moments that it refuses, orders that the cells can't have,
        lattice parameters that can't be in Å.
    EngineError
        `here`, and the program or its data are missing.
    """
    engine = get_engine(campaign.dft.engine, **campaign.dft.settings)
    for phase in campaign.phases:
        _check_distances(phase, campaign.potential.r_cut_A)
        first = phase.lattice_parameters_A[0]
        for order in {*phase.orders, *phase.compared}:
            starting_cell(campaign, first, order, 0, phase.name)
        try:
            check_request(engine, starting_cell(campaign, first, phase.compared[0], 0, phase.name))
        except EngineError:
            if here:
                raise


def _check_distances(phase: Phase, r_cut_A: float) -> None:
    """Refuse lattice parameters at which atoms overlap, or have no neighbour within the cut-off."""
    of = f"phase '{phase.name}'" if phase.name else "system"
    for lattice_parameter in phase.all_lattice_parameters_A:
        nearest = phase.nearest_A(lattice_parameter)
        told = f"{of}: at the lattice parameter {lattice_parameter:g} Å nearest neighbours are {nearest:.3g} Å apart"
        if nearest < SHORTEST_A:
            raise InputError(told, "lattice parameters are in Å; a structure file must not hold an atom twice")
        if nearest >= r_cut_A:
            raise InputError(
                f"{told}, not within potential.r_cut_A = {r_cut_A:g} Å", "lattice parameters are in Å, not in pm"
            )


def pretraining_set(campaign: Campaign, structures: int, seed: int) -> list[Atoms]:
    """Return distorted configurations with target moments, the campaign's phases in turn; see `generate`.

    A longer set begins with the shorter one.
    """
    phases = campaign.phases
    made = [
        typical_cells(
            campaign, phase, phase.lattice_parameters_A, -(-(structures - place) // len(phases)), seed + place
        )
        if structures > place
        else []
        for place, phase in enumerate(phases)
    ]
    return [made[k % len(phases)][k // len(phases)] for k in range(structures)]


def typical_cells(
    campaign: Campaign, phase: Phase, lattice_parameters_A: Sequence[float], structures: int, seed: int
) -> list[Atoms]:
    """Return distorted configurations of one phase at given lattice parameters (Å)."""
    pretraining = campaign.pretraining
    return distorted_cells(
        phase,
        lattice_parameters_A,
        campaign.system.typical_moments_muB,
        structures,
        displacement_A=pretraining.displacement_A,
        strain=pretraining.strain,
        moment_scale=pretraining.moment_scale,
        flipped_fraction=pretraining.flipped_fraction,
        seed=seed,
    )


def starting_cell(
    campaign: Campaign, lattice_parameter_A: float, order: str, seed: int, phase: str | None = None
) -> Atoms:
    """Return the undistorted supercell of a phase, on a lattice with a random distribution of species.

    Parameters
    ----------
    campaign : Campaign
        The settings.
    lattice_parameter_A : float
        Lattice parameter in Å.
    order : str
        One of `mmtp_fw.structures.MAGNETIC_ORDERS`; moments have their typical sizes, and either sign by chance where
        they are disordered.
    seed : int
        Decides which site is which species, and the signs.
    phase : str, optional
        Name of the phase; None where phases have no names.

    Returns
    -------
    Atoms
        n atoms at their sites, with initial magnetic moments (μB).

    Raises
    ------
    InputError
        An unknown phase or order, or one that this cell can't have.
    """
    random, typical = np.random.default_rng(seed), campaign.system.typical_moments_muB
    cell = campaign.phase(phase).cell(lattice_parameter_A, random)
    cell.set_initial_magnetic_moments(target_moments(cell, order, typical, 0.0, None, random))
    return cell
