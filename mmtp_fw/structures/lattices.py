"""Crystal lattices filled with atoms of a given composition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from ase import Atoms

from mmtp_fw.errors import InputError

Lattice = Literal["fcc", "bcc", "sc", "B2", "L1_2"]

# Sites of the conventional cubic cell, in units of the lattice parameter, and how many of the first of
# them make the sublattice of the ordered structures' minority (B2: the corner; L1_2: the corner).
_SITES: dict[str, tuple[tuple[tuple[float, float, float], ...], int]] = {
    "fcc": (((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)), 0),
    "bcc": (((0, 0, 0), (0.5, 0.5, 0.5)), 0),
    "sc": (((0, 0, 0),), 0),
    "B2": (((0, 0, 0), (0.5, 0.5, 0.5)), 1),
    "L1_2": (((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)), 1),
}


def counts_of(composition: Mapping[str, float], sites: int) -> dict[str, int]:
    """Return how many of `sites` each species takes: fractions rounded so that the sum is right.

    Parameters
    ----------
    composition : mapping of str to float
        Fractions that add up to 1.
    sites : int

    Raises
    ------
    InputError
        Fractions that are negative or do not add up to 1.

    Examples
    --------
    >>> counts_of({"Fe": 0.68, "Pd": 0.32}, 32)
    {'Fe': 22, 'Pd': 10}
    """
    if not composition or min(composition.values()) < 0 or abs(sum(composition.values()) - 1.0) > 1e-6:
        raise InputError("the fractions of a composition must be positive and add up to 1")
    exact = {species: fraction * sites for species, fraction in composition.items()}
    counts = {species: int(value + 1e-9) for species, value in exact.items()}
    by_rest = sorted(composition, key=lambda species: counts[species] - exact[species])
    for species in by_rest[: sites - sum(counts.values())]:
        counts[species] += 1
    return counts


def crystal(
    lattice: Lattice,
    lattice_parameter_A: float,
    supercell: Sequence[int],
    composition: Mapping[str, float],
    rng: np.random.Generator,
) -> Atoms:
    """Return a perfect lattice with its sites filled at random, as far as the structure leaves a choice.

    Parameters
    ----------
    lattice : {"fcc", "bcc", "sc", "B2", "L1_2"}
        fcc, bcc and sc are random alloys. In B2 and L1_2 the species of which there are fewest atoms sit on
        the corners of the cubic cells, what does not fit there anywhere else.
    lattice_parameter_A : float
    supercell : three ints
        Repetitions of the conventional cubic cell (4 atoms in fcc and L1_2, 2 in bcc and B2, 1 in sc).
    composition : mapping of str to float
        Fractions of the species.
    rng : numpy.random.Generator

    Raises
    ------
    InputError
        An unknown lattice, or a size or composition that makes no sense.
    """
    if lattice not in _SITES:
        raise InputError(f"unknown lattice '{lattice}'", f"one of {', '.join(_SITES)}")
    repeats = [int(n) for n in supercell]
    if len(repeats) != 3 or min(repeats) < 1:
        raise InputError(f"supercell must be three positive integers, not {list(supercell)}")
    if not lattice_parameter_A > 0:
        raise InputError(f"lattice parameter {lattice_parameter_A} Å is not positive")
    sites, corners = _SITES[lattice]
    cell = Atoms(f"H{len(sites)}", scaled_positions=sites, cell=[lattice_parameter_A] * 3, pbc=True)
    cell.set_tags([1] * corners + [0] * (len(sites) - corners))
    atoms = cell * repeats
    counts = counts_of(composition, len(atoms))
    # Minority first, onto the tagged sublattice first; without tags the order of the sites is random.
    order = sorted(rng.permutation(len(atoms)), key=lambda site: -atoms.get_tags()[site])
    symbols = np.empty(len(atoms), dtype=object)
    filled = 0
    for species in sorted(counts, key=lambda name: (counts[name], name)):
        symbols[order[filled : filled + counts[species]]] = species
        filled += counts[species]
    atoms.set_chemical_symbols(symbols.tolist())
    atoms.set_tags(0)
    return atoms
