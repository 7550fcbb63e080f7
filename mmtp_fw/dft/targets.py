"""Targets that can be labelled: moments that ran away in molecular dynamics are drawn back to what an atom can carry.

A potential that extrapolates drives moments to the bound of its range, or a palladium atom to that of iron. No engine
computes such a target, and what it would say is of no use; the same positions with moments that are possible are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

INSIDE = 0.95
"""Fraction of a limit that moments are drawn back to: half of what is labelled at the very limit ends beyond it."""
BEYOND_TYPICAL = 1.5
"""A species carries at least so many times its typical moment."""

_ROW_ENDS = (0, 2, 10, 18, 36, 54, 86, 118)
_WITH_D, _WITH_F = 18, 32
_S_AND_D, _S_AND_P = 6, 4  # orbitals


def spin_capacity(species: str) -> float:
    """Return the largest moment (μB) of the valence electrons in s and d, or s and p; infinite for f elements.

    Examples
    --------
    >>> [spin_capacity(name) for name in ("Mn", "Fe", "Ni", "Pd", "O", "Al")]
    [5.0, 4.0, 2.0, 2.0, 2.0, 3.0]
    """
    number = atomic_numbers[species]
    row = next(k for k, end in enumerate(_ROW_ENDS) if number <= end)
    place, length = number - _ROW_ENDS[row - 1], _ROW_ENDS[row] - _ROW_ENDS[row - 1]
    if length == 2:
        return float(min(place, 2 - place))
    if length == _WITH_F:
        if 3 <= place <= 16:
            return float("inf")
        place -= 14 if place > 16 else 0
    if length >= _WITH_D and 3 <= place <= 12:
        return float(min(place, 2 * _S_AND_D - place))
    valence = place if place <= 2 else place - (10 if length >= _WITH_D else 0)
    return float(min(valence, 2 * _S_AND_P - valence))


def largest_targets(
    typical_moments_muB: Mapping[str, float], engine_limits: Mapping[str, float], max_moment_muB: float
) -> dict[str, float]:
    """Return the largest target (μB) of each species that is worth a label.

    Parameters
    ----------
    typical_moments_muB : mapping of str to float
    engine_limits : mapping of str to float
        What the engine computes, see `mmtp_fw.dft.engine.Engine.largest_moment`.
    max_moment_muB : float
        Range of the potential.
    """
    found = {}
    for species, typical in typical_moments_muB.items():
        possible = max(spin_capacity(species), BEYOND_TYPICAL * abs(typical))
        found[species] = INSIDE * min(possible, engine_limits[species], max_moment_muB)
    return found


def drawn_back(atoms: Atoms, largest_muB: Mapping[str, float]) -> tuple[Atoms, int]:
    """Return `atoms` with no moment larger than its species' largest, signs kept, and how many were changed."""
    moments = atoms.get_initial_magnetic_moments()
    limits = np.array([largest_muB[symbol] for symbol in atoms.symbols])
    changed = np.abs(moments) > limits
    if not changed.any():
        return atoms, 0
    drawn = atoms.copy()
    drawn.set_initial_magnetic_moments(np.clip(moments, -limits, limits))
    return drawn, int(changed.sum())
