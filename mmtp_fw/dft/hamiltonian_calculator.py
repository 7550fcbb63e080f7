"""ASE calculator of the reference Hamiltonian, fast enough for reference trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.hamiltonian_model import HamiltonianParameters, Pairs, ReferenceHamiltonian

_SKIN = 0.5


class HamiltonianCalculator(Calculator):
    """The reference Hamiltonian with relaxed or fixed moments.

    Parameters
    ----------
    parameters : HamiltonianParameters, optional
    relax_moments : bool
        True: the moments follow the atoms adiabatically, each time relaxed from the last (the first time
        from the initial magnetic moments, ferromagnetic where these are all zero). False: the initial
        magnetic moments are taken as they are.

    Notes
    -----
    Results: energy, energies, forces, stress, magmoms, magmom, magnetic_forces (eV/μB). The neighbour
    list is kept until an atom has moved by half the skin.

    Examples
    --------
    >>> from ase.build import bulk
    >>> iron = bulk("Fe", "fcc", a=3.7)
    >>> iron.calc = HamiltonianCalculator()
    >>> bool(2.0 < iron.get_magnetic_moment() < 3.0)
    True
    """

    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]  # ASE's own habit
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
        "magmoms",
        "magmom",
        "magnetic_forces",
    ]

    def __init__(
        self, parameters: HamiltonianParameters | None = None, relax_moments: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]  # ASE's
        self.model = ReferenceHamiltonian(parameters)
        self.relax_moments = relax_moments
        self._moments: FloatArray | None = None
        self._pairs: Pairs | None = None
        self._listed: Atoms | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute all results for `atoms`."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]  # ASE's
        current = cast(Atoms, self.atoms)
        if "initial_magmoms" in system_changes or "numbers" in system_changes:
            self._moments = None
        pairs = self._current_pairs(current)
        given = current.get_initial_magnetic_moments()
        if self.relax_moments:
            start = given if self._moments is None else self._moments
            result, _ = self.model.relaxed(current, start, pairs)
            self._moments = result.moments
        else:
            result = self.model.evaluate(current, given, pairs)
        self.results = {
            "energy": result.energy,
            "free_energy": result.energy,
            "energies": result.energies,
            "forces": result.forces,
            "stress": result.stress,
            "magmoms": result.moments,
            "magmom": float(np.sum(result.moments)),
            "magnetic_forces": result.magnetic_forces,
        }

    def _current_pairs(self, atoms: Atoms) -> Pairs:
        """Return a neighbour list with skin that still holds for `atoms`."""
        listed = self._listed
        if (
            self._pairs is None
            or listed is None
            or len(listed) != len(atoms)
            or not np.array_equal(np.asarray(listed.cell), np.asarray(atoms.cell))
            or not np.array_equal(listed.pbc, atoms.pbc)
            or np.max(np.sum((listed.positions - atoms.positions) ** 2, axis=1)) > (0.5 * _SKIN) ** 2
        ):
            self._pairs = self.model.pairs(atoms, _SKIN)
            self._listed = atoms.copy()
        return self._pairs
