"""What is refused before anything is computed."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from mmtp_fw.dft.engine import Engine
from mmtp_fw.errors import InputError

# Two atoms nearer than this fraction of the sum of their covalent radii are an accident.
_NEAREST_FRACTION = 0.6


def check_structure(atoms: Atoms) -> None:
    """Refuse structures and targets that no engine can compute.

    Parameters
    ----------
    atoms : Atoms
        With the target moments as initial magnetic moments.

    Raises
    ------
    InputError
        No atoms, not periodic, a cell without volume, numbers that are not finite, atoms too close.
    """
    if len(atoms) == 0:
        raise InputError("the configuration has no atoms")
    for name, values in (
        ("positions", atoms.positions),
        ("cell", np.asarray(atoms.cell)),
        ("target moments", atoms.get_initial_magnetic_moments()),
    ):
        if not np.all(np.isfinite(values)):
            raise InputError(f"the configuration's {name} hold a number that is not finite")
    if atoms.get_initial_magnetic_moments().ndim != 1:
        raise InputError("target moments must be one signed number per atom", "collinear only")
    if not np.all(atoms.pbc):
        raise InputError("the configuration is not periodic in three directions")
    if abs(float(np.linalg.det(np.asarray(atoms.cell)))) < 1.0:
        raise InputError("the configuration's cell has no volume")
    _check_distances(atoms)


def check_request(engine: Engine, atoms: Atoms) -> None:
    """Refuse what no engine, or this engine, can compute.

    Raises
    ------
    InputError
        See `check_structure` and the engine's own `check`.
    """
    check_structure(atoms)
    engine.check(atoms)


def _check_distances(atoms: Atoms) -> None:
    from ase.neighborlist import neighbor_list  # brings half of scipy with it

    radii = covalent_radii[atoms.numbers] * _NEAREST_FRACTION
    first, second, distance = neighbor_list("ijd", atoms, radii)
    if len(distance):
        closest = int(np.argmin(distance))
        i, j = int(first[closest]), int(second[closest])
        pair = f"atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]})"
        raise InputError(f"{pair} are {distance[closest]:.2f} Å apart", "the structure is not physical")
