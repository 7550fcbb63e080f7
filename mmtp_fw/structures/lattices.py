"""Crystal lattices, each one row of a table, filled with atoms of a given composition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from ase import Atoms

from mmtp_fw.errors import InputError

Vector = tuple[float, float, float]

_CUBIC: tuple[Vector, Vector, Vector] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_FCC: tuple[Vector, ...] = ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
_BCC: tuple[Vector, ...] = ((0, 0, 0), (0.5, 0.5, 0.5))
_EDGES: tuple[Vector, ...] = ((0.5, 0.5, 0.5), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5))
_EIGHTHS: tuple[Vector, ...] = tuple((x, y, z) for x, y, z in product((0.25, 0.75), repeat=3))
_HEXAGONAL: tuple[Vector, Vector, Vector] = (
    (1.0, 0.0, 0.0),
    (-0.5, math.sqrt(0.75), 0.0),
    (0.0, 0.0, math.sqrt(8 / 3)),
)


@dataclass(frozen=True)
class Lattice:
    """A crystal lattice.

    Attributes
    ----------
    about : str
        What it is, in a few words.
    sites : tuple of vectors
        Sites of the conventional cell, in fractions of its edges.
    sublattices : tuple of int
        The sublattice of every site. Sites of the highest number are filled first, by the species of which there are
        fewest atoms; sites of one number are filled at random. One number for all: a random alloy.
    cell : tuple of three vectors
        Edges of the conventional cell in units of the lattice parameter; the third holds c/a.
    """

    about: str
    sites: tuple[Vector, ...]
    sublattices: tuple[int, ...]
    cell: tuple[Vector, Vector, Vector] = _CUBIC

    @cached_property
    def nearest(self) -> float:
        """Distance of nearest neighbours in units of the lattice parameter."""
        cells = product((-1, 0, 1), repeat=3)
        images = [(x + i, y + j, z + k) for i, j, k in cells for x, y, z in self.sites]
        distances = [
            math.dist(self._cartesian(image), self._cartesian(site)) for image in images for site in self.sites
        ]
        return min(distance for distance in distances if distance > 1e-9)

    def with_axial_ratio(self, c_over_a: float | None) -> Lattice:
        """Return the lattice with its third edge `c_over_a` times the lattice parameter long; None: as it is."""
        if c_over_a is None:
            return self
        x, y, z = self.cell[2]
        scale = c_over_a / math.hypot(x, y, z)
        return replace(self, cell=(self.cell[0], self.cell[1], (scale * x, scale * y, scale * z)))

    def _cartesian(self, site: Vector) -> Vector:
        x, y, z = (sum(site[edge] * self.cell[edge][axis] for edge in range(3)) for axis in range(3))
        return x, y, z


LATTICES: dict[str, Lattice] = {
    "fcc": Lattice("random alloy", _FCC, (0, 0, 0, 0)),
    "bcc": Lattice("random alloy", _BCC, (0, 0)),
    "sc": Lattice("random alloy", ((0, 0, 0),), (0,)),
    "hcp": Lattice("random alloy, c/a ideal", ((0, 0, 0), (2 / 3, 1 / 3, 0.5)), (0, 0), _HEXAGONAL),
    "B1": Lattice(
        "rock salt, the minority, or the first in the alphabet, on the corners", (*_FCC, *_EDGES), (1,) * 4 + (0,) * 4
    ),
    "B2": Lattice("ordered bcc, the minority on the corners", _BCC, (1, 0)),
    "L1_0": Lattice("layered fcc of composition 1:1, the minority on every other layer along c", _FCC, (1, 0, 0, 1)),
    "L1_2": Lattice("ordered fcc, the minority on the corners", _FCC, (1, 0, 0, 0)),
    "D0_3": Lattice(
        "ordered bcc of composition 3:1, the minority on the corners", (*_FCC, *_EDGES, *_EIGHTHS), (1,) * 4 + (0,) * 12
    ),
    "L2_1": Lattice(
        "Heusler alloy of composition 1:1:2, the majority on the eighths",
        (*_FCC, *_EDGES, *_EIGHTHS),
        (2,) * 4 + (1,) * 4 + (0,) * 8,
    ),
}
"""Every lattice by its name; another one is another row."""


NEAREST_FRACTION = 0.75
"""Generated distances are not shorter than this fraction of the lattice's nearest-neighbour distance."""


def lattice(name: str) -> Lattice:
    """Return a lattice by its name.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in LATTICES:
        raise InputError(f"unknown lattice '{name}'", f"one of {', '.join(LATTICES)}")
    return LATTICES[name]


def number_of_atoms(name: str, supercell: Sequence[int]) -> int:
    """Return how many atoms a supercell of a lattice has.

    Examples
    --------
    >>> number_of_atoms("bcc", (2, 2, 2))
    16
    """
    return len(lattice(name).sites) * math.prod(supercell)


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
    name: str,
    lattice_parameter_A: float,
    supercell: Sequence[int],
    composition: Mapping[str, float],
    rng: np.random.Generator,
    c_over_a: float | None = None,
) -> Atoms:
    """Return a perfect lattice with its sites filled at random, as far as the structure leaves a choice.

    Parameters
    ----------
    name : str
        One of `LATTICES`. In ordered ones the species of which there are fewest atoms sit on the sublattice that is
        filled first, what does not fit there anywhere else.
    lattice_parameter_A : float
    supercell : three ints
        Repetitions of the conventional cell; `number_of_atoms` says how many atoms it has.
    composition : mapping of str to float
        Fractions of the species.
    rng : numpy.random.Generator
    c_over_a : float, optional
        Axial ratio; by default the lattice's own.

    Raises
    ------
    InputError
        An unknown lattice, or a size or composition that makes no sense.
    """
    chosen = lattice(name).with_axial_ratio(c_over_a)
    repeats = [int(n) for n in supercell]
    if len(repeats) != 3 or min(repeats) < 1:
        raise InputError(f"supercell must be three positive integers, not {list(supercell)}")
    if not lattice_parameter_A > 0:
        raise InputError(f"lattice parameter {lattice_parameter_A} Å is not positive")
    cell = lattice_parameter_A * np.array(chosen.cell)
    atoms: Atoms = Atoms(f"H{len(chosen.sites)}", scaled_positions=chosen.sites, cell=cell, pbc=True)
    atoms.set_tags(chosen.sublattices)
    atoms = atoms * repeats
    counts = counts_of(composition, len(atoms))
    # Minority first, onto the sublattice that is filled first; within one the order of the sites is random.
    order = sorted(rng.permutation(len(atoms)), key=lambda site: -atoms.get_tags()[site])
    symbols = np.empty(len(atoms), dtype=object)
    filled = 0
    for species in sorted(counts, key=lambda species: (counts[species], species)):
        symbols[order[filled : filled + counts[species]]] = species
        filled += counts[species]
    atoms.set_chemical_symbols(symbols.tolist())
    atoms.set_tags(0)
    return atoms
