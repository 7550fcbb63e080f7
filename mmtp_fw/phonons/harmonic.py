"""Force constants of a crystal from the forces of displaced supercells: phonopy's displacements and symmetry."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.phonons.modes import Modes

SAME_MOMENT_MUB = 1e-3
"""Moments that differ by less are the same one for the search of symmetries."""


class Harmonic:
    """Harmonic crystal: displacements, force constants, modes.

    Parameters
    ----------
    atoms : Atoms
        Unit cell of n atoms, periodic, with the masses that count.
    moments : ndarray, shape (n,), optional
        Collinear moments (μB): symmetries keep them, or turn all round.
    supercell : three ints
        Repetitions of the unit cell in which atoms are displaced.
    step_A : float
        Length of a displacement; each is made forward and backward, so that what is odd in it, and forces at rest,
        drop out.
    symmetry : bool
        Whether only displacements that differ by symmetry are made; without it, all 6n. Translations between unit
        cells count in any case.

    Attributes
    ----------
    supercell : Atoms
        Undisplaced, N atoms, with the moments.
    force_constants : ndarray, shape (N, N, 3, 3)
        eV/Å², symmetrised; after `solve`.
    asymmetry : float
        Largest change (eV/Å²) that symmetrising made: what they are wrong by at least.

    Raises
    ------
    InputError
        A cell that is not periodic, a supercell or step that makes no sense.
    """

    force_constants: FloatArray
    asymmetry: float

    def __init__(
        self,
        atoms: Atoms,
        moments: FloatArray | None = None,
        supercell: Sequence[int] = (1, 1, 1),
        step_A: float = 0.01,
        symmetry: bool = True,
    ) -> None:
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms

        if not atoms.pbc.all() or atoms.cell.rank < 3:
            raise InputError("phonons need a crystal, periodic along all three edges of its cell")
        if len(supercell) != 3 or min(supercell) < 1:
            raise InputError(f"a supercell of {list(supercell)}", "three whole numbers from 1 on")
        if not 0 < step_A <= 0.2:
            raise InputError(f"a displacement of {step_A:g} Å", "above 0 and at most 0.2 Å; 0.01 is usual")
        self.atoms, self.moments = atoms.copy(), moments
        cell = PhonopyAtoms(
            symbols=atoms.get_chemical_symbols(),
            masses=atoms.get_masses(),
            scaled_positions=atoms.get_scaled_positions(),
            cell=np.asarray(atoms.cell),
            magnetic_moments=None if moments is None else _grouped(moments).tolist(),
        )
        self._phonopy = Phonopy(cell, np.diag(supercell), primitive_matrix=np.eye(3), is_symmetry=symmetry)
        self._phonopy.generate_displacements(distance=step_A, is_plusminus=True)
        self.supercell = self._as_atoms(self._phonopy.supercell)
        if moments is not None:
            # Atoms of the supercell by the atom of the unit cell that each repeats.
            places = {int(atom): k for k, atom in enumerate(self._phonopy.supercell.u2s_map)}
            origin = [places[int(atom)] for atom in self._phonopy.supercell.s2u_map]
            self.supercell.set_initial_magnetic_moments(np.asarray(moments)[origin])

    @property
    def displaced(self) -> list[Atoms]:
        """The displaced supercells, in the order of their forces."""
        return [self._as_atoms(cell) for cell in self._phonopy.supercells_with_displacements or ()]

    def solve(self, forces: Callable[[Atoms, str], FloatArray]) -> None:
        """Find the force constants.

        Parameters
        ----------
        forces : callable
            Takes a displaced supercell and a name for it; returns forces (eV/Å), shape (N, 3).
        """
        cells = self.displaced
        found = [forces(cell, f"displacement {k} of {len(cells)}") for k, cell in enumerate(cells, 1)]
        self._phonopy.forces = np.array(found)
        self._phonopy.produce_force_constants(show_drift=False)
        raw = np.asarray(self._phonopy.force_constants, dtype=np.float64)
        self.force_constants = symmetrised(raw)
        self.asymmetry = float(np.abs(self.force_constants - raw).max())
        self._phonopy.force_constants = self.force_constants

    def modes(self, mesh: Sequence[int]) -> Modes:
        """Return the modes on a mesh of wave vectors, shape (3,); those that symmetry makes equal once, with weights.

        Even numbers leave out the centre of the zone.
        """
        with warnings.catch_warnings():
            # Of cells whose symmetry a shifted mesh lacks, phonopy tells that it takes every wave vector instead.
            warnings.filterwarnings("ignore", "Half-grid shift", RuntimeWarning)
            self._phonopy.run_mesh(np.asarray(mesh), with_eigenvectors=True)
        found = cast(Mapping[str, Any], self._phonopy.get_mesh_dict())
        vectors = np.abs(np.asarray(found["eigenvectors"])) ** 2  # (q, 3n components, modes)
        symbols = np.repeat(self.atoms.get_chemical_symbols(), 3)
        shares = {name: vectors[:, symbols == name].sum(axis=1) for name in dict.fromkeys(symbols.tolist())}
        weights = np.asarray(found["weights"], dtype=np.float64)
        return Modes(
            np.asarray(found["qpoints"], dtype=np.float64),
            np.asarray(found["frequencies"], dtype=np.float64),
            weights / weights.sum(),
            shares,
        )

    def mesh_of(self, length_A: float) -> tuple[int, int, int]:
        """Return even numbers of wave vectors along each edge, so that cells as long as `length_A` are resolved."""
        heights = 1.0 / np.linalg.norm(np.linalg.inv(np.asarray(self.atoms.cell)), axis=0)
        a, b, c = (2 * max(1, int(np.ceil(0.5 * length_A / height))) for height in heights)
        return a, b, c

    @staticmethod
    def _as_atoms(cell: object) -> Atoms:
        atoms: Atoms = Atoms(
            cell.symbols,  # type: ignore[attr-defined]
            cell=cell.cell,  # type: ignore[attr-defined]
            scaled_positions=cell.scaled_positions,  # type: ignore[attr-defined]
            pbc=True,
        )
        return atoms


def symmetrised(force_constants: FloatArray) -> FloatArray:
    """Return the nearest force constants that are symmetric and move no rigid translation, shape (N, N, 3, 3).

    P (Φ + Φᵀ)/2 P, with P the projector onto displacements without a common part: both hold at once and exactly.

    Parameters
    ----------
    force_constants : ndarray, shape (N, N, 3, 3)
        eV/Å².
    """
    even = 0.5 * (force_constants + force_constants.transpose(1, 0, 3, 2))
    even = even - even.mean(axis=0, keepdims=True)
    even = even - even.mean(axis=1, keepdims=True)
    return np.ascontiguousarray(even)


def _grouped(moments: FloatArray) -> FloatArray:
    """Return moments, shape (n,), with those that are nearly the same made the same."""
    order = np.argsort(moments)
    groups = np.concatenate([[0], np.cumsum(np.diff(moments[order]) > SAME_MOMENT_MUB)])
    means = np.bincount(groups, moments[order]) / np.bincount(groups)
    made = np.empty_like(moments)
    made[order] = means[groups]
    # Up and down of one size are turned into each other by time reversal.
    sizes = np.abs(made)
    for value in np.unique(sizes):
        sizes[np.abs(sizes - value) < SAME_MOMENT_MUB] = value
    return np.asarray(np.sign(made) * sizes)
