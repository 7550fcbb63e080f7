"""Moments that follow moving atoms: relaxation with a warm start and a remembered Hessian."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.potential.descent import STEP_CAP, Curvature, descend
from mmtp_fw.potential.moments import MAX_STEPS, RelaxedMoments, outcome
from mmtp_fw.potential.system import System

if TYPE_CHECKING:
    from mmtp_fw.potential.evaluation import Evaluation
    from mmtp_fw.potential.model import MagneticModel

WARM_STEPS = 12
"""Steps after which the remembered Hessian is given up as misleading."""


class MomentTracker:
    """Keeps the moments of n atoms at their minimum along a trajectory.

    From one step to the next the minimum moves little and the Hessian less: the moments are predicted
    linearly from the last two steps, and go down (see `mmtp_fw.potential.descent`) with the inverse Hessian of all
    steps so far, which takes two or three evaluations where a fresh relaxation takes ten.

    Parameters
    ----------
    potential : Potential
        Magnetic.
    tolerance : float
        Largest magnetic force that may remain (eV/μB). Larger ones drain energy from a trajectory.
    """

    def __init__(self, potential: MagneticModel, tolerance: float = 1e-4) -> None:
        self.potential = potential
        self.tolerance = tolerance
        self.evaluations = 0
        self.steps = 0
        self._history: list[FloatArray] = []
        self._curvature: Curvature | None = None

    def reset(self, moments: FloatArray) -> None:
        """Start anew from `moments`, shape (n,), which must not all be zero."""
        self._history = [np.array(moments, dtype=np.float64)]
        self._curvature = Curvature(len(moments))

    def relax(self, system: System) -> tuple[Evaluation, RelaxedMoments]:
        """Relax at new positions of the same atoms; return the evaluation at the minimum.

        Parameters
        ----------
        system : System
            n atoms; `reset` has been called once with n moments.
        """
        last = self._history[-1]
        predicted = last + np.clip(last - self._history[0], -STEP_CAP, STEP_CAP) if len(self._history) > 1 else last
        found = descend(self.potential, system, predicted, self.tolerance, WARM_STEPS, self._curvature)
        evaluations = found.evaluations
        if not found.converged:
            self._curvature = Curvature(len(predicted))
            found = descend(self.potential, system, found.moments, self.tolerance, MAX_STEPS, self._curvature)
            evaluations += found.evaluations
        self._history = [last, found.moments]
        self.steps += 1
        self.evaluations += evaluations
        return found.result, replace(outcome(self.potential, system, found), evaluations=evaluations)
