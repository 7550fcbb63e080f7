"""Meshes of k-points from one spacing, so that cells of any size are sampled alike."""

from __future__ import annotations

import math

import numpy as np
from ase import Atoms


def k_grid(atoms: Atoms, kspacing_per_A: float) -> tuple[int, int, int]:
    """Return the numbers of k-points along the reciprocal vectors for a spacing (1/Å, 2π included).

    Examples
    --------
    >>> k_grid(Atoms("Fe", cell=[3.6, 3.6, 7.2], pbc=True), 0.2)
    (9, 9, 5)
    """
    lengths = 2 * np.pi * np.linalg.norm(np.asarray(atoms.cell.reciprocal()), axis=1)
    n = [max(1, math.ceil(length / kspacing_per_A - 1e-6)) for length in lengths]
    return n[0], n[1], n[2]
