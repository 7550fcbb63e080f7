"""Levenberg-Marquardt with exact rows, a second-order correction of steps, and linear parameters solved for.

A step solves (G + λ D) δ = −g with the exact Gauss-Newton matrix; D holds the largest diag G seen so far, so that a
parameter that has lost its effect for the moment doesn't run away. Of several λ the one that lowers the objective
most is taken, so that steps are as long as the valley allows; the bend of the valley is followed by the geodesic
acceleration, −½ (G + λ D)⁻¹ ∂r/∂θᵀ r″(δ), which costs three evaluations; and after each step ξ and the
species' constants are put to their exact minimum (variable projection). All of it costs little beside the rows of
G. Null directions of G, gauge modes among them, are held by the damping: g has no part along them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from mmtp_fw.arrays import FloatArray
from mmtp_fw.fitting.metric import scales_of
from mmtp_fw.fitting.minimise import Point
from mmtp_fw.fitting.objective import Objective

FIRST_DAMPING = 1e-2
_LEAST_DAMPING = 1e-12
_FACTOR = 4.0
_TRIALS = 12
# Differences for the bend are taken at this fraction of a step; a bend that is longer than the step says nothing.
_FRACTION, _LONGEST_BEND = 0.1, 0.75


def levenberg_marquardt(
    objective: Objective, start: Point, max_iterations: int, damping: float = FIRST_DAMPING
) -> Iterator[tuple[Point, float]]:
    """Yield the points of a minimisation, each with the damping that led to it.

    Parameters
    ----------
    objective : Objective
    start : Point
    max_iterations : int
    damping : float
        λ to begin with.

    It ends, without an error, when no step lowers the objective any more.
    """
    point, rng, largest = start, np.random.default_rng(0), np.zeros(len(start.x))
    for _ in range(max_iterations):
        matrix = objective.matrix(point.x, rng, np.inf)
        largest = np.maximum(largest, np.diag(matrix))
        found = _step(objective, point, matrix, scales_of(largest), damping)
        if found is None:
            return
        x, damping = found
        point = Point(x, *objective.value_and_gradient(x))
        yield point, damping


def _step(
    objective: Objective, point: Point, matrix: FloatArray, scale: FloatArray, damping: float
) -> tuple[FloatArray, float] | None:
    """Return the lowest place found with dampings from below the last one upward, and its damping; None if none is.

    1/√D is `scale`.
    """
    scaled = matrix * scale[:, None] * scale[None, :]
    best, lowest = None, point.value
    for trial in range(_TRIALS):
        value = max(damping * _FACTOR ** (trial - 1), _LEAST_DAMPING)
        damped = scaled.copy()
        damped[np.diag_indices_from(damped)] += value
        try:
            factor = cho_factor(damped, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            continue
        x = objective.solved(point.x + _bent(objective, point, factor, scale))
        reached = objective.value(x)
        if reached < lowest:
            best, lowest = (x, value), reached
        elif best is not None:
            break
    return best


def _bent(objective: Objective, point: Point, factor: tuple[FloatArray, bool], scale: FloatArray) -> FloatArray:
    """Return the step with its bend, where that is short enough to be one."""

    def solve(vector: FloatArray) -> FloatArray:
        return np.asarray(scale * cho_solve(factor, scale * vector, check_finite=False))

    step = -solve(point.gradient)
    bend = -0.5 * solve(objective.loss.curvature(point.x, step, _FRACTION))
    short = np.linalg.norm(bend / scale) < _LONGEST_BEND * np.linalg.norm(step / scale)
    return step + bend if short else step
