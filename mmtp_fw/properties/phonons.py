"""Phonon density of states from the velocities of a trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from scipy.integrate import trapezoid

from mmtp_fw.arrays import BoolArray, FloatArray, IntArray
from mmtp_fw.errors import InputError


@dataclass(frozen=True)
class PhononDos:
    """Density of states, each curve normalised to 1.

    Attributes
    ----------
    frequency_THz : ndarray, shape (n,)
    total : ndarray, shape (n,)
        1/THz.
    species : dict of str to ndarray, shape (n,)
        Partial densities, for comparison with nuclear resonant scattering, which sees ⁵⁷Fe only.
    """

    frequency_THz: FloatArray
    total: FloatArray
    species: dict[str, FloatArray]


def vibrational_dos(
    velocities: FloatArray, numbers: IntArray, interval_fs: float, resolution_THz: float = 0.3
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
    steps = len(velocities)
    # The cell's own drift is no vibration.
    masses = atomic_masses[np.asarray(numbers)]
    drift = (velocities * masses[:, None]).sum(axis=1, keepdims=True) / masses.sum()
    window = np.hanning(steps)[:, None, None]
    spectrum = np.abs(np.fft.rfft((velocities - drift) * window, n=4 * steps, axis=0)) ** 2
    per_atom = spectrum.sum(axis=2) * masses
    frequency: FloatArray = np.asarray(np.fft.rfftfreq(4 * steps, d=interval_fs * 1e-3), dtype=np.float64)

    def curve(chosen: BoolArray) -> FloatArray:
        smooth = _smooth(per_atom[:, chosen].sum(axis=1), frequency, resolution_THz)
        area = trapezoid(smooth, frequency)
        return smooth / area if area > 0 else smooth

    species = {chemical_symbols[z]: curve(numbers == z) for z in sorted(set(np.asarray(numbers).tolist()))}
    return PhononDos(frequency, curve(np.ones(len(numbers), dtype=bool)), species)


def _smooth(values: FloatArray, frequency: FloatArray, width: float) -> FloatArray:
    step = frequency[1] - frequency[0]
    half = max(1, int(np.ceil(4 * width / step)))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) * step / width) ** 2)
    # Mirrored at zero frequency, where the spectrum goes on symmetrically.
    padded = np.concatenate([values[half:0:-1], values, np.zeros(half)])
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")
