"""Relax moments at fixed positions: minimise E over M within the range of the magnetic basis.

A relaxation never starts from zero, where the energy of a symmetric potential is always stationary, and
without a start it tries several collinear patterns and keeps the lowest sound minimum; another one only where
there is none. How a relaxation goes down is told in `mmtp_fw.potential.descent`: there is one way for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import BoolArray, FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential.descent import Descended, descend
from mmtp_fw.potential.system import System, moments_of, type_indices

if TYPE_CHECKING:
    from mmtp_fw.potential.model import MagneticModel

MAX_STEPS = 300
"""Steps of one relaxation."""


class MomentVerdict(StrEnum):
    """What a relaxation is worth."""

    CONVERGED = "converged"
    NOT_CONVERGED = "not converged"
    AT_BOUND = "at the bound"
    OUTSIDE = "outside the trained range"


@dataclass(frozen=True)
class RelaxedMoments:
    """Outcome of a relaxation.

    Attributes
    ----------
    moments : ndarray, shape (n,)
        μB.
    energy : float
        eV.
    converged : bool
        Whether every magnetic force that may act is below the tolerance.
    at_bounds : ndarray of bool, shape (n,)
        Moments that ended at the bounds of the magnetic range: the energy has no minimum inside.
    evaluations : int
        Evaluations of the potential, of all starts together.
    outside : ndarray of bool, shape (n,)
        Moments beyond those that their species was trained for; all false where no trained range is known.
    """

    moments: FloatArray
    energy: float
    converged: bool
    at_bounds: BoolArray
    evaluations: int
    outside: BoolArray

    @property
    def verdict(self) -> MomentVerdict:
        """The gravest thing to be said; CONVERGED only where nothing is wrong."""
        if self.at_bounds.any():
            return MomentVerdict.AT_BOUND
        if not self.converged:
            return MomentVerdict.NOT_CONVERGED
        return MomentVerdict.OUTSIDE if self.outside.any() else MomentVerdict.CONVERGED

    @property
    def sound(self) -> bool:
        """Whether the moments are a minimum where the potential knows something: average no others."""
        return self.verdict is MomentVerdict.CONVERGED

    @property
    def warning(self) -> str:
        """What is wrong, in words; empty where nothing is."""
        count = {
            MomentVerdict.AT_BOUND: f"{int(self.at_bounds.sum())} of {len(self.moments)} relaxed moments end at the "
            "bound of the magnetic range: the potential doesn't know this state",
            MomentVerdict.NOT_CONVERGED: "the moments are not relaxed: no minimum was found within the steps allowed",
            MomentVerdict.OUTSIDE: f"{int(self.outside.sum())} of {len(self.moments)} relaxed moments lie outside the "
            "range that the potential was trained in",
        }
        return count.get(self.verdict, "")


def relax_moments(
    potential: MagneticModel, atoms: Atoms, start: FloatArray | None = None, tolerance: float = 1e-4
) -> RelaxedMoments:
    """Minimise the energy over the moments.

    Parameters
    ----------
    potential : Potential
    atoms : Atoms
        n atoms; only positions and species are used with a `start`.
    start : ndarray, shape (n,), optional
        Moments to start from (μB), for example the last ones of a trajectory. Without it, the moments of
        `atoms` (unless all are zero), ferromagnetic and alternating patterns are tried.
    tolerance : float
        Largest magnetic force that may remain (eV/μB).

    Raises
    ------
    InputError
        Non-magnetic potential, a start of zeros or of another length.
    """
    if not potential.magnetic:
        raise InputError("the potential has no magnetic basis: there are no moments to relax")
    system = potential.system(atoms)
    if start is not None:
        start = np.asarray(start, dtype=np.float64)
        if start.shape != (len(system),):
            raise InputError(f"a start of shape {start.shape} for {len(system)} atoms")
        if not np.any(start):
            raise InputError(
                "all moments of the start are zero, where the energy is always stationary",
                "start from a ferromagnetic or alternating pattern, or give no start",
            )
        return relax_system(potential, system, start, tolerance)
    return relax_from(potential, system, starts(potential, atoms), tolerance)


def relax_from(
    potential: MagneticModel, system: System, patterns: list[FloatArray], tolerance: float = 1e-4
) -> RelaxedMoments:
    """Relax from every pattern, each of shape (n,), and return the lowest sound minimum, or what is least unsound."""
    results = [relax_system(potential, system, start, tolerance) for start in patterns]
    # A minimum at the bounds is none: beyond what it was trained on a potential may fall without end.
    unsound = {MomentVerdict.CONVERGED: 0, MomentVerdict.OUTSIDE: 1}
    best = min(results, key=lambda result: (unsound.get(result.verdict, 2), result.energy))
    evaluations = sum(result.evaluations for result in results)
    return RelaxedMoments(best.moments, best.energy, best.converged, best.at_bounds, evaluations, best.outside)


def starts(potential: MagneticModel, atoms: Atoms) -> list[FloatArray]:
    """Return the collinear patterns that a relaxation without a start tries, each of shape (n,).

    Their sizes are fractions of what each species was trained for, and of the magnetic range where that isn't known:
    of the same for all species there, so that small ones are among them.
    """
    n = len(atoms)
    patterns = []
    given = moments_of(atoms)
    if np.any(given):
        patterns.append(given)
    size = np.full(n, potential.max_moment)
    fractions = (0.6, 0.25, 0.08)
    if potential.trained is not None:
        most = np.abs(potential.trained.moments).max(axis=1)[type_indices(atoms, potential.species)]
        size, fractions = np.where(np.isfinite(most), most, size), (0.8, 0.4, 0.15)
    patterns += [fraction * size for fraction in fractions]
    if n > 1:
        # Alternating along the rows of the list, and by layers along the longest axis of the cell.
        patterns.append(fractions[0] * size * (-1.0) ** np.arange(n))
        height = atoms.get_positions()[:, int(np.argmax(atoms.cell.lengths())) if atoms.cell.rank else 2]
        layers = np.unique(np.round(height / 0.8), return_inverse=True)[1]
        patterns.append(fractions[0] * size * (-1.0) ** layers)
    return [pattern for pattern in patterns if np.any(pattern)] or [np.full(n, 0.6 * potential.max_moment)]


def relax_system(
    potential: MagneticModel, system: System, start: FloatArray, tolerance: float = 1e-4, max_steps: int = MAX_STEPS
) -> RelaxedMoments:
    """Relax from one start, within its basin; see `mmtp_fw.potential.descent`.

    Parameters
    ----------
    potential : Potential
    system : System
        n atoms.
    start : ndarray, shape (n,)
        μB; clipped into the range.
    tolerance : float
        eV/μB.
    max_steps : int
    """
    return outcome(potential, system, descend(potential, system, start, tolerance, max_steps))


def outcome(potential: MagneticModel, system: System, found: Descended) -> RelaxedMoments:
    """Return a descent as a relaxation with its verdict."""
    trained = potential.trained
    outside = np.zeros(len(found.moments), dtype=bool)
    if trained is not None:
        outside = trained.outside(system.types, found.moments)
    at_bounds = found.at_bounds(potential.min_moment, potential.max_moment)
    return RelaxedMoments(found.moments, found.result.energy, found.converged, at_bounds, found.evaluations, outside)
