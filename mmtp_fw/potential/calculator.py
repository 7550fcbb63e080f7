"""The potential as an ASE calculator."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import PotentialWarning
from mmtp_fw.potential.moments import RelaxedMoments, relax_from, starts
from mmtp_fw.potential.system import System

if TYPE_CHECKING:
    from mmtp_fw.potential.model import MagneticModel


class MmtpCalculator(Calculator):
    """ASE calculator; results also hold magmoms, magmom and magnetic_forces (eV/μB).

    Parameters
    ----------
    potential : Potential
    relax_moments : bool
        Relax the moments at every new set of positions, warm-started from the last ones; the first time from the
        initial magnetic moments, and where these are zero, from several collinear patterns. Otherwise the initial
        magnetic moments of the atoms are used as they are.
    tolerance : float
        Largest magnetic force after a relaxation (eV/μB).

    Attributes
    ----------
    warnings : tuple of str
        What is wrong with the last results: moments or distances outside the potential's ranges, a relaxation that
        found no minimum there. Each kind is also told once as a `PotentialWarning`.
    relaxed : RelaxedMoments or None
        The last relaxation, with its verdict.
    """

    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]  # ASE's own habit
        "energy", "energies", "free_energy", "forces", "stress", "magmoms", "magmom", "magnetic_forces",
    ]  # fmt: skip

    def __init__(self, potential: MagneticModel, relax_moments: bool = False, tolerance: float = 1e-4) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # ASE's
        self.potential = potential
        self.relax = relax_moments and potential.magnetic
        self.tolerance = tolerance
        self.warnings: tuple[str, ...] = ()
        self.relaxed: RelaxedMoments | None = None
        self._told: set[str] = set()
        self._lists = potential.lists()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate the potential (ASE calls this)."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]  # ASE's
        assert self.atoms is not None
        system = self.potential.system(self.atoms, self._lists)
        moments = self.atoms.get_initial_magnetic_moments()
        if self.relax:
            self.relaxed = self._relaxation(system, moments, system_changes)
            moments = self.relaxed.moments
        result = self.potential.evaluate_system(system, moments)
        self._warn(result.warnings, self.relaxed)
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

    def _relaxation(self, system: System, initial: FloatArray, changes: list[str]) -> RelaxedMoments:
        last = self.relaxed
        fresh = last is None or len(last.moments) != len(system) or not last.sound
        assert self.atoms is not None
        if last is None or fresh or "initial_magmoms" in changes or "numbers" in changes:
            first = [initial] if np.any(initial) else starts(self.potential, self.atoms)
        else:
            first = [last.moments]
        return relax_from(self.potential, system, first, self.tolerance)

    def _warn(self, found: tuple[str, ...], relaxed: RelaxedMoments | None) -> None:
        """Keep what is wrong, and tell each kind of it once: a trajectory would repeat it at every step."""
        kinds = {re.sub(r"[-+.\d]+", "", text): text for text in found}
        if relaxed is not None and not relaxed.sound:
            kinds[relaxed.verdict] = relaxed.warning
        self.warnings = tuple(kinds.values())
        for kind, text in kinds.items():
            if kind not in self._told:
                self._told.add(kind)
                warnings.warn(f"{text} (told once; see the calculator's `warnings`)", PotentialWarning, stacklevel=3)
