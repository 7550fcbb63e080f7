"""A phase: what the perfect cells of one material in one structure are made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from ase import Atoms

from mmtp_fw.errors import InputError
from mmtp_fw.structures.lattices import counts_of, crystal, lattice


@dataclass(frozen=True)
class Phase:
    """One structure at one composition, at several volumes and in several magnetic orders.

    Attributes
    ----------
    name : str
        By which a campaign tells its phases apart; empty for the only one of a campaign without names.
    lattice_parameters_A, held_out_lattice_parameters_A : tuple of float
        Of training, and never trained on. A structure file's lattice parameter is the length of its first edge: at
        another one the whole cell is scaled.
    orders : tuple of str
        Magnetic orders, of `MAGNETIC_ORDERS`, that molecular dynamics starts with.
    compared : tuple of str
        Those in which the potential is compared with the engine.
    structure : str or None
        A lattice, of `LATTICES`; None where `own` is given.
    own : Atoms or None
        The n atoms of a structure file, with moments (μB) where it has them.
    supercell : tuple of int
    composition : mapping of str to float
        Atomic fractions on the sites of a lattice.
    vacancies : int
        Atoms taken out, drawn at random.
    c_over_a : float or None
        Axial ratio of a lattice; None: its own.
    """

    name: str = ""
    lattice_parameters_A: tuple[float, ...] = ()
    held_out_lattice_parameters_A: tuple[float, ...] = ()
    orders: tuple[str, ...] = ("ferromagnetic",)
    compared: tuple[str, ...] = ("ferromagnetic",)
    structure: str | None = None
    own: Atoms | None = None
    supercell: tuple[int, int, int] = (1, 1, 1)
    composition: Mapping[str, float] = field(default_factory=dict)
    vacancies: int = 0
    c_over_a: float | None = None

    def __post_init__(self) -> None:
        if (self.structure is None) == (self.own is None):
            raise InputError(f"phase '{self.name}' needs a lattice or the atoms of a file, not both")
        if not 0 <= self.vacancies < self.number_of_sites:
            raise InputError(
                f"phase '{self.name}': {self.vacancies} vacancies in a cell of {self.number_of_sites} sites",
                "choose a larger supercell, or fewer vacancies",
            )

    @property
    def all_lattice_parameters_A(self) -> list[float]:
        """Training and held-out lattice parameters (Å), ascending."""
        return sorted([*self.lattice_parameters_A, *self.held_out_lattice_parameters_A])

    @property
    def number_of_sites(self) -> int:
        """Sites of the supercell, vacant ones included."""
        sites = len(self.own) if self.own is not None else len(lattice(str(self.structure)).sites)
        return sites * math.prod(self.supercell)

    @property
    def number_of_atoms(self) -> int:
        """Atoms of the supercell."""
        return self.number_of_sites - self.vacancies

    @property
    def off_order(self) -> float:
        """Share of an ordered lattice's sites that its composition fills with another species than the order does."""
        if self.structure is None:
            return 0.0
        sublattices = lattice(self.structure).sublattices
        sites = [sublattices.count(number) * math.prod(self.supercell) for number in sorted(set(sublattices))[::-1]]
        ends = list(accumulate(sites))[:-1]
        if not ends:
            return 0.0
        filled = list(accumulate(sorted(count for count in counts_of(self.composition, sum(sites)).values() if count)))
        return sum(min(abs(end - number) for end in ends) for number in filled[:-1]) / sum(sites)

    def cell(self, lattice_parameter_A: float, rng: np.random.Generator) -> Atoms:
        """Return the undistorted supercell; with a file's moments (μB) as initial ones, where it has them.

        Parameters
        ----------
        lattice_parameter_A : float
        rng : numpy.random.Generator
            Decides which species is where on a lattice, and which atoms are missing.
        """
        if self.own is None:
            made = crystal(
                str(self.structure), lattice_parameter_A, self.supercell, self.composition, rng, self.c_over_a
            )
        else:
            made = self.own.copy()
            made.set_cell(np.asarray(made.cell) * (lattice_parameter_A / _first_edge(made)), scale_atoms=True)
            made = made * self.supercell
        if self.vacancies:
            del made[sorted(rng.permutation(len(made))[: self.vacancies].tolist())]
        return made

    def nearest_A(self, lattice_parameter_A: float) -> float:
        """Return the distance (Å) of nearest neighbours in the undistorted cell."""
        if self.own is None:
            return lattice(str(self.structure)).with_axial_ratio(self.c_over_a).nearest * lattice_parameter_A
        return nearest_distance_A(self.own) * lattice_parameter_A / _first_edge(self.own)


def _first_edge(atoms: Atoms) -> float:
    return float(np.linalg.norm(atoms.cell[0]))


def nearest_distance_A(atoms: Atoms) -> float:
    """Return the shortest distance (Å) between two atoms or an atom and its image.

    Examples
    --------
    >>> from ase.build import bulk
    >>> round(nearest_distance_A(bulk("Fe", a=2.86)), 3)
    2.477
    """
    from ase.neighborlist import neighbor_list  # scipy, which the settings' lattices do without

    # No atom is farther from an image of itself than the shortest edge is long.
    reach = float(min(np.linalg.norm(np.asarray(atoms.cell), axis=1)))
    return float(min(neighbor_list("d", atoms, reach + 1e-6), default=reach))
