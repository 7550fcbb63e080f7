"""A configuration as arrays: what the kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from mmtp_fw.arrays import FloatArray, Int32Array, IntArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential.skin import ListCache, Pairs


def has_moments(atoms: Atoms) -> bool:
    """Return whether a configuration says its moments, which zero is not the same as."""
    return "magmoms" in (getattr(atoms.calc, "results", None) or {}) or "initial_magmoms" in atoms.arrays


def moments_of(atoms: Atoms) -> FloatArray:
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


def type_indices(atoms: Atoms, species: Sequence[str]) -> Int32Array:
    """Return the index into `species` of every atom, shape (n,), int32.

    Raises
    ------
    InputError
        For an element that the potential does not know.
    """
    found: Int32Array = _index_table(tuple(species))[atoms.numbers]
    if len(found) and found.min() < 0:
        unknown = chemical_symbols[atoms.numbers[int(np.argmin(found))]]
        hint = (
            "name the numbered species of the file: --species Fe,Pd (in Python: Potential.read(path, species=[...]))"
            if all(name.isdigit() for name in species)
            else "train or choose a potential that covers it"
        )
        raise InputError(f"element {unknown} is not among the potential's species {', '.join(species)}", hint)
    return found


@lru_cache(maxsize=64)
def _index_table(species: tuple[str, ...]) -> Int32Array:
    """Return the index of every atomic number's element among the species, −1 where it is none of them."""
    table = np.full(len(chemical_symbols), -1, dtype=np.int32)
    for index, name in enumerate(species):
        if name in atomic_numbers:
            table[atomic_numbers[name]] = index
    return table


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

    types: Int32Array
    first: IntArray
    neighbors: Int32Array
    vectors: FloatArray
    volume: float
    closest: float

    def __len__(self) -> int:
        return len(self.types)

    @classmethod
    def from_atoms(cls, atoms: Atoms, species: Sequence[str], r_cut: float, lists: ListCache | None = None) -> System:
        """Build the arrays of a configuration; cells may be of any shape and smaller than the cut-off.

        Parameters
        ----------
        atoms : Atoms
        species : sequence of str
            Names in the potential's order.
        r_cut : float
            Å.
        lists : ListCache, optional
            Of this cut-off, where configurations follow each other. The arrays are the same without, to the last bit.

        Raises
        ------
        InputError
            Unknown species, positions or cell not finite, coincident atoms, lists of another cut-off.
        """
        if lists is not None and lists.r_cut != r_cut:
            raise InputError(f"neighbour lists kept for a cut-off of {lists.r_cut:g} Å, not of {r_cut:g} Å")
        types = type_indices(atoms, species)
        positions, cell = atoms.positions, atoms.cell.array
        volume = abs(_determinant(cell))
        if not isfinite(volume):
            raise InputError("the cell is not finite")
        pbc = tuple(atoms.pbc.tolist())
        if len(positions) == 0:
            first, empty = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32)
            return cls(types, first, empty, np.zeros((0, 3)), volume, np.inf)
        if any(pbc) and volume < 1e-9:
            if all(pbc):
                raise InputError("the cell is periodic and has no volume", "give three independent cell vectors")
            from ase.geometry import complete_cell

            cell = np.array(complete_cell(cell))
        lists = ListCache(r_cut) if lists is None else lists
        return cls(types, *_in_order(lists.pairs(positions, cell, pbc), volume))


def _in_order(pairs: Pairs, volume: float) -> tuple[IntArray, Int32Array, FloatArray, float, float]:
    first, neighbors, vectors, closest = pairs
    return first, neighbors, vectors, volume, closest


def _determinant(m: FloatArray) -> float:
    """Return the determinant of a 3 × 3 matrix; numpy's takes ten times as long."""
    (a, b, c), (d, e, f), (g, h, i) = m.tolist()
    return float(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
