"""Moments that follow moving atoms: relaxation with a warm start and a remembered Hessian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmtp_fw.potential.moments import AT_BOUND, RelaxedMoments, relax_system
from mmtp_fw.potential.system import System

if TYPE_CHECKING:
    from mmtp_fw.potential.evaluation import Evaluation
    from mmtp_fw.potential.potential import Potential

STEP_CAP = 0.3
"""Largest change of a moment in one step (μB)."""
MAX_STEPS = 12
"""Steps after which a full relaxation takes over."""
FIRST_CURVATURE = 0.5
"""∂²E/∂m² assumed before anything is known (eV/μB²)."""


class MomentTracker:
    """Keeps the moments of n atoms at their minimum along a trajectory.

    From one step to the next the minimum moves little and the Hessian less: the moments are predicted
    linearly from the last two steps, and corrected by quasi-Newton steps with the inverse Hessian of all
    steps so far (BFGS updates), which takes two or three evaluations where a fresh relaxation takes ten.

    Parameters
    ----------
    potential : Potential
        Magnetic.
    tolerance : float
        Largest magnetic force that may remain (eV/μB). Larger ones drain energy from a trajectory.
    """

    def __init__(self, potential: Potential, tolerance: float = 1e-4) -> None:
        self.potential = potential
        self.tolerance = tolerance
        self.evaluations = 0
        self.steps = 0
        self._history: list[np.ndarray] = []
        self._inverse: np.ndarray | None = None

    def reset(self, moments: np.ndarray) -> None:
        """Start anew from `moments`, shape (n,), which must not all be zero."""
        self._history = [np.array(moments, dtype=np.float64)]
        self._inverse = np.eye(len(moments)) / FIRST_CURVATURE

    def relax(self, system: System) -> tuple[Evaluation, RelaxedMoments]:
        """Relax at new positions of the same atoms; return the evaluation at the minimum.

        Parameters
        ----------
        system : System
            n atoms; `reset` has been called once with n moments.
        """
        low, high = self.potential.min_moment, self.potential.max_moment
        before = self.evaluations
        last = self._history[-1]
        predicted = last + np.clip(last - self._history[0], -STEP_CAP, STEP_CAP) if len(self._history) > 1 else last
        m = np.clip(predicted, low, high)
        result = self._evaluate(system, m)
        for _ in range(MAX_STEPS):
            slope = -result.magnetic_forces
            if _projected(m, slope, low, high) <= self.tolerance:
                break
            new = np.clip(m + self._step(m, slope, low, high), low, high)
            trial = self._evaluate(system, new)
            self._update(new - m, -trial.magnetic_forces - slope)
            if trial.energy > result.energy + 1e-9 * abs(result.energy) + 1e-7:
                # Too far: the better curvature makes the next step from here shorter.
                continue
            m, result = new, trial
        converged = _projected(m, -result.magnetic_forces, low, high) <= self.tolerance
        if not converged:
            relaxed = relax_system(self.potential, system, m, self.tolerance)
            self.evaluations += relaxed.evaluations
            m, converged = relaxed.moments, relaxed.converged
            result = self._evaluate(system, m)
            self._inverse = np.eye(len(m)) / FIRST_CURVATURE
        self._history = [last, m]
        self.steps += 1
        at_bounds = (m < low + AT_BOUND) | (m > high - AT_BOUND)
        return result, RelaxedMoments(m, result.energy, converged, at_bounds, self.evaluations - before)

    def _evaluate(self, system: System, moments: np.ndarray) -> Evaluation:
        self.evaluations += 1
        return self.potential.evaluate_system(system, moments)

    def _step(self, m: np.ndarray, slope: np.ndarray, low: float, high: float) -> np.ndarray:
        assert self._inverse is not None
        held = ((m <= low) & (slope > 0)) | ((m >= high) & (slope < 0))
        free = np.where(held, 0.0, slope)
        step = np.where(held, 0.0, -(self._inverse @ free))
        if step @ free > 0:
            step = -free / FIRST_CURVATURE
        return np.clip(step, -STEP_CAP, STEP_CAP)

    def _update(self, s: np.ndarray, y: np.ndarray) -> None:
        """BFGS update of the inverse Hessian."""
        assert self._inverse is not None
        sy = float(s @ y)
        if sy <= 1e-10 * np.linalg.norm(s) * np.linalg.norm(y) or not np.isfinite(sy):
            return
        hy = self._inverse @ y
        self._inverse += (1.0 + (y @ hy) / sy) / sy * np.outer(s, s)
        self._inverse -= (np.outer(s, hy) + np.outer(hy, s)) / sy


def _projected(m: np.ndarray, slope: np.ndarray, low: float, high: float) -> float:
    return float(np.abs(m - np.clip(m - slope, low, high)).max(initial=0.0))
