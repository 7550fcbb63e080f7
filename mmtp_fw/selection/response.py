"""How relaxed moments, and what depends on them, answer to magnetic forces: δm = H⁻¹ δT."""

from __future__ import annotations

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential, System

HESSIAN_STEP = 1e-3  # μB
RELAXED_WITHIN = 1e-2
"""Largest magnetic force (eV/μB) at moments that count as relaxed."""


class Response:
    """How forces and virial answer to moments, and moments to magnetic forces: H = ∂²E/∂m², by finite differences."""

    def __init__(self, potential: Potential, system: System, moments: FloatArray) -> None:
        n = len(system)
        hessian, mixed = np.zeros((n, n)), np.zeros((n, 3 * n + 6))
        for k in range(n):
            shift = np.zeros(n)
            shift[k] = HESSIAN_STEP
            up, down = (potential.evaluate_system(system, moments + sign * shift) for sign in (1.0, -1.0))
            hessian[k] = (down.magnetic_forces - up.magnetic_forces) / (2 * HESSIAN_STEP)
            mixed[k, : 3 * n] = (up.forces - down.forces).ravel() / (2 * HESSIAN_STEP)
            mixed[k, 3 * n :] = system.volume * (up.stress - down.stress) / (2 * HESSIAN_STEP)
        self._mixed = mixed
        values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
        self.inverse = vectors / values @ vectors.T if n and values[0] > 0 else None

    def check(self, magnetic_forces: FloatArray) -> None:
        """Refuse moments that are no minimum, by their magnetic forces, shape (n,)."""
        most = float(np.abs(magnetic_forces).max(initial=0.0))
        if most > RELAXED_WITHIN:
            raise InputError(
                f"the moments are no minimum (|T| = {most:.2g} eV/μB)", "relax_moments first, or ask without relaxed"
            )
        if self.inverse is None:
            raise InputError(
                "the moments are no minimum but a saddle: the energy falls to some side",
                "relax_moments from other moments, or ask without relaxed",
            )

    @property
    def along(self) -> FloatArray:
        """What magnetic forces do to forces and virial by way of the moments, shape (3n + 6, n)."""
        assert self.inverse is not None
        return np.asarray(self._mixed.T @ self.inverse)
