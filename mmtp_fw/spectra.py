"""What phonon spectra and their differences are worth beside their statistical errors.

Importing this takes numpy and nothing else: what stands in the database is judged without any potential.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError

MEAN_OF_NORMAL = 0.7979
"""The mean of |error| in units of a normal error's standard deviation."""
NOISE_FACTOR = 1.5
"""Distances up to so many times the one that noise alone makes, in the mean, are inside it."""


TOTAL = "total"
"""Name of the curve of all atoms; the others are called by their species."""


@dataclass(frozen=True)
class Curve:
    """One density of states, of area 1, with its error.

    Attributes
    ----------
    frequency_THz, density : ndarray, shape (n,)
        THz and 1/THz.
    error : ndarray, shape (n,), or None
        One standard deviation.
    width_THz : float or None
        Frequencies nearer to each other share their error.
    """

    frequency_THz: FloatArray
    density: FloatArray
    error: FloatArray | None
    width_THz: float | None

    @property
    def mean_THz(self) -> float:
        """⟨ν⟩."""
        return float(np.trapezoid(self.frequency_THz * self.density, self.frequency_THz))

    @property
    def rms_THz(self) -> float:
        """⟨ν²⟩^½."""
        return float(np.sqrt(np.trapezoid(self.frequency_THz**2 * self.density, self.frequency_THz)))

    @property
    def mean_error_THz(self) -> float | None:
        """One standard deviation of the mean: (w ∫ (ν − ⟨ν⟩)² σ² dν)^½ of errors σ that are one within the width w."""
        return self._summed(self.frequency_THz - self.mean_THz)

    @property
    def rms_error_THz(self) -> float | None:
        """One standard deviation of the root mean square."""
        found = self._summed(self.frequency_THz**2 - self.rms_THz**2)
        return None if found is None else found / (2.0 * self.rms_THz)

    def on(self, grid: FloatArray) -> Curve:
        """Return the curve on another grid, shape (m,), zero beyond its own."""
        error = None if self.error is None else self._at(grid, self.error)
        return Curve(grid, self._at(grid, self.density), error, self.width_THz)

    @property
    def sigma_THz(self) -> float | None:
        """Standard deviation of the Gaussian that smooths it."""
        return None if self.width_THz is None else self.width_THz / (2.0 * float(np.sqrt(np.pi)))

    def smoothed(self, sigma_THz: float) -> Curve:
        """Return the convolution with a Gaussian of that standard deviation, mirrored at zero frequency."""
        if not sigma_THz > 0:
            return self
        step = min(0.2 * sigma_THz, float(np.diff(self.frequency_THz).min()))
        top = float(self.frequency_THz[-1]) + 5.0 * sigma_THz
        grid = np.arange(0.0, top + step, step)
        half = int(np.ceil(5.0 * sigma_THz / step))
        kernel = np.exp(-0.5 * (np.arange(-half, half + 1) * step / sigma_THz) ** 2)
        kernel /= kernel.sum()

        def convolved(values: FloatArray) -> FloatArray:
            inner = self._at(grid, values)
            return np.asarray(np.convolve(np.concatenate([inner[half:0:-1], inner, np.zeros(half)]), kernel, "valid"))

        if self.error is None or self.width_THz is None:
            return Curve(grid, convolved(self.density), None, None)
        width = float(np.hypot(self.width_THz, 2.0 * np.sqrt(np.pi) * sigma_THz))
        error = np.sqrt(convolved(self.error**2) * self.width_THz / width)
        return Curve(grid, convolved(self.density), error, width)

    def _at(self, grid: FloatArray, values: FloatArray) -> FloatArray:
        return np.asarray(np.interp(grid, self.frequency_THz, values, left=0.0, right=0.0), dtype=np.float64)

    def _summed(self, weight: FloatArray) -> float | None:
        if self.error is None or self.width_THz is None:
            return None
        return float(np.sqrt(self.width_THz * np.trapezoid((weight * self.error) ** 2, self.frequency_THz)))


def curve_of(spectrum: Mapping[str, Any], name: str = TOTAL) -> Curve:
    """Return one curve of a spectrum as properties hold it, normalised to 1.

    Parameters
    ----------
    spectrum : mapping
        frequency_THz and total, shape (n,); species by symbol; where they are known total_error, species_error and
        width_THz.
    name : str
        ``total`` or a species.

    Raises
    ------
    InputError
        Fewer than two frequencies, no such species, or nothing but zeros.
    """
    grid = np.asarray(spectrum["frequency_THz"], dtype=np.float64)
    if len(grid) < 2:
        raise InputError("a spectrum needs at least two frequencies")
    if name == TOTAL:
        values, error = spectrum["total"], spectrum.get("total_error")
    elif name in spectrum.get("species", {}):
        values, error = spectrum["species"][name], (spectrum.get("species_error") or {}).get(name)
    else:
        raise InputError(f"the spectrum has no part of {name}", f"it has {', '.join(curves_of(spectrum))}")
    density = np.asarray(values, dtype=np.float64)
    area = float(np.trapezoid(density, grid))
    if not area > 0:
        raise InputError(f"the spectrum ({name}) is zero everywhere")
    return Curve(
        grid,
        density / area,
        None if error is None else np.asarray(error, dtype=np.float64) / area,
        spectrum.get("width_THz"),
    )


def curves_of(spectrum: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a spectrum's curves: ``total``, then the species."""
    return (TOTAL, *spectrum.get("species", {}))


@dataclass(frozen=True)
class SpectrumDifference:
    """Two spectra, each normalised to 1.

    Attributes
    ----------
    distance : float
        ∫ |g − g'| dν: 0 for equal ones, 2 for such that share nothing.
    distance_error : float or None
        Its statistical standard deviation, at most: (w ∫ (σ² + σ'²) dν)^½; None where it isn't known.
    noise : float or None
        What their statistical errors alone make of it, in the mean; None where one has none.
    inside : bool or None
        Whether the distance is not told apart from noise; None where that isn't known.
    overlap : float
        ∫ √(g g') dν: 1 for the same shape.
    mean_difference_THz : float
        ⟨ν⟩ of the first less that of the second.
    mean_difference_error_THz : float or None
        Its statistical standard deviation.
    """

    distance: float
    distance_error: float | None
    noise: float | None
    inside: bool | None
    overlap: float
    mean_difference_THz: float
    mean_difference_error_THz: float | None

    def document(self) -> dict[str, Any]:
        """Return plain numbers, for documents and JSON."""
        return asdict(self)


def spectrum_difference(one: Mapping[str, Any], other: Mapping[str, Any], name: str = TOTAL) -> SpectrumDifference:
    """Compare two spectra as properties hold them.

    Parameters
    ----------
    one, other : mapping
        See `curve_of`; on grids of their own.
    name : str
        Which of their curves.

    Raises
    ------
    InputError
        Spectra without numbers or without such a curve.
    """
    return difference_of(curve_of(one, name), curve_of(other, name))


def difference_of(one: Curve, other: Curve) -> SpectrumDifference:
    """Compare two curves."""
    grid = np.union1d(one.frequency_THz, other.frequency_THz)
    first, second = one.on(grid), other.on(grid)
    distance = float(np.trapezoid(np.abs(first.density - second.density), grid))
    noise = spread = None
    if first.error is not None and second.error is not None:
        both = np.hypot(first.error, second.error)
        noise = MEAN_OF_NORMAL * float(np.trapezoid(both, grid))
        if first.width_THz is not None and second.width_THz is not None:
            width = max(first.width_THz, second.width_THz)
            spread = float(np.sqrt(width * np.trapezoid(both**2, grid)))
    errors = (one.mean_error_THz, other.mean_error_THz)
    shift = None if errors[0] is None or errors[1] is None else float(np.hypot(errors[0], errors[1]))
    return SpectrumDifference(
        distance,
        spread,
        noise,
        None if noise is None else distance <= NOISE_FACTOR * noise,
        spectral_overlap(grid, first.density, second.density),
        one.mean_THz - other.mean_THz,
        shift,
    )


def spectral_overlap(grid: FloatArray, one: FloatArray, other: FloatArray) -> float:
    """Return the overlap ∫√(g h) / √(∫g ∫h) of two non-negative spectra on one grid: 1 for the same shape.

    Parameters
    ----------
    grid, one, other : ndarray, shape (n,)
    """
    g, h = np.clip(one, 0.0, None), np.clip(other, 0.0, None)
    norm = np.sqrt(np.trapezoid(g, grid) * np.trapezoid(h, grid))
    return float(np.trapezoid(np.sqrt(g * h), grid) / norm) if norm > 0 else 0.0
