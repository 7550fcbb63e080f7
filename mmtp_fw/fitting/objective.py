"""What a fit minimises: the loss, and a prior that settles what the labels leave open."""

from __future__ import annotations

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.fitting.linear import solve_linear
from mmtp_fw.fitting.loss import Loss
from mmtp_fw.fitting.metric import gauss_newton_matrix
from mmtp_fw.potential import Potential


def radial_width(potential: Potential) -> float:
    """Return the size of radial coefficients that makes f_μ of order 1, whatever the form."""
    size = max(1, potential.magnetic_size)
    return float(
        1.0 / ((potential.r_cut - potential.r_min) ** 2 * np.sqrt(potential.radial_size) * size * potential.scaling)
    )


def ridge(potential: Potential, strength: float) -> FloatArray:
    """Return the factors, shape (p,), of the squared parameters in strength · [Σ ξ² + Σ (c/width)²].

    The species' constants have none: they are what energies are counted from.
    """
    factors, slices = np.zeros(potential.n_parameters), potential.parameter_slices
    factors[slices["moments"]] = strength
    factors[slices["radial"]] = strength / radial_width(potential) ** 2
    return factors


class Objective:
    """A loss plus Σ factor θ², and what minimisers ask of the two.

    Parameters
    ----------
    loss : Loss
    prior : ndarray, shape (p,)
        Factors; see `ridge`.
    """

    def __init__(self, loss: Loss, prior: FloatArray) -> None:
        self.loss, self.prior = loss, prior

    def value(self, x: FloatArray) -> float:
        """Return the objective at x, shape (p,); infinite where it is no number."""
        value = float(self.loss.per_configuration(x).sum() + self.prior @ x**2)
        return value if np.isfinite(value) else np.inf

    def value_and_gradient(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Return the objective at x, shape (p,), and its gradient, shape (p,)."""
        value, gradient = self.loss.value_and_gradient(x)
        return value + float(self.prior @ x**2), gradient + 2.0 * self.prior * x

    def matrix(self, x: FloatArray, rng: np.random.Generator, probes_per_parameter: float) -> FloatArray:
        """Return the Gauss-Newton matrix, shape (p, p); see `gauss_newton_matrix`."""
        matrix = gauss_newton_matrix(self.loss, x, rng, probes_per_parameter)
        matrix[np.diag_indices_from(matrix)] += 2.0 * self.prior
        return matrix

    def solved(self, x: FloatArray) -> FloatArray:
        """Return x, shape (p,), with its linear parameters at their minimum."""
        return solve_linear(self.loss, x, self.prior)
