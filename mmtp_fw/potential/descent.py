"""The one way in which moments are brought to their minimum: downhill, in bounded steps, within one basin.

Quasi-Newton (BFGS) steps of at most `STEP_CAP` for every moment. A step is taken only where the energy doesn't rise,
and where it doesn't fall by more than its slope promises: in the convex basin of a minimum no step can, so one that
does has crossed a ridge, perhaps into a hole of the potential. It is made anew, shorter; steps of `SHORT_STEP` are
taken as they are, and follow the slope out of a region that isn't convex.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmtp_fw.arrays import BoolArray, FloatArray
from mmtp_fw.potential.system import System

if TYPE_CHECKING:
    from mmtp_fw.potential.evaluation import Evaluation
    from mmtp_fw.potential.model import EnergyOfMoments

STEP_CAP = 0.3
"""Largest change of a moment in one step (μB)."""
SHORT_STEP = 0.05
"""Steps up to here (μB) need not look convex."""
FIRST_CURVATURE = 0.5
"""∂²E/∂m² assumed before anything is known (eV/μB²)."""
AT_BOUND = 1e-6
"""A moment within this distance (μB) of the bound of the magnetic basis counts as at the bound."""
PRESSED_STEPS = 40
"""Steps with a moment at the bound after which a descent is given up: there is no minimum on its way."""
_DENSE = 1500  # moments; beyond, the inverse Hessian is kept as the last steps only
_REMEMBERED = 20


class Curvature:
    """The inverse Hessian of E(M) as far as steps have shown it (BFGS), for n moments.

    Up to some thousand moments as a matrix, which remembers all steps; beyond, as the last ones.
    """

    def __init__(self, n: int) -> None:
        self._matrix = np.eye(n) / FIRST_CURVATURE if n <= _DENSE else None
        self._pairs: list[tuple[FloatArray, FloatArray, float]] = []
        self._scale = 1.0 / FIRST_CURVATURE

    def times(self, slope: FloatArray) -> FloatArray:
        """Return the inverse Hessian times a slope, shape (n,)."""
        if self._matrix is not None:
            return np.asarray(self._matrix @ slope)
        q, factors = slope.copy(), []
        for s, y, sy in reversed(self._pairs):
            factors.append(float(s @ q) / sy)
            q -= factors[-1] * y
        q *= self._scale
        for (s, y, sy), factor in zip(self._pairs, reversed(factors), strict=True):
            q += (factor - float(y @ q) / sy) * s
        return q

    def learn(self, s: FloatArray, y: FloatArray) -> None:
        """Take in a step s (n,) that changed the slope by y (n,); none is learnt without positive curvature."""
        sy = float(s @ y)
        if sy <= 1e-10 * np.linalg.norm(s) * np.linalg.norm(y) or not np.isfinite(sy):
            return
        if self._matrix is None:
            self._scale = sy / float(y @ y)
            self._pairs = [*self._pairs[1 - _REMEMBERED :], (s, y, sy)]
            return
        hy = self._matrix @ y
        self._matrix += (1.0 + (y @ hy) / sy) / sy * np.outer(s, s)
        self._matrix -= (np.outer(s, hy) + np.outer(hy, s)) / sy


@dataclass(frozen=True, eq=False)
class Descended:
    """Where a descent ended: moments (n,) (μB), the evaluation there, whether |T| is within tolerance, evaluations."""

    moments: FloatArray
    result: Evaluation
    converged: bool
    evaluations: int

    def at_bounds(self, low: float, high: float) -> BoolArray:
        """Return which moments are at the bounds of the magnetic basis, shape (n,)."""
        return (self.moments < low + AT_BOUND) | (self.moments > high - AT_BOUND)


def descend(
    potential: EnergyOfMoments,
    system: System,
    start: FloatArray,
    tolerance: float,
    max_steps: int,
    curvature: Curvature | None = None,
) -> Descended:
    """Go down from a start until every magnetic force that may act is below the tolerance.

    Parameters
    ----------
    potential : Potential
        Magnetic.
    system : System
        n atoms.
    start : ndarray, shape (n,)
        μB; clipped into the range of the magnetic basis.
    tolerance : float
        eV/μB.
    max_steps : int
    curvature : Curvature, optional
        What is known of the Hessian, and is brought up to date.
    """
    low, high = potential.min_moment, potential.max_moment
    m = np.clip(start, low, high)
    curvature = Curvature(len(m)) if curvature is None else curvature
    result, evaluations, cap, pressed = potential.evaluate_system(system, m), 1, STEP_CAP, 0
    for _ in range(max_steps):
        slope = -result.magnetic_forces
        if largest_force(m, slope, low, high) <= tolerance or pressed > PRESSED_STEPS:
            break
        new = np.clip(m + _step(curvature, m, slope, (low, high), cap), low, high)
        trial = potential.evaluate_system(system, new)
        evaluations += 1
        step = new - m
        longest = float(np.abs(step).max(initial=0.0))
        gain, promised = trial.energy - result.energy, float(slope @ step)
        noise = 1e-9 * abs(result.energy) + 1e-7
        leapt = longest > 1.01 * SHORT_STEP and gain < 1.1 * promised - noise
        if not leapt:
            curvature.learn(step, -trial.magnetic_forces - slope)
        if leapt or gain > noise:
            cap = max(0.5 * longest, SHORT_STEP) if leapt else 0.5 * longest
            continue
        m, result, cap = new, trial, min(2.0 * cap, STEP_CAP)
        pressed = pressed + 1 if m.min() < low + AT_BOUND or m.max() > high - AT_BOUND else 0
    converged = largest_force(m, -result.magnetic_forces, low, high) <= tolerance
    return Descended(m, result, converged, evaluations)


def largest_force(m: FloatArray, slope: FloatArray, low: float, high: float) -> float:
    """Return the largest magnetic force (eV/μB) that the bounds leave, of moments and slopes of shape (n,)."""
    return float(np.abs(m - np.clip(m - slope, low, high)).max(initial=0.0))


def _step(curvature: Curvature, m: FloatArray, slope: FloatArray, bounds: Sequence[float], cap: float) -> FloatArray:
    """Return a step downhill, no component above `cap`, that leaves moments alone which press against a bound."""
    held = ((m <= bounds[0]) & (slope > 0)) | ((m >= bounds[1]) & (slope < 0))
    free = np.where(held, 0.0, slope)
    step = np.where(held, 0.0, -curvature.times(free))
    if step @ free >= 0:  # an inverse Hessian of other places
        step = -free / FIRST_CURVATURE
    return step * min(1.0, cap / max(float(np.abs(step).max(initial=0.0)), 1e-300))
