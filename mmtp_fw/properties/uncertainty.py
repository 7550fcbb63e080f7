"""What an ensemble of potentials disagrees about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential


def ensemble_spread(potentials: Sequence[Potential], frames: Sequence[Atoms]) -> dict[str, float]:
    """Return how far the members of an ensemble disagree about the configurations of a trajectory.

    Every member relaxes the moments of the same frames; the spread is the sample standard deviation over the
    members. A frame counts only where every member finds a minimum inside its ranges (`RelaxedMoments.sound`): what
    didn't converge says nothing about that state. Means over frames come before the spread, so that thermal
    fluctuations cancel. The frames were made by one member, hence a difference between the members' own trajectories
    is seen to first order only.

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
        the mean energies; forces_eV_per_A: root mean square over components of the spread of forces. All four are
        absent where no frame counts. frames and frames_left_out: how many counted, and how many didn't.

    Raises
    ------
    InputError
        Fewer than two members, or no frames.
    """
    if len(potentials) < 2 or not frames:
        raise InputError("a spread needs at least two potentials and one configuration", "raise fit.ensemble")
    counted = [sheet for atoms in frames if (sheet := _by_all(potentials, atoms)) is not None]
    found = {"frames": float(len(counted)), "frames_left_out": float(len(frames) - len(counted))}
    if not counted:
        return found
    means = np.mean([[row for row, _ in sheet] for sheet in counted], axis=0)
    magnetization, pressure, energy = np.std(means, axis=0, ddof=1)
    forces = np.concatenate([np.var([force for _, force in sheet], axis=0, ddof=1) for sheet in counted])
    return found | {
        "magnetization_muB_per_atom": float(magnetization),
        "pressure_GPa": float(pressure),
        "energy_eV_per_atom": float(energy),
        "forces_eV_per_A": float(np.sqrt(np.mean(forces))),
    }


def _by_all(potentials: Sequence[Potential], atoms: Atoms) -> list[tuple[list[float], FloatArray]] | None:
    """Return magnetization, pressure and energy per atom, and forces, of a frame by every member; None if one fails."""
    sheet: list[tuple[list[float], FloatArray]] = []
    for potential in potentials:
        relaxed = potential.relax_moments(atoms, start=atoms.get_initial_magnetic_moments())
        if not relaxed.sound:
            return None
        result = potential.evaluate(atoms, moments=relaxed.moments)
        pressure = -float(np.mean(result.stress[:3])) / units.GPa
        sheet.append(([float(relaxed.moments.mean()), pressure, result.energy / len(atoms)], result.forces))
    return sheet
