"""How relaxed moments, and what depends on them, answer to magnetic forces: δm = H⁻¹ δT."""

from __future__ import annotations

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential, System
from mmtp_fw.selection.observations import NAMES, Rows

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
        if most > RELAXED_WITHIN or self.inverse is None:
            raise InputError(
                f"the moments are no minimum (|T| = {most:.2g} eV/μB)", "relax_moments first, or ask without relaxed"
            )

    def relaxed(self, rows: Rows) -> tuple[Rows, FloatArray]:
        """Return the rows of forces and virial that follow the moments, and what magnetic forces do to each (m, n)."""
        assert self.inverse is not None
        matrix = rows.matrix.copy()
        along = self._mixed.T @ self.inverse
        moved = np.flatnonzero(np.isin(rows.quantity, [NAMES.index(name) for name in ("forces", "stress")]))
        matrix[moved] += along @ rows.of("magnetic_forces")
        noise = np.zeros((len(matrix), len(self.inverse)))
        noise[moved] = along
        return Rows(matrix, rows.quantity, rows.multiplicity), noise
