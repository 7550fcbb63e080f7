"""The cells that molecular dynamics starts from."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk

from mmtp_fw.campaign import Campaign


def starting_cell(campaign: Campaign, lattice_parameter_A: float, order: str, seed: int) -> Atoms:
    """Return the undistorted supercell with a random distribution of species.

    Parameters
    ----------
    campaign : Campaign
        The settings.
    lattice_parameter_A : float
        Lattice parameter in Å.
    order : str
        "ferromagnetic", or "random" signs of the typical moments.
    seed : int
        Decides which site is which species, and the signs.

    Returns
    -------
    Atoms
        n atoms at their sites, with initial magnetic moments (μB).
    """
    system = campaign.system
    random = np.random.default_rng(seed)
    cubic = system.structure != "hcp"
    cell = bulk("X", system.structure, a=lattice_parameter_A, cubic=cubic) * system.supercell
    symbols = np.repeat(system.species, species_counts(campaign, len(cell)))
    cell.set_chemical_symbols(random.permutation(symbols).tolist())
    moments = np.array([system.typical_moments_muB[symbol] for symbol in cell.symbols])
    if order == "random":
        moments *= random.choice([-1.0, 1.0], len(cell))
    cell.set_initial_magnetic_moments(moments)
    return cell


def species_counts(campaign: Campaign, atoms: int) -> list[int]:
    """Return how many of `atoms` are of each species, by largest remainder."""
    shares = [atoms * campaign.system.composition[name] for name in campaign.system.species]
    counts = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: counts[i] - shares[i])
    for index in by_remainder[: atoms - sum(counts)]:
        counts[index] += 1
    return counts
