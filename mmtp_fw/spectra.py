"""What the difference of two phonon spectra is worth beside their statistical errors.

Importing this takes numpy and nothing else: what stands in the database is judged without any potential.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError

MEAN_OF_NORMAL = 0.7979
"""The mean of |error| in units of a normal error's standard deviation."""
NOISE_FACTOR = 1.5
"""Distances up to so many times the one that noise alone makes, in the mean, are inside it."""


@dataclass(frozen=True)
class SpectrumDifference:
    """Two spectra, each normalised to 1.

    Attributes
    ----------
    distance : float
        ∫ |g − g'| dν: 0 for equal ones, 2 for such that share nothing.
    noise : float or None
        What their statistical errors alone make of it, in the mean; None where one has none.
    inside : bool or None
        Whether the distance is not told apart from noise; None where that isn't known.
    """

    distance: float
    noise: float | None
    inside: bool | None

    def document(self) -> dict[str, Any]:
        """Return plain numbers, for documents and JSON."""
        return asdict(self)


def spectrum_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> SpectrumDifference:
    """Compare two spectra as properties hold them.

    Parameters
    ----------
    one, other : mapping
        frequency_THz, total and, where it is known, total_error (1/THz, one standard deviation), shape (n,) and (m,).

    Raises
    ------
    InputError
        Spectra without numbers.
    """
    grids = [np.asarray(spectrum["frequency_THz"], dtype=np.float64) for spectrum in (one, other)]
    if min(map(len, grids)) < 2:
        raise InputError("a spectrum needs at least two frequencies")
    grid = np.union1d(*grids)
    values = [_on(grid, spectrum, spectrum["total"]) for spectrum in (one, other)]
    distance = float(np.trapezoid(np.abs(values[0] - values[1]), grid))
    stated = [spectrum.get("total_error") for spectrum in (one, other)]
    if any(error is None for error in stated):
        return SpectrumDifference(distance, None, None)
    errors = [_on(grid, spectrum, error) for spectrum, error in zip((one, other), stated, strict=True)]
    noise = MEAN_OF_NORMAL * float(np.trapezoid(np.hypot(*errors), grid))
    return SpectrumDifference(distance, noise, distance <= NOISE_FACTOR * noise)


def _on(grid: FloatArray, spectrum: Mapping[str, Any], values: Sequence[float] | Any) -> FloatArray:
    """Return values of a spectrum on another grid, zero beyond its own."""
    return np.asarray(np.interp(grid, spectrum["frequency_THz"], values, left=0.0, right=0.0), dtype=np.float64)
