"""What drives the atoms: a potential with its moments, or any ASE calculator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.potential import MomentTracker, Potential


@dataclass(frozen=True)
class ModelState:
    """Energy (eV), forces (n, 3) (eV/Å), stress (6,) (eV/Å³, ASE), moments (n,) (μB) at some positions."""

    energy: float
    forces: FloatArray
    stress: FloatArray
    moments: FloatArray
    at_bounds: bool = False
    converged: bool = True
    """Whether every relaxation of moments since the last state found its minimum."""


class Model(Protocol):
    """What a trajectory needs."""

    def evaluate(self, atoms: Atoms) -> ModelState:
        """Return the state at the positions of `atoms`, always the same n atoms in the same order."""
        ...


class PotentialModel:
    """A potential; moments fixed, or relaxed every few steps.

    Parameters
    ----------
    potential : Potential
    start : ndarray, shape (n,)
        Moments at the start (μB).
    relax_interval : int
        0 keeps them fixed.
    tolerance : float
        eV/μB.
    """

    def __init__(
        self, potential: Potential, start: FloatArray, relax_interval: int = 1, tolerance: float = 1e-4
    ) -> None:
        self.potential = potential
        self.moments = np.array(start, dtype=np.float64)
        self.relax_interval = relax_interval if potential.magnetic else 0
        self.tolerance = tolerance
        self.tracker = MomentTracker(potential, tolerance)
        self._lists = potential.lists()
        if self.relax_interval:
            self.tracker.reset(self.moments)
        self.calls = 0

    def evaluate(self, atoms: Atoms) -> ModelState:
        """Evaluate at the positions of `atoms`, relaxing the moments when it is time to."""
        system = self.potential.system(atoms, self._lists)
        at_bounds, converged = False, True
        if self.relax_interval and self.calls % self.relax_interval == 0:
            result, relaxed = self.tracker.relax(system)
            self.moments, at_bounds, converged = relaxed.moments, bool(relaxed.at_bounds.any()), relaxed.converged
        else:
            result = self.potential.evaluate_system(system, self.moments)
        self.calls += 1
        return ModelState(result.energy, result.forces, result.stress, self.moments, at_bounds, converged)


class CalculatorModel:
    """Any ASE calculator; moments are its magmoms where it has them."""

    def __init__(self, calculator: Any, moments: FloatArray) -> None:
        self.calculator = calculator
        self.initial = np.array(moments, dtype=np.float64)

    def evaluate(self, atoms: Atoms) -> ModelState:
        """Evaluate at the positions of `atoms`."""
        atoms = atoms.copy()
        atoms.set_initial_magnetic_moments(self.initial)
        atoms.calc = self.calculator
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        moments = np.array(self.calculator.results.get("magmoms", self.initial))
        return ModelState(float(energy), forces, stress, moments)
