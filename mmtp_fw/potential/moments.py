"""Relax moments at fixed positions: minimise E over M within the range of the magnetic basis.

A relaxation never starts from zero, where the energy of a symmetric potential is always stationary, and
without a start it tries several collinear patterns and keeps the lowest minimum inside the range; one at its bounds
only where there is no other. A moment that ends at a bound is reported: the energy has no minimum inside, so the
potential does not know this magnetic state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from mmtp_fw.errors import InputError
from mmtp_fw.potential.system import System, moments_of

if TYPE_CHECKING:
    from mmtp_fw.potential.model import MagneticModel

# A moment within this distance (μB) of its bound counts as at the bound.
AT_BOUND = 1e-6


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
        Moments that ended at the bounds of the magnetic range.
    evaluations : int
        Evaluations of the potential, of all starts together.
    """

    moments: np.ndarray
    energy: float
    converged: bool
    at_bounds: np.ndarray
    evaluations: int


def relax_moments(
    potential: MagneticModel, atoms: Atoms, start: np.ndarray | None = None, tolerance: float = 1e-4
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
    results = [relax_system(potential, system, s, tolerance) for s in starts(potential, atoms)]
    # A minimum at the bounds is none: beyond what it was trained on a potential may fall without end.
    best = min(results, key=lambda result: (not result.converged or bool(result.at_bounds.any()), result.energy))
    evaluations = sum(result.evaluations for result in results)
    return RelaxedMoments(best.moments, best.energy, best.converged, best.at_bounds, evaluations)


def starts(potential: MagneticModel, atoms: Atoms) -> list[np.ndarray]:
    """Return the collinear patterns that a relaxation without a start tries, each of shape (n,)."""
    n = len(atoms)
    patterns = []
    given = moments_of(atoms)
    if np.any(given):
        patterns.append(given)
    size = potential.max_moment
    patterns += [np.full(n, 0.6 * size), np.full(n, 0.25 * size)]
    if n > 1:
        # Alternating along the rows of the list, and by layers along the longest axis of the cell.
        patterns.append(0.6 * size * (-1.0) ** np.arange(n))
        height = atoms.get_positions()[:, int(np.argmax(atoms.cell.lengths())) if atoms.cell.rank else 2]
        layers = np.unique(np.round(height / 0.8), return_inverse=True)[1]
        patterns.append(0.6 * size * (-1.0) ** layers)
    return patterns


def relax_system(
    potential: MagneticModel, system: System, start: np.ndarray, tolerance: float = 1e-4, max_steps: int = 200
) -> RelaxedMoments:
    """Relax from one start by L-BFGS-B (R. Byrd et al., SIAM J. Sci. Comput. 16, 1190 (1995)).

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
    from scipy.optimize import minimize  # takes longer to import than everything else here

    low, high = potential.min_moment, potential.max_moment

    def energy_and_slope(m: np.ndarray) -> tuple[float, np.ndarray]:
        result = potential.evaluate_system(system, m)
        return result.energy, -result.magnetic_forces

    found = minimize(
        energy_and_slope,
        np.clip(start, low, high),
        jac=True,
        method="L-BFGS-B",
        bounds=[(low, high)] * len(system),
        options={"gtol": tolerance, "ftol": 0.0, "maxiter": max_steps, "maxls": 30},
    )
    moments = np.clip(found.x, low, high)
    at_bounds = (moments < low + AT_BOUND) | (moments > high - AT_BOUND)
    projected = moments - np.clip(moments - found.jac, low, high)
    return RelaxedMoments(
        moments,
        float(found.fun),
        bool(np.abs(projected).max(initial=0.0) <= tolerance),
        at_bounds,
        found.nfev,
    )
