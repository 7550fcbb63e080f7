"""The exact minimum over the linear parameters ξ and s at fixed radial functions.

Every quantity is linear in ξ and s: what the potential gives with one of them at 1 and the others at 0 is a column of
its matrix, and one evaluation each makes the normal equations.
"""

from __future__ import annotations

import math

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.fitting.loss import Loss, residuals_of
from mmtp_fw.fitting.samples import Sample
from mmtp_fw.potential import Potential


def linear_count(potential: Potential) -> int:
    """Return the number of linear parameters, which stand first in `Potential.parameters`."""
    return int(potential.parameter_slices["radial"].start)


def solve_linear(
    loss: Loss, parameters: FloatArray, prior: FloatArray | None = None, ridge: float = 1e-10
) -> FloatArray:
    """Return the parameters with ξ and s at the minimum of the loss.

    Parameters
    ----------
    loss : Loss
    parameters : ndarray, shape (p,)
    prior : ndarray, shape (p,), optional
        Factors of squared parameters that are added to the loss.
    ridge : float
        Relative to each diagonal element; decides where functions B_α can't be told apart.

    Returns
    -------
    ndarray, shape (p,)
        With the old ones where the new are not better (they are, but for rounding).
    """
    count = linear_count(loss.potential(parameters))
    factors = np.zeros(count) if prior is None else prior[:count]
    matrix, offset, constant = _normal_equations(loss, parameters, count)
    matrix[np.diag_indices_from(matrix)] += factors
    if not np.all(np.isfinite(matrix)) or not np.all(np.isfinite(offset)):
        return parameters.copy()
    diagonal = np.diag(matrix).copy()
    # Units in which each function moves the loss alike keep the solution free of rounding.
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = matrix * scale[:, None] * scale[None, :] + ridge * np.eye(count)
    values, vectors = np.linalg.eigh(scaled)
    keep = values > ridge
    solved = parameters.copy()
    solved[:count] = -scale * (vectors[:, keep] @ ((vectors[:, keep].T @ (scale * offset)) / values[keep]))

    def value(x: FloatArray) -> float:
        return float(x @ matrix @ x + 2.0 * (offset @ x) + constant)

    return solved if value(solved[:count]) <= value(parameters[:count]) else parameters.copy()


def _normal_equations(loss: Loss, parameters: FloatArray, count: int) -> tuple[FloatArray, FloatArray, float]:
    """Return A, b and c of the loss xᵀAx + 2bᵀx + c in the linear parameters x."""
    base = parameters.copy()
    base[:count] = 0.0
    potentials = [loss.potential(base)]
    for j in range(count):
        moved = base.copy()
        moved[j] = 1.0
        potentials.append(loss.potential(moved))

    def part(chunk: list[Sample]) -> FloatArray:
        total = np.zeros((count + 1, count + 1))
        for sample in chunk:
            rows = np.array([_weighted(sample, potential) for potential in potentials])
            rows[1:] -= rows[0]
            total += rows @ rows.T
        return total

    total = np.zeros((count + 1, count + 1))
    for more in loss.over_chunks(part):
        total += more
    return total[1:, 1:], total[0, 1:], float(total[0, 0])


def _weighted(sample: Sample, potential: Potential) -> FloatArray:
    """Return all residuals times the roots of their weights, shape (count,)."""
    found = residuals_of(sample, potential.evaluate_system(sample.system, sample.moments))
    return np.concatenate([math.sqrt(sample.weights[name]) * np.ravel(value) for name, value in found.items()])
