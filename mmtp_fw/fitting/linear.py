"""The exact minimum over the linear parameters ξ and s at fixed radial functions.

In ξ and s the loss is a quadratic, so differences of its gradient are columns of its matrix exactly: one
gradient for each linear parameter gives the normal equations, without a Jacobian.
"""

from __future__ import annotations

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.fitting.loss import Loss
from mmtp_fw.potential import Potential


def linear_count(potential: Potential) -> int:
    """Return the number of linear parameters, which stand first in `Potential.parameters`."""
    return int(potential.parameter_slices["radial"].start)


def solve_linear(loss: Loss, parameters: FloatArray, ridge: float = 1e-10) -> FloatArray:
    """Return the parameters with ξ and s at the minimum of the loss.

    Parameters
    ----------
    loss : Loss
    parameters : ndarray, shape (p,)
    ridge : float
        Relative to each diagonal element; decides where functions B_α can't be told apart.

    Returns
    -------
    ndarray, shape (p,)
        With the old ones where the new are not better (they are, but for rounding).
    """
    count = linear_count(loss.potential(parameters))
    base = parameters.copy()
    base[:count] = 0.0
    offset = loss.value_and_gradient(base)[1][:count]
    # Units in which each function moves the loss alike keep the differences free of rounding.
    matrix = np.empty((count, count))
    for j in range(count):
        moved = base.copy()
        moved[j] = 1.0
        matrix[:, j] = loss.value_and_gradient(moved)[1][:count] - offset
    if not np.all(np.isfinite(matrix)):
        return parameters.copy()
    matrix = 0.5 * (matrix + matrix.T)
    diagonal = np.diag(matrix).copy()
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = matrix * scale[:, None] * scale[None, :] + ridge * np.eye(count)
    values, vectors = np.linalg.eigh(scaled)
    keep = values > ridge
    solved = base.copy()
    solved[:count] = -scale * (vectors[:, keep] @ ((vectors[:, keep].T @ (scale * offset)) / values[keep]))
    before, after = (loss.value_and_gradient(x)[0] for x in (parameters, solved))
    return solved if after <= before else parameters.copy()
