"""The potential as an ASE calculator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mmtp_fw.potential.moments import relax_system, starts

if TYPE_CHECKING:
    from mmtp_fw.potential.model import MagneticModel


class MmtpCalculator(Calculator):
    """ASE calculator; results also hold magmoms, magmom and magnetic_forces (eV/μB).

    Parameters
    ----------
    potential : Potential
    relax_moments : bool
        Relax the moments at every new set of positions, warm-started from the last ones; otherwise the
        initial magnetic moments of the atoms are used as they are.
    tolerance : float
        Largest magnetic force after a relaxation (eV/μB).
    """

    implemented_properties: ClassVar[list[str]] = [
        "energy", "energies", "free_energy", "forces", "stress", "magmoms", "magmom", "magnetic_forces",
    ]  # fmt: skip

    def __init__(self, potential: MagneticModel, relax_moments: bool = False, tolerance: float = 1e-4) -> None:
        super().__init__()
        self.potential = potential
        self.relax = relax_moments and potential.magnetic
        self.tolerance = tolerance
        self._last: np.ndarray | None = None
        self._lists = potential.lists()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate the potential (ASE calls this)."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        system = self.potential.system(self.atoms, self._lists)
        moments = self.atoms.get_initial_magnetic_moments()
        if self.relax:
            moments = self._relaxed(system, moments, system_changes)
        result = self.potential.evaluate_system(system, moments)
        self.results: dict[str, Any] = {
            "energy": result.energy,
            "free_energy": result.energy,
            "energies": result.energies,
            "forces": result.forces,
            "stress": result.stress,
            "magmoms": result.moments,
            "magmom": float(result.moments.sum()),
            "magnetic_forces": result.magnetic_forces,
        }

    def _relaxed(self, system: Any, initial: np.ndarray, changes: list[str]) -> np.ndarray:
        fresh = self._last is None or len(self._last) != len(system)
        if fresh or "initial_magmoms" in changes or "numbers" in changes:
            first = [initial] if np.any(initial) else starts(self.potential, self.atoms)
        else:
            first = [self._last]
        results = [relax_system(self.potential, system, start, self.tolerance) for start in first]
        self._last = min(results, key=lambda result: result.energy).moments
        return self._last
