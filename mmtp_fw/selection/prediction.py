"""What is said of the uncertainty of one configuration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mmtp_fw.arrays import FloatArray

EXTRAPOLATED_ABOVE = 2.0
"""As the grade γ_select: labels themselves are at 1 or below."""


class Knowledge(StrEnum):
    """What a potential knows of a configuration."""

    INSIDE = "inside"
    EXTRAPOLATED = "extrapolated"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, eq=False)
class PredictionUncertainty:
    """Uncertainties of one configuration of n atoms: the median error to be expected.

    Infinite where the labels don't determine a number at all.

    Attributes
    ----------
    verdict : Knowledge
        INSIDE; EXTRAPOLATED: `extrapolation` above `EXTRAPOLATED_ABOVE`; UNDETERMINED: the labels say nothing of the
        quantities in `undetermined`, whatever the numbers.
    energy, energy_per_atom : float
        eV, and eV per atom.
    forces : ndarray, shape (n, 3)
        eV/Å.
    stress : ndarray, shape (6,)
        eV/Å³, Voigt; zero without a cell.
    magnetic_forces : ndarray, shape (n,)
        eV/μB.
    moments : ndarray, shape (n,), or None
        Of relaxed moments, δm = H⁻¹ δT (μB); None where the energy has no minimum at these moments.
    magnetization_per_atom : float or None
        Of Σ m / n (μB).
    extrapolation : float
        How much of the labels' rows is needed to make the rows b here: the least √Σ c² with √w b = Σ c √w J, as root
        mean square over the components of a quantity, of the quantity that needs most. 1 or less at every label.
    undetermined : tuple of str
        Quantities of infinite uncertainty.
    reasons : tuple of str
        Why, in words.
    pressure : float or None
        Of −Σ σ_aa / 3 (eV/Å³), calibrated on its own: errors of the three go together. None without a cell.
    """

    verdict: Knowledge
    energy: float
    energy_per_atom: float
    forces: FloatArray
    stress: FloatArray
    magnetic_forces: FloatArray
    moments: FloatArray | None
    magnetization_per_atom: float | None
    extrapolation: float
    undetermined: tuple[str, ...]
    reasons: tuple[str, ...]
    pressure: float | None = None
