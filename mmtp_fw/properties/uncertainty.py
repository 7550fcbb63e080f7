"""What an ensemble of potentials disagrees about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential

_Sheet = tuple[list[float], FloatArray]
"""Magnetization, pressure and energy per atom, and forces (n, 3), of a frame."""


def ensemble_spread(potentials: Sequence[Potential], frames: Sequence[Atoms]) -> dict[str, float]:
    """Return how far the members of an ensemble disagree about the configurations of a trajectory.

    The first potential is the one that made the frames, the others are members of its ensemble. All relax the moments
    of the same frames; the spread is the sample standard deviation over them. A frame counts where the first finds
    a minimum inside its ranges (`RelaxedMoments.sound`): what didn't converge says nothing about that state. A member
    that misses a minimum in a frame that counts is refused, for all frames, and counted: those that pass are averaged
    over the same ones. Means over frames come before the spread, so that thermal fluctuations cancel. A difference
    between the members' own trajectories is seen to first order only.

    Parameters
    ----------
    potentials : sequence of Potential
        At least two.
    frames : sequence of Atoms
        With the moments that relaxations start from.

    Returns
    -------
    dict
        magnetization_muB_per_atom, absolute_moment_muB_per_atom and pressure_GPa: spread of the
        means over frames; energy_eV_per_atom: spread of
        the mean energies; forces_eV_per_A: root mean square over components of the spread of forces. All are
        absent where no frame counts or no member passes. frames and frames_left_out: how many counted, and how many
        didn't. members and members_unstable: how many passed, and how many were refused, the first not counted.

    Raises
    ------
    InputError
        Fewer than two members, or no frames.
    """
    if len(potentials) < 2 or not frames:
        raise InputError("a spread needs at least two potentials and one configuration", "raise fit.ensemble")
    own = [(atoms, sheet) for atoms in frames if (sheet := _of(potentials[0], atoms)) is not None]
    found = {"frames": float(len(own)), "frames_left_out": float(len(frames) - len(own))}
    if not own:
        return found
    others = [_of_all(member, [atoms for atoms, _ in own]) for member in potentials[1:]]
    columns = [[sheet for _, sheet in own], *(sheets for sheets in others if sheets is not None)]
    passed = len(columns) - 1
    found |= {"members": float(passed), "members_unstable": float(len(potentials) - 1 - passed)}
    if not passed:
        return found
    return found | _spread(columns)


def _spread(columns: Sequence[Sequence[_Sheet]]) -> dict[str, float]:
    """Return the spread over potentials of what each says of the same frames."""
    means = [np.mean([row for row, _ in column], axis=0) for column in columns]
    magnetization, size, pressure, energy = np.std(means, axis=0, ddof=1)
    forces = np.var([np.concatenate([force for _, force in column]) for column in columns], axis=0, ddof=1)
    return {
        "magnetization_muB_per_atom": float(magnetization),
        "absolute_moment_muB_per_atom": float(size),
        "pressure_GPa": float(pressure),
        "energy_eV_per_atom": float(energy),
        "forces_eV_per_A": float(np.sqrt(np.mean(forces))),
    }


def _of_all(potential: Potential, frames: Sequence[Atoms]) -> list[_Sheet] | None:
    """Return what a potential says of all frames; None if it finds no minimum in one."""
    sheets = []
    for atoms in frames:
        sheet = _of(potential, atoms)
        if sheet is None:
            return None
        sheets.append(sheet)
    return sheets


def _of(potential: Potential, atoms: Atoms) -> _Sheet | None:
    """Return what a potential says of a frame with relaxed moments; None if it finds no minimum."""
    relaxed = potential.relax_moments(atoms, start=atoms.get_initial_magnetic_moments())
    if not relaxed.sound:
        return None
    result = potential.evaluate(atoms, moments=relaxed.moments)
    pressure = -float(np.mean(result.stress[:3])) / units.GPa
    moments = (float(relaxed.moments.mean()), float(np.abs(relaxed.moments).mean()))
    return [*moments, pressure, result.energy / len(atoms)], result.forces
