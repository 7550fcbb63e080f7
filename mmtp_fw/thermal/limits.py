"""Where moments may be sampled: what a potential was trained for, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential.system import type_indices

if TYPE_CHECKING:
    from mmtp_fw.potential import Potential


def moment_limits(potential: Potential, atoms: Atoms, largest: Mapping[str, float] | None = None) -> FloatArray:
    """Return least and greatest moment (μB) of every atom, shape (n, 2).

    Parameters
    ----------
    potential : Potential
        Magnetic. Its trained range, with the margin that `TrainedRange` allows, inside the range of its basis.
    atoms : Atoms
        n atoms.
    largest : mapping of str to float, optional
        Largest |m| by species, instead of the trained one.

    Raises
    ------
    InputError
        A species with neither; one that isn't there; a limit that is not inside the magnetic basis.
    """
    if not potential.magnetic:
        raise InputError("the potential has no magnetic basis: there are no moments to sample")
    given = dict(largest or {})
    unknown = sorted(set(given) - set(potential.species))
    if unknown:
        raise InputError(f"a limit of moments for {', '.join(unknown)}, which the potential doesn't know")
    low, high = potential.min_moment, potential.max_moment
    table = np.full((len(potential.species), 2), np.nan)
    for kind, name in enumerate(potential.species):
        if name in given:
            if not 0 < given[name] <= min(-low, high):
                raise InputError(
                    f"a largest moment of {given[name]:g} μB for {name}", f"above 0 and inside [{low:g}, {high:g}] μB"
                )
            table[kind] = -given[name], given[name]
        elif potential.trained is not None and np.isfinite(potential.trained.moments[kind]).all():
            table[kind] = np.clip(potential.trained.limits[kind], low, high)
    types = type_indices(atoms, potential.species)
    lacking = sorted({potential.species[kind] for kind in types if np.isnan(table[kind]).any()})
    if lacking:
        raise InputError(
            f"the potential doesn't say which moments of {', '.join(lacking)} it was trained for, and beyond them it "
            "may have holes",
            "fit it anew, or name the largest moment of every species: --largest Fe=3.5,Pd=0.6",
        )
    return table[types]


def start_moments(limits: FloatArray) -> FloatArray:
    """Return a ferromagnetic start, shape (n,): 0.7 of the largest moments, for limits of shape (n, 2)."""
    return np.asarray(0.7 * limits[:, 1], dtype=np.float64)
