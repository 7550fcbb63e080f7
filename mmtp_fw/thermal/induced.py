"""Moments that others induce: a single-valued function of positions and local moments.

Inside every trial they are relaxed from zero and never from where the chain left them: a warm start would make them
depend on the chain's past, which no detailed balance survives. In the field of local moments zero is no stationary
point but where that field vanishes. What is accepted is the relaxed energy; −½ kT ln det of the induced moments'
Hessian, which an integral over them would add, is dropped, and so `mixed` differs from `thermal`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mmtp_fw.arrays import BoolArray, FloatArray, IntArray
from mmtp_fw.potential.descent import descend
from mmtp_fw.potential.system import System

if TYPE_CHECKING:
    from mmtp_fw.potential import Evaluation, Potential

TOLERANCE = 1e-5
"""Largest magnetic force left on an induced moment (eV/μB): its energy is then right to some 1e-9 eV."""
STEPS = 100


class _Others:
    """The energy as a function of induced moments, the others fixed."""

    def __init__(self, potential: Potential, moments: FloatArray, induced: BoolArray) -> None:
        self.min_moment, self.max_moment = potential.min_moment, potential.max_moment
        self._potential, self._moments, self._induced = potential, moments.copy(), induced

    def evaluate_system(self, system: System, moments: FloatArray) -> Evaluation:
        """Evaluate at induced moments (μB), shape (number of them,)."""
        self._moments[self._induced] = moments
        found = self._potential.evaluate_system(system, self._moments)
        return replace(found, magnetic_forces=found.magnetic_forces[self._induced], moments=moments)


class Induced:
    """Local moments of n atoms at fixed positions, and the induced ones that go with them.

    Parameters
    ----------
    potential : Potential
    system : System
        n atoms.
    moments : ndarray, shape (n,)
        μB; of the induced ones none is used.
    induced : ndarray of bool, shape (n,)
    limits : ndarray, shape (n, 2)
        Least and greatest moments (μB).

    Attributes
    ----------
    sound : bool
        Whether the induced moments have a minimum inside their limits.
    """

    def __init__(
        self, potential: Potential, system: System, moments: FloatArray, induced: BoolArray, limits: FloatArray
    ) -> None:
        self.system = system
        self._potential, self._mask, self._limits = potential, induced, limits
        self.reset(moments)

    def reset(self, moments: FloatArray) -> None:
        """Take local moments, shape (n,), and relax the induced ones."""
        self._moments, self._energy, self.sound = self._relaxed(np.array(moments, dtype=np.float64))

    @property
    def moments(self) -> FloatArray:
        """All moments now, shape (n,), μB."""
        return self._moments.copy()

    @property
    def energy(self) -> float:
        """The relaxed energy, eV."""
        return self._energy

    def _relaxed(self, moments: FloatArray) -> tuple[FloatArray, float, bool]:
        others = _Others(self._potential, moments, self._mask)
        start = np.zeros(int(self._mask.sum()))
        found = descend(others, self.system, start, TOLERANCE, STEPS)
        low, high = self._limits[self._mask].T
        inside = bool(((found.moments >= low) & (found.moments <= high)).all())
        moments = moments.copy()
        moments[self._mask] = found.moments
        return moments, found.result.energy, found.converged and inside

    def attempt(
        self,
        sites: IntArray,
        factors: FloatArray,
        shifts: FloatArray,
        uniforms: FloatArray,
        limits: FloatArray,
        kT: float,
        power: float = 0.0,
    ) -> IntArray:
        """Do as `MomentState.attempt` with shapes (t,) and (n, 2); −2 is a trial without sound induced moments."""
        outcome = np.zeros(len(sites), dtype=np.int64)
        for t, i in enumerate(sites):
            old, new = self._moments[i], factors[t] * self._moments[i] + shifts[t]
            if new < limits[i, 0] or new > limits[i, 1] or (power > 0 and new == 0):
                outcome[t] = -1
                continue
            trial = self._moments.copy()
            trial[i] = new
            moments, energy, sound = self._relaxed(trial)
            if not sound:
                outcome[t] = -2
                continue
            grown = abs(new / old) ** power if power > 0 and old != 0 else 1.0
            if uniforms[t] < grown * np.exp(min(700.0, (self._energy - energy) / kT)):
                outcome[t] = 1
                self._moments, self._energy = moments, energy
        return outcome
