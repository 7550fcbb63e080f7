"""The energy as a function of the moments at fixed atoms, and its local minima.

At fixed positions the reference Hamiltonian is a polynomial in the moments,

    E(m) = E_0 + Σ_i (a_i m_i² + b_i m_i⁴ + c_i m_i⁶) − ½ Σ_ij J_ij m_i m_j ,

so that its minima, with or without the penalty, are found by a guarded Newton method in a few small
linear solves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmtp_fw.arrays import FloatArray


@dataclass(frozen=True)
class Minimum:
    """A local minimum over the moments.

    Attributes
    ----------
    moments : ndarray, shape (n,)
        μB.
    energy : float
        Of the function that was minimised, eV.
    converged : bool
    iterations : int
    """

    moments: FloatArray
    energy: float
    converged: bool
    iterations: int


@dataclass(frozen=True)
class Penalty:
    """λ Σ_i (s_i m_i − c_i)², with the slope s_i of the smoothed moment.

    Attributes
    ----------
    strength : float
        λ in eV/μB².
    slopes, constraint : ndarray, shape (n,)
    """

    strength: float
    slopes: FloatArray
    constraint: FloatArray


@dataclass(frozen=True)
class MomentLandscape:
    """Coefficients of E(m) at fixed atoms.

    Attributes
    ----------
    constant : float
        E_0 in eV.
    a, b, c : ndarray, shape (n,)
        Landau coefficients in eV/μB², eV/μB⁴, eV/μB⁶.
    coupling : ndarray, shape (n, n)
        J_ij in eV/μB², summed over periodic images (the diagonal holds an atom's own images).
    """

    constant: float
    a: FloatArray
    b: FloatArray
    c: FloatArray
    coupling: FloatArray

    def energy(self, moments: FloatArray, penalty: Penalty | None = None) -> float:
        """Return E(m), m of shape (n,) in μB, plus the penalty if there is one, in eV."""
        m2 = moments * moments
        value: float = self.constant + np.sum(m2 * (self.a + m2 * (self.b + m2 * self.c)))
        value -= float(0.5 * moments @ self.coupling @ moments)
        if penalty is not None:
            value += penalty.strength * np.sum((penalty.slopes * moments - penalty.constraint) ** 2)
        return float(value)

    def gradient(self, moments: FloatArray, penalty: Penalty | None = None) -> FloatArray:
        """Return ∂E/∂m in eV/μB, shape (n,): minus the magnetic forces."""
        m2 = moments * moments
        value = moments * (2 * self.a + m2 * (4 * self.b + 6 * m2 * self.c)) - self.coupling @ moments
        if penalty is not None:
            deviation = penalty.slopes * moments - penalty.constraint
            value += 2 * penalty.strength * penalty.slopes * deviation
        return value

    def hessian(self, moments: FloatArray, penalty: Penalty | None = None) -> FloatArray:
        """Return ∂²E/∂m∂m in eV/μB², shape (n, n)."""
        m2 = moments * moments
        diagonal = 2 * self.a + m2 * (12 * self.b + 30 * m2 * self.c)
        if penalty is not None:
            diagonal = diagonal + 2 * penalty.strength * penalty.slopes**2
        value = -self.coupling
        value = value.copy()
        value[np.diag_indices(len(moments))] += diagonal
        return value

    def minimise(
        self,
        start: FloatArray,
        penalty: Penalty | None = None,
        tolerance: float = 1e-9,
        max_iterations: int = 200,
        max_step: float = 0.3,
    ) -> Minimum:
        """Go downhill from `start` to the local minimum of its basin.

        Parameters
        ----------
        start : ndarray, shape (n,)
            μB. All zero is stationary by time reversal, and stays so.
        penalty : Penalty, optional
        tolerance : float
            Largest |∂E/∂m| at convergence, eV/μB.
        max_iterations : int
        max_step : float
            Largest change of one moment in one step (μB): small, so that no other basin is jumped to.
        """
        moments = np.array(start, dtype=float)
        value = self.energy(moments, penalty)
        for iteration in range(max_iterations):
            gradient = self.gradient(moments, penalty)
            if np.max(np.abs(gradient)) < tolerance:
                return Minimum(moments, value, True, iteration)
            step = _downhill_step(self.hessian(moments, penalty), gradient)
            step *= min(1.0, max_step / max(np.max(np.abs(step)), 1e-300))
            slope = gradient @ step
            while True:
                trial = self.energy(moments + step, penalty)
                if trial <= value + 1e-4 * slope or np.max(np.abs(step)) < 1e-12:
                    break
                step, slope = 0.5 * step, 0.5 * slope
            moments, value = moments + step, trial
        return Minimum(moments, value, False, max_iterations)


def _downhill_step(hessian: FloatArray, gradient: FloatArray) -> FloatArray:
    """Return Newton's step, or where the curvature is negative the step with its sign mended."""
    try:
        factor = np.linalg.cholesky(hessian)
        return -np.linalg.solve(factor.T, np.linalg.solve(factor, gradient))
    except np.linalg.LinAlgError:
        from scipy.linalg import eigh  # rarely needed, and slow to import

        values, vectors = eigh(hessian)
        step: FloatArray = -vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(values), 0.05))
        return step
