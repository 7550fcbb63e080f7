"""What an ensemble of potentials disagrees about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential


def ensemble_spread(potentials: Sequence[Potential], frames: Sequence[Atoms]) -> dict[str, float]:
    """Return how far the members of an ensemble disagree about the configurations of a trajectory.

    Every member relaxes the moments of the same frames; the spread is the sample standard deviation over the
    members. Means over frames come before it, so that thermal fluctuations cancel. The frames were made by one
    member, hence a difference between the members' own trajectories is seen to first order only.

    Parameters
    ----------
    potentials : sequence of Potential
        At least two.
    frames : sequence of Atoms
        With the moments that relaxations start from.

    Returns
    -------
    dict
        magnetization_muB_per_atom and pressure_GPa: spread of the means over frames; energy_eV_per_atom: spread of
        the mean energies; forces_eV_per_A: root mean square over components of the spread of forces.

    Raises
    ------
    InputError
        Fewer than two members, or no frames.
    """
    if len(potentials) < 2 or not frames:
        raise InputError("a spread needs at least two potentials and one configuration", "raise fit.ensemble")
    values, forces = [], []
    for potential in potentials:
        rows, per_frame = [], []
        for atoms in frames:
            relaxed = potential.relax_moments(atoms, start=atoms.get_initial_magnetic_moments())
            result = potential.evaluate(atoms, moments=relaxed.moments)
            pressure = -float(np.mean(result.stress[:3])) / units.GPa
            rows.append([relaxed.moments.mean(), pressure, result.energy / len(atoms)])
            per_frame.append(result.forces)
        values.append(np.mean(rows, axis=0))
        forces.append(np.concatenate(per_frame))
    magnetization, pressure, energy = np.std(values, axis=0, ddof=1)
    return {
        "magnetization_muB_per_atom": float(magnetization),
        "pressure_GPa": float(pressure),
        "energy_eV_per_atom": float(energy),
        "forces_eV_per_A": float(np.sqrt(np.mean(np.var(forces, axis=0, ddof=1)))),
    }
