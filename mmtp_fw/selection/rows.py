"""Rows ∂E/∂θ of configurations: what the active set is made of."""

from __future__ import annotations

from typing import Literal

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential, System, moments_of

Mode = Literal["configuration", "site"]
MODES: tuple[Mode, ...] = ("configuration", "site")


def rows_of(
    potential: Potential,
    atoms: Atoms,
    mode: Mode = "site",
    moments: FloatArray | None = None,
    magnetic_force_weight: float = 0.0,
    force_weight: float = 0.0,
    system: System | None = None,
) -> FloatArray:
    """Return the rows of one configuration of n atoms at its moments.

    Parameters
    ----------
    potential : Potential
    atoms : Atoms
    mode : {"configuration", "site"}
        One row (1/n) ∂E/∂θ, which doesn't depend on how often a cell is repeated, or n rows ∂E_i/∂θ.
    moments : ndarray, shape (n,), optional
        μB; by default those of `atoms`.
    magnetic_force_weight : float
        Where positive, n rows ∂T_i/∂θ times this (μB) follow.
    force_weight : float
        Where positive, 3n rows ∂f_i/∂θ times this (Å) follow.
    system : System, optional
        The arrays of `atoms`, where they are there already.

    Returns
    -------
    ndarray, shape (rows, p)

    Raises
    ------
    InputError
        Unknown mode; what `Potential.evaluate` raises.
    """
    if mode not in MODES:
        raise InputError(f"unknown mode {mode!r}", f"choose one of {', '.join(MODES)}")
    moments = moments_of(atoms) if moments is None else np.asarray(moments, dtype=np.float64)
    system = potential.system(atoms) if system is None else system
    n, gradient = len(system), potential.directional_parameter_gradient
    parts = [potential.energy_parameter_gradient(system, per_site=mode == "site", moments=moments)]
    if mode == "configuration":
        parts = [np.atleast_2d(parts[0]) / max(1, n)]
    if magnetic_force_weight > 0:
        changes = -magnetic_force_weight * np.eye(n)
        parts.append(np.array([gradient(system, moments, moment_changes=change)[1] for change in changes]))
    if force_weight > 0:
        changes = -force_weight * np.eye(3 * n).reshape(3 * n, n, 3)
        parts.append(np.array([gradient(system, moments, displacements=change)[1] for change in changes]))
    return np.vstack(parts)
