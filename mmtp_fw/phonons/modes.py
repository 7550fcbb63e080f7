"""The vibrational modes of a crystal, and what an imaginary one means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmtp_fw.arrays import FloatArray

ZERO_THZ = 0.02
"""Frequencies nearer to zero are those of a rigid translation, or of rounding."""


@dataclass(frozen=True)
class Modes:
    """Modes of n atoms at Q wave vectors.

    Attributes
    ----------
    wave_vectors : ndarray, shape (Q, 3)
        In units of the reciprocal cell.
    frequency_THz : ndarray, shape (Q, 3n)
        Negative for an imaginary one.
    weights : ndarray, shape (Q,)
        They add up to 1.
    shares : dict of str to ndarray, shape (Q, 3n)
        Each species' part of the mode's eigenvector squared; all species add up to 1.
    """

    wave_vectors: FloatArray
    frequency_THz: FloatArray
    weights: FloatArray
    shares: Mapping[str, FloatArray]

    @property
    def state_weights(self) -> FloatArray:
        """The part of all states that each mode is, shape (Q, 3n)."""
        count = self.frequency_THz.shape[1]
        return np.repeat(self.weights[:, None] / count, count, axis=1)

    @property
    def imaginary_fraction(self) -> float:
        """Part of all states whose frequency is imaginary."""
        return float(self.state_weights[self.frequency_THz < -ZERO_THZ].sum())

    @property
    def zero_fraction(self) -> float:
        """Part of all states without a frequency: rigid translations, at the centre of the zone."""
        return float(self.state_weights[np.abs(self.frequency_THz) <= ZERO_THZ].sum())

    @property
    def lowest_THz(self) -> float:
        """Lowest frequency; negative if it is imaginary."""
        return float(self.frequency_THz.min())

    @property
    def stable(self) -> bool:
        """Whether no frequency is imaginary."""
        return self.lowest_THz >= -ZERO_THZ

    @property
    def verdict(self) -> str:
        """In words, whether the crystal is at a minimum of its energy."""
        if self.stable:
            return "stable"
        q, _ = np.unravel_index(int(self.frequency_THz.argmin()), self.frequency_THz.shape)
        at = ", ".join(f"{component:.3g}" for component in self.wave_vectors[q])
        return (
            f"unstable: {self.imaginary_fraction:.2%} of the states are imaginary, the lowest "
            f"{-self.lowest_THz:.3g}i THz at ({at})"
        )
