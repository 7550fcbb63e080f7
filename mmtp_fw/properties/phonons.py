"""Phonon density of states from the velocities of a trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from scipy.integrate import trapezoid

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.errors import InputError


@dataclass(frozen=True)
class PhononDos:
    """Density of states, total and by species.

    Attributes
    ----------
    frequency_THz : ndarray, shape (n,)
    total : ndarray, shape (n,)
        1/THz, of area 1.
    species : dict of str to ndarray, shape (n,)
        Partial densities, for comparison with nuclear resonant scattering, which sees ⁵⁷Fe only. They add up to the
        total: the area of each is its species' part of the kinetic energy, in equilibrium that of the atoms.
    total_error : ndarray, shape (n,)
    species_error : dict of str to ndarray, shape (n,)
        One standard deviation, see `_error`.
    width_THz : float
        Frequencies nearer to each other than this share their error: 2√π times the standard deviation of what smooths.
    """

    frequency_THz: FloatArray
    total: FloatArray
    species: dict[str, FloatArray]
    total_error: FloatArray
    species_error: dict[str, FloatArray]
    width_THz: float


RESOLUTION_THZ = 0.3
"""Standard deviation of the smoothing."""
_HANN = 0.61
"""Standard deviation of a Hann window's power spectrum, in units of the inverse length."""


def vibrational_dos(
    velocities: FloatArray, numbers: IntArray, interval_fs: float, resolution_THz: float = RESOLUTION_THZ
) -> PhononDos:
    """Return the power spectrum of the mass-weighted velocities.

    By the Wiener–Khinchin theorem this is the Fourier transform of the velocity autocorrelation function;
    it is the phonon density of states of a harmonic crystal.

    Parameters
    ----------
    velocities : ndarray, shape (steps, n, 3)
        In any unit, of equal intervals.
    numbers : ndarray, shape (n,)
        Atomic numbers.
    interval_fs : float
        Time between two samples.
    resolution_THz : float
        Standard deviation of the Gaussian smoothing.

    Raises
    ------
    InputError
        Fewer than 16 samples.
    """
    velocities = np.asarray(velocities, dtype=float)
    if velocities.ndim != 3 or len(velocities) < 16:
        raise InputError("a density of states needs at least 16 samples of velocities", "run longer")
    steps, numbers = len(velocities), np.asarray(numbers)
    # The cell's own drift is no vibration.
    masses = atomic_masses[numbers]
    drift = (velocities * masses[:, None]).sum(axis=1, keepdims=True) / masses.sum()
    window = np.hanning(steps)[:, None, None]
    spectrum = np.abs(np.fft.rfft((velocities - drift) * window, n=4 * steps, axis=0)) ** 2
    per_atom = spectrum.sum(axis=2) * masses
    frequency: FloatArray = np.asarray(np.fft.rfftfreq(4 * steps, d=interval_fs * 1e-3), dtype=np.float64)

    smooth = {
        chemical_symbols[z]: _smooth(per_atom[:, numbers == z].sum(axis=1), frequency, resolution_THz)
        for z in sorted(set(numbers.tolist()))
    }
    total = np.sum(list(smooth.values()), axis=0)
    area = float(trapezoid(total, frequency)) or 1.0
    total = total / area
    species = {name: curve / area for name, curve in smooth.items()}
    sigma = float(np.hypot(resolution_THz, _HANN / (steps * interval_fs * 1e-3)))
    width = 2.0 * np.sqrt(np.pi) * sigma
    errors = {name: _error(curve, len(numbers), width) for name, curve in species.items()}
    return PhononDos(frequency, total, species, _error(total, len(numbers), width), errors, width)


def _error(density: FloatArray, atoms: int, width_THz: float) -> FloatArray:
    """Return the standard deviation of a density of states g, or of a species' part, from one trajectory of n atoms.

    Each of the 3n modes has the energy that it happened to start with: exponentially distributed, so that it is as
    uncertain as it is large, and kept for as long as the mode lives. Smoothed by a Gaussian of standard deviation s,
    N = 3n · g · w modes, w = 2√π s, make up g, whose error is g/√N = √(g/(3n w)). Of a trajectory that is much longer
    than the modes live this is an upper bound.
    """
    return np.asarray(np.sqrt(np.maximum(density, 0.0) / (3.0 * atoms * width_THz)), dtype=np.float64)


def _smooth(values: FloatArray, frequency: FloatArray, width: float) -> FloatArray:
    step = frequency[1] - frequency[0]
    half = max(1, int(np.ceil(4 * width / step)))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) * step / width) ** 2)
    # Mirrored at zero frequency, where the spectrum goes on symmetrically.
    padded = np.concatenate([values[half:0:-1], values, np.zeros(half)])
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")
