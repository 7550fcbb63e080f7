"""What an evaluation returns."""

from __future__ import annotations

from dataclasses import dataclass

from mmtp_fw.arrays import FloatArray


@dataclass(frozen=True)
class Evaluation:
    """Energy of n atoms and its derivatives.

    Attributes
    ----------
    energy : float
        eV.
    energies : ndarray, shape (n,)
        Site energies, eV.
    forces : ndarray, shape (n, 3)
        −∂E/∂r, eV/Å.
    stress : ndarray, shape (6,)
        eV/Å³, ASE's sign (positive under tension), Voigt order xx yy zz yz xz xy; zero without a cell.
    magnetic_forces : ndarray, shape (n,)
        −∂E/∂m, eV/μB.
    moments : ndarray, shape (n,)
        Where it was evaluated, μB.
    warnings : tuple of str
        Why the numbers are extrapolated, where they are: moments outside the magnetic range or distances
        below R_min, or beyond those of the labels (`TrainedRange`).
    """

    energy: float
    energies: FloatArray
    forces: FloatArray
    stress: FloatArray
    magnetic_forces: FloatArray
    moments: FloatArray
    warnings: tuple[str, ...] = ()
