"""Thermodynamics of harmonic, quantum-mechanical phonons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import units

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.phonons.modes import ZERO_THZ, Modes
from mmtp_fw.phonons.spectrum import MEV_PER_THZ


@dataclass(frozen=True)
class Thermodynamics:
    """Of the vibrations alone, at constant volume, per atom.

    Attributes
    ----------
    temperature_K : ndarray, shape (n,)
    free_energy_eV : ndarray, shape (n,)
        With the zero-point energy, without that of the crystal at rest.
    entropy_kB : ndarray, shape (n,)
    heat_capacity_kB : ndarray, shape (n,)
    """

    temperature_K: FloatArray
    free_energy_eV: FloatArray
    entropy_kB: FloatArray
    heat_capacity_kB: FloatArray


def thermodynamics(modes: Modes, temperatures_K: Sequence[float] | FloatArray) -> Thermodynamics | None:
    """Return free energy, entropy and heat capacity per atom; None where a mode is imaginary: then there are none.

    F = Σ [hν/2 + kT ln(1 − e^{−x})], S = Σ k [x/(eˣ−1) − ln(1 − e^{−x})], C = Σ k x² eˣ/(eˣ−1)² with x = hν/kT (for
    example A. A. Maradudin et al., Theory of Lattice Dynamics (1971)). Rigid translations are left out.

    Parameters
    ----------
    modes : Modes
    temperatures_K : array_like, shape (n,)

    Raises
    ------
    InputError
        Temperatures below zero.
    """
    kelvin = np.asarray(temperatures_K, dtype=np.float64)
    if kelvin.ndim != 1 or not np.all(np.isfinite(kelvin)) or kelvin.min(initial=0.0) < 0:
        raise InputError("temperatures must be finite and not below 0 K")
    if not modes.stable:
        return None
    real = modes.frequency_THz > ZERO_THZ
    # States are parts of all 3n; an atom has three.
    weight, energy = 3.0 * modes.state_weights[real], 1e-3 * MEV_PER_THZ * modes.frequency_THz[real]
    rows = [_at(weight, energy, units.kB * T) for T in kelvin]
    free, entropy, capacity = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return Thermodynamics(kelvin, free, entropy, capacity)


def _at(weight: FloatArray, energy: FloatArray, kT: float) -> tuple[float, float, float]:
    zero_point = 0.5 * float(weight @ energy)
    if kT == 0:
        return zero_point, 0.0, 0.0
    x = energy / kT
    gone = np.exp(-x)  # e^{−x}: nothing overflows
    logarithm = np.log1p(-gone)
    occupied = gone / (1.0 - gone)
    return (
        zero_point + kT * float(weight @ logarithm),
        float(weight @ (x * occupied - logarithm)),
        float(weight @ (x**2 * gone / (1.0 - gone) ** 2)),
    )
