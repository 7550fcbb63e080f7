"""A configuration as arrays: what the kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mmtp_fw.errors import InputError


def moments_of(atoms: Atoms) -> np.ndarray:
    """Return the collinear moments of a configuration.

    Parameters
    ----------
    atoms : Atoms
        n atoms.

    Returns
    -------
    ndarray, shape (n,)
        μB: the calculator's results where it has moments, else the initial magnetic moments.

    Raises
    ------
    InputError
        For moments that are vectors.
    """
    results = getattr(atoms.calc, "results", {}) if atoms.calc is not None else {}
    moments = results.get("magmoms")
    if moments is None:
        moments = atoms.get_initial_magnetic_moments()
    moments = np.array(moments, dtype=np.float64)
    if moments.shape != (len(atoms),):
        raise InputError(
            f"moments of shape {moments.shape} for {len(atoms)} atoms are not collinear",
            "give one signed scalar per atom (μB)",
        )
    return moments


def type_indices(atoms: Atoms, species: Sequence[str]) -> np.ndarray:
    """Return the index into `species` of every atom, shape (n,), int32.

    Raises
    ------
    InputError
        For an element that the potential does not know.
    """
    index = {name: i for i, name in enumerate(species)}
    try:
        return np.array([index[symbol] for symbol in atoms.get_chemical_symbols()], dtype=np.int32)
    except KeyError as error:
        hint = (
            "name the numbered species of the file: Potential.read(path, species=[...])"
            if all(name.isdigit() for name in species)
            else "train or choose a potential that covers it"
        )
        raise InputError(
            f"element {error.args[0]} is not among the potential's species {', '.join(species)}", hint
        ) from error


@dataclass(frozen=True, eq=False)
class System:
    """A configuration of n atoms with its full neighbour list (every pair stands twice).

    Attributes
    ----------
    types : ndarray of int32, shape (n,)
        Index of the species of every atom.
    first : ndarray of int64, shape (n + 1,)
        Neighbours of atom i are ``neighbors[first[i]:first[i + 1]]``.
    neighbors : ndarray of int32, shape (n_pairs,)
    vectors : ndarray, shape (n_pairs, 3)
        r_j − r_i of the neighbour's nearest image or any further one within the cut-off (Å).
    volume : float
        Å³; 0 without a cell.
    closest : float
        Shortest distance, Å; infinite without neighbours.
    """

    types: np.ndarray
    first: np.ndarray
    neighbors: np.ndarray
    vectors: np.ndarray
    volume: float
    closest: float

    def __len__(self) -> int:
        return len(self.types)

    @classmethod
    def from_atoms(cls, atoms: Atoms, species: Sequence[str], r_cut: float) -> System:
        """Build the arrays of a configuration; cells may be of any shape and smaller than the cut-off.

        Parameters
        ----------
        atoms : Atoms
        species : sequence of str
            Names in the potential's order.
        r_cut : float
            Å.

        Raises
        ------
        InputError
            Unknown species, positions or cell not finite, coincident atoms.
        """
        types = type_indices(atoms, species)
        positions, cell = atoms.get_positions(), np.array(atoms.get_cell())
        if not (np.all(np.isfinite(positions)) and np.all(np.isfinite(cell))):
            raise InputError("a position or the cell is not finite")
        volume = abs(float(np.linalg.det(cell))) if cell.any() else 0.0
        first, neighbors, vectors, closest = _lists(positions, cell, atoms.pbc, r_cut)
        return cls(types, first, neighbors, vectors, volume, closest)


def _lists(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, r_cut: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return first, neighbors, vectors and the shortest distance of all pairs within the cut-off."""
    if len(positions) == 0:
        return np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros((0, 3)), np.inf
    if np.any(pbc) and abs(np.linalg.det(cell)) < 1e-9:
        if np.all(pbc):
            raise InputError("the cell is periodic and has no volume", "give three independent cell vectors")
        from ase.geometry import complete_cell

        cell = np.array(complete_cell(cell))
    from vesin import NeighborList

    from mmtp_fw.potential.lists import compress

    # vesin's own sorting and copying take as long as finding the pairs.
    pairs = NeighborList(cutoff=r_cut, full_list=True, sorted=False, n_threads=1)
    i, j, vectors = pairs.compute(positions, cell, [bool(p) for p in pbc], quantities="ijD", copy=False)
    first, neighbors, sorted_vectors, closest, square = compress(len(positions), i, j, vectors)
    if square < 1e-12:
        raise InputError(f"atoms {i[closest]} and {j[closest]} coincide", "remove one of them")
    return first, neighbors, sorted_vectors, float(np.sqrt(square))
