"""BFGS with rank-two updates from a given metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dsymv, dsyr, dsyr2

from mmtp_fw.arrays import FloatArray

Function = Callable[[FloatArray], tuple[float, FloatArray]]

_ARMIJO, _WOLFE = 1e-4, 0.9
_MAX_TRIALS = 25


@dataclass(eq=False)
class Point:
    """A place on the way down: parameters (p,), value, gradient (p,)."""

    x: FloatArray
    value: float
    gradient: FloatArray


def bfgs(
    function: Function, start: Point, inverse_hessian: FloatArray, max_iterations: int
) -> Iterator[tuple[Point, float]]:
    """Yield the points of a BFGS minimisation.

    The inverse Hessian is kept and updated in O(p²) per step.

    Parameters
    ----------
    function : callable
        x -> (value, gradient).
    start : Point
    inverse_hessian : ndarray, shape (p, p)
        Symmetric positive definite; the metric to begin with. It is not changed.
    max_iterations : int

    Yields
    ------
    point : Point
    decrement : float
        Decrease that the metric predicts for the next step, ½ gᵀHg: the natural measure of convergence.

    It ends, without an error, when no step lowers the value any more.
    """
    H = np.array(inverse_hessian, dtype=np.float64, order="F")
    point = start
    direction = -dsymv(1.0, H, point.gradient, lower=1)
    for _ in range(max_iterations):
        slope = float(direction @ point.gradient)
        if not slope < 0:
            return
        new = _line_search(function, point, direction, slope)
        if new is None:
            return
        s, y = new.x - point.x, new.gradient - point.gradient
        sy = float(s @ y)
        if sy > 1e-12 * float(np.linalg.norm(s) * np.linalg.norm(y)):
            Hy = dsymv(1.0, H, y, lower=1)
            H = dsyr2(-1.0 / sy, s, Hy, a=H, lower=1, overwrite_a=1)
            H = dsyr((1.0 + float(y @ Hy) / sy) / sy, s, a=H, lower=1, overwrite_a=1)
        point = new
        direction = -dsymv(1.0, H, point.gradient, lower=1)
        yield point, -0.5 * float(direction @ point.gradient)


def _line_search(function: Function, point: Point, direction: FloatArray, slope: float) -> Point | None:
    """Return a point that fulfils the Wolfe conditions, or the lowest one found; None if none is lower."""
    low, high, step = 0.0, np.inf, 1.0
    low_value, low_slope = point.value, slope
    best: Point | None = None
    for _ in range(_MAX_TRIALS):
        x = point.x + step * direction
        value, gradient = function(x)
        if not np.isfinite(value):
            high, step = step, low + 0.2 * (step - low)
            continue
        new_slope = float(gradient @ direction)
        if value < point.value and (best is None or value < best.value):
            best = Point(x, value, gradient)
        if value > point.value + _ARMIJO * step * slope or value > low_value:
            high = step
            step = _interpolate(low, low_value, low_slope, step, value)
        elif new_slope < _WOLFE * slope:
            low, low_value, low_slope = step, value, new_slope
            step = 2.0 * step if np.isinf(high) else 0.5 * (low + high)
        else:
            return Point(x, value, gradient)
        if high - low < 1e-12 * max(1.0, low):
            break
    return best


def _interpolate(low: float, low_value: float, low_slope: float, high: float, high_value: float) -> float:
    """Return the minimum of the parabola through two points and one slope, kept off the ends."""
    width = high - low
    curvature = high_value - low_value - low_slope * width
    fraction = -0.5 * low_slope * width / curvature if curvature > 0 else 0.5
    return low + width * min(max(fraction, 0.1), 0.6)
