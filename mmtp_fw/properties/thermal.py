"""Averages and phonon spectra at one volume and temperature, from sampled trajectories of any source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.md import MdState
from mmtp_fw.properties.averages import averages_of_trajectories
from mmtp_fw.properties.phonons import vibrational_dos

HIGHEST_FREQUENCY_THZ = 15.0
"""Where a density of states is cut: no metal's phonons reach that far."""
AVERAGED = (
    "magnetization_muB_per_atom",
    "absolute_moment_muB_per_atom",
    "pressure_GPa",
    "temperature_K",
    "potential_energy_eV",
)


@dataclass(frozen=True)
class SampledTrajectory:
    """What every source of a trajectory gives.

    Attributes
    ----------
    state : MdState
        How it ended.
    steps : int
    thermo : mapping of str to ndarray, shape (samples,)
        ``step`` and the columns in `AVERAGED`.
    velocities : ndarray, shape (samples or fewer, n, 3)
        Of the last samples, in one unit.
    message : str
    frames : sequence of Atoms
        The samples themselves, the first the start.
    """

    state: MdState
    steps: int
    thermo: Mapping[str, FloatArray]
    velocities: FloatArray
    message: str = ""
    frames: Sequence[Atoms] = ()


def thermal_averages(trajectories: Sequence[SampledTrajectory], equilibration_steps: int) -> dict[str, float]:
    """Return the means in `AVERAGED` and their standard errors (``<name>_error``) over trajectories.

    Parameters
    ----------
    trajectories : sequence of SampledTrajectory
    equilibration_steps : int
        Steps left out at the start of each.
    """
    columns = [one.thermo for one in trajectories]
    found = averages_of_trajectories(columns, AVERAGED, equilibration_steps)
    means = {name: one.mean for name, one in found.items()}
    return means | {f"{name}_error": one.error for name, one in found.items()}


def phonon_dos(
    trajectories: Sequence[SampledTrajectory],
    numbers: IntArray,
    interval_fs: float,
    equilibration_steps: int,
) -> dict[str, Any] | None:
    """Return the phonon density of states over all trajectories, total and by species, as plain data.

    Parameters
    ----------
    trajectories : sequence of SampledTrajectory
    numbers : ndarray, shape (n,)
        Atomic numbers.
    interval_fs : float
        Time between two samples of the velocities.
    equilibration_steps : int

    Returns
    -------
    dict or None
        frequency_THz, total (1/THz, of area 1) and species (by symbol; they add up to the total), with one standard
        deviation of each (total_error, species_error) and the width_THz within which errors are one; None where the
        trajectories are too short.
    """
    spectra = []
    for one in trajectories:
        late = np.asarray(one.thermo["step"])[-len(one.velocities) :] > equilibration_steps
        if np.count_nonzero(late) < 16:
            return None
        spectra.append(vibrational_dos(one.velocities[late], numbers, interval_fs))
    shown = spectra[0].frequency_THz <= HIGHEST_FREQUENCY_THZ
    curves = {name: np.mean([one.species[name] for one in spectra], axis=0) for name in spectra[0].species}
    return {
        "frequency_THz": spectra[0].frequency_THz[shown].tolist(),
        "total": np.mean([one.total for one in spectra], axis=0)[shown].tolist(),
        "species": {name: curve[shown].tolist() for name, curve in curves.items()},
        "total_error": _of_mean([one.total_error for one in spectra])[shown].tolist(),
        "species_error": {
            name: _of_mean([one.species_error[name] for one in spectra])[shown].tolist() for name in curves
        },
        "width_THz": spectra[0].width_THz,
    }


def _of_mean(errors: Sequence[FloatArray]) -> FloatArray:
    """Return the error of a mean over independent trajectories."""
    return np.asarray(np.sqrt(np.mean(np.square(errors), axis=0) / len(errors)))
