"""Forces with the moments at their minimum: the adiabatic surface around one configuration, in one basin.

Every displacement relaxes its moments from those of the undisplaced cell, so that none depends on the others, and a
relaxation that found no minimum, another basin, or one beyond the trained range gives no forces but the reason.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import MmtpError
from mmtp_fw.potential.descent import Curvature, descend
from mmtp_fw.potential.moments import MAX_STEPS, MomentVerdict, RelaxedMoments, outcome

if TYPE_CHECKING:
    from mmtp_fw.potential import Potential
    from mmtp_fw.potential.evaluation import Evaluation

TOLERANCE = 1e-6
"""Largest magnetic force that may remain (eV/μB): moments that lag behind would make forces depend on the path."""
LEAP_MUB = 0.2
"""A moment that changes by more (μB) under a displacement of some hundredths of an Å has left its basin."""


class SurfaceError(MmtpError):
    """Moments without a minimum to stay in, so that there are no forces to take differences of."""


class AdiabaticSurface:
    """Forces of a potential at relaxed moments, around one configuration of n atoms.

    Parameters
    ----------
    potential : Potential
        Without magnetic basis it is evaluated as it is.
    atoms : Atoms
        n atoms, undisplaced.
    start : ndarray, shape (n,), optional
        Moments to start from (μB); by default the patterns of `Potential.relax_moments`.
    extrapolate : bool
        Go on beyond the range that the potential was trained in, and tell it in `warnings`.

    Attributes
    ----------
    moments : ndarray, shape (n,)
        Of the undisplaced configuration, μB; zeros without magnetic basis.
    energy : float
        There, eV.
    residual : float
        Largest component of the forces there, eV/Å.
    verdicts : dict of str to int
        How many relaxations ended in which verdict, the first one included.
    evaluations : int
        Of the potential.
    largest_change : float
        Largest change of a moment under a displacement so far, μB.

    Raises
    ------
    SurfaceError
        The undisplaced moments have no minimum, or one outside the trained range without `extrapolate`.
    """

    def __init__(
        self, potential: Potential, atoms: Atoms, start: FloatArray | None = None, extrapolate: bool = False
    ) -> None:
        self.potential, self.extrapolate = potential, extrapolate
        self.verdicts: dict[str, int] = {}
        self.evaluations, self.largest_change = 0, 0.0
        self._lists = potential.lists()
        self._told: dict[str, None] = {}
        self._curvature = Curvature(len(atoms))
        self.moments = np.zeros(len(atoms))
        if potential.magnetic:
            first = potential.relax_moments(atoms, start=start)
            self.evaluations += first.evaluations
            self.moments = first.moments
        result = self._at(atoms, self._curvature, "the undisplaced cell")
        self.moments, self.energy = result.moments, result.energy
        self.residual = float(np.abs(result.forces).max(initial=0.0))
        self.largest_change = 0.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is extrapolated, each kind once."""
        told = list(self._told)
        if self.potential.trained is None:
            told.append("the potential does not say what it was trained for: no moment or distance was checked")
        return tuple(told)

    def forces(self, atoms: Atoms, place: str = "a displacement") -> FloatArray:
        """Return the forces (eV/Å), shape (n, 3), of the same atoms, displaced.

        Raises
        ------
        SurfaceError
            Moments that did not converge, left their basin, or left the trained range; `place` says where.
        """
        return self._at(atoms, copy.deepcopy(self._curvature), place).forces

    def _at(self, atoms: Atoms, curvature: Curvature, place: str) -> Evaluation:
        system = self.potential.system(atoms, self._lists)
        if not self.potential.magnetic:
            result = self.potential.evaluate_system(system, self.moments)
            self.evaluations += 1
        else:
            found = descend(self.potential, system, self.moments, TOLERANCE, MAX_STEPS, curvature)
            relaxed, result = outcome(self.potential, system, found), found.result
            self.evaluations += relaxed.evaluations
            self._judge(relaxed, place)
        if result.warnings and not self.extrapolate:
            raise SurfaceError(f"{place}: {result.warnings[0]}", _BEYOND)
        self._told |= dict.fromkeys(result.warnings)
        return result

    def _judge(self, relaxed: RelaxedMoments, place: str) -> None:
        verdict = relaxed.verdict
        self.verdicts[verdict.value] = self.verdicts.get(verdict.value, 0) + 1
        if verdict in (MomentVerdict.AT_BOUND, MomentVerdict.NOT_CONVERGED):
            raise SurfaceError(f"{place}: {relaxed.warning}", "start from other moments, or from another structure")
        if verdict is MomentVerdict.OUTSIDE and not self.extrapolate:
            raise SurfaceError(f"{place}: {relaxed.warning}", _BEYOND)
        change = np.abs(relaxed.moments - self.moments)
        self.largest_change = max(self.largest_change, float(change.max(initial=0.0)))
        if self.largest_change > LEAP_MUB:
            atom = int(change.argmax())
            raise SurfaceError(
                f"{place}: the moment of atom {atom} leaps from {self.moments[atom]:.3f} to "
                f"{relaxed.moments[atom]:.3f} μB: another basin",
                "a smaller step, another magnetic arrangement, or a cell away from the transition",
            )


_BEYOND = "train the potential there, or take --extrapolate and its numbers as extrapolated"
