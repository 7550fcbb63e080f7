"""The cells that a campaign is about, and whether its engine can compute them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from mmtp_fw.campaign import Campaign
from mmtp_fw.dft import get_engine
from mmtp_fw.dft.checks import check_request
from mmtp_fw.errors import EngineError
from mmtp_fw.structures import crystal, generate
from mmtp_fw.structures.magnetic_orders import target_moments


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
        Settings that the engine doesn't know, species or moments that it refuses, orders that the cells can't have.
    EngineError
        `here`, and the program or its data are missing.
    """
    engine = get_engine(campaign.dft.engine, **campaign.dft.settings)
    cell = starting_cell(campaign, campaign.system.lattice_parameters_A[0], "ferromagnetic", 0)
    for order in campaign.md.magnetic_orders:
        starting_cell(campaign, campaign.system.lattice_parameters_A[0], order, 0)
    try:
        check_request(engine, cell)
    except EngineError:
        if here:
            raise


def pretraining_set(
    campaign: Campaign, lattice_parameters_A: Sequence[float], structures: int, seed: int
) -> list[Atoms]:
    """Return distorted configurations with target moments, as a campaign's settings want them; see `generate`."""
    system, pretraining = campaign.system, campaign.pretraining
    return generate(
        system.composition,
        lattice_parameters_A,
        system.typical_moments_muB,
        structures=structures,
        structure=system.structure,
        supercell=system.supercell,
        displacement_A=pretraining.displacement_A,
        strain=pretraining.strain,
        moment_scale=pretraining.moment_scale,
        flipped_fraction=pretraining.flipped_fraction,
        seed=seed,
    )


def starting_cell(campaign: Campaign, lattice_parameter_A: float, order: str, seed: int) -> Atoms:
    """Return the undistorted supercell with a random distribution of species.

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

    Returns
    -------
    Atoms
        n atoms at their sites, with initial magnetic moments (μB).

    Raises
    ------
    InputError
        An unknown order, or one that this cell can't have.
    """
    system = campaign.system
    random = np.random.default_rng(seed)
    cell = crystal(system.structure, lattice_parameter_A, system.supercell, system.composition, random)
    cell.set_initial_magnetic_moments(target_moments(cell, order, system.typical_moments_muB, 0.0, None, random))
    return cell
