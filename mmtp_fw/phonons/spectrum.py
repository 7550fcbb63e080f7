"""Densities of states, total and by species, as an instrument of finite resolution sees them, and their moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import units

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.phonons.modes import Modes

# Planck's constant is 2π ħ; ASE's units count energies in eV and times in its own seconds.
MEV_PER_THZ = 1e3 * 2.0 * np.pi * units._hbar * units.J * 1e12
"""Energy of a phonon of 1 THz in meV: 4.1357."""
FWHM = float(2.0 * np.sqrt(2.0 * np.log(2.0)))
"""Full width at half maximum of a Gaussian, in standard deviations."""


@dataclass(frozen=True)
class Spectrum:
    """Density of states on a grid.

    Attributes
    ----------
    frequency_THz : ndarray, shape (n,)
        Imaginary frequencies are negative.
    total : ndarray, shape (n,)
        1/THz, of area 1.
    species : dict of str to ndarray, shape (n,)
        They add up to the total: the area of each is that species' part of the atoms.
    fwhm_meV : float
        Full width at half maximum of the Gaussian in it.
    """

    frequency_THz: FloatArray
    total: FloatArray
    species: Mapping[str, FloatArray]
    fwhm_meV: float


@dataclass(frozen=True)
class SpectrumMoments:
    """Moments of a density of states without any width.

    Attributes
    ----------
    mean_THz : float
        ⟨ν⟩.
    rms_THz : float
        ⟨ν²⟩^½: of a species, its mean force constant is ⟨(2πν)²⟩ M.
    """

    mean_THz: float
    rms_THz: float


def spectrum(modes: Modes, frequency_THz: FloatArray, fwhm_meV: float) -> Spectrum:
    """Return the density of states on a grid of frequencies, convolved with a Gaussian.

    Parameters
    ----------
    modes : Modes
    frequency_THz : ndarray, shape (n,)
        Rising.
    fwhm_meV : float
        Full width at half maximum: the instrument's, or enough to smooth a finite mesh.

    Raises
    ------
    InputError
        No width, or a grid too coarse for it.
    """
    width = fwhm_meV / MEV_PER_THZ / FWHM
    if not fwhm_meV > 0:
        raise InputError(f"a resolution of {fwhm_meV:g} meV", "a full width at half maximum above 0")
    if len(frequency_THz) < 2 or float(np.diff(frequency_THz).max()) > width:
        raise InputError(f"the grid of frequencies is too coarse for a resolution of {fwhm_meV:g} meV")
    states = modes.state_weights
    curves = {name: np.zeros(len(frequency_THz)) for name in modes.shares}
    for q, frequencies in enumerate(modes.frequency_THz):
        gauss = np.exp(-0.5 * ((frequency_THz[:, None] - frequencies) / width) ** 2) / (width * np.sqrt(2.0 * np.pi))
        for name, share in modes.shares.items():
            curves[name] += gauss @ (share[q] * states[q])
    total = np.sum(list(curves.values()), axis=0)
    return Spectrum(np.asarray(frequency_THz, dtype=np.float64), total, curves, fwhm_meV)


def grid_of(lowest_THz: float, highest_THz: float, fwhm_meV: float) -> FloatArray:
    """Return a grid of frequencies, shape (n,), that holds such a spectrum, with its width, to one part in 10⁵."""
    width = fwhm_meV / MEV_PER_THZ / FWHM
    low, high = min(0.0, lowest_THz) - 5.0 * width, highest_THz + 5.0 * width
    return np.asarray(np.linspace(low, high, int(np.ceil(4.0 * (high - low) / width)) + 1), dtype=np.float64)


def moments_of_spectrum(modes: Modes) -> dict[str, SpectrumMoments] | None:
    """Return the moments of the total spectrum (``total``) and of each species; None where a mode is imaginary."""
    if not modes.stable:
        return None
    states, nu = modes.state_weights, modes.frequency_THz
    shares = {"total": np.ones_like(nu), **modes.shares}
    found = {}
    for name, share in shares.items():
        weight = states * share / float((states * share).sum())
        found[name] = SpectrumMoments(float((weight * nu).sum()), float(np.sqrt((weight * nu**2).sum())))
    return found
