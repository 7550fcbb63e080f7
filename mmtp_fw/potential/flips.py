"""Spin flips: what a relaxation of moments can't do, for it keeps their signs.

Reversing one moment changes the site energies of its atom and of its neighbours only: a trial costs that many
sites, whatever the size of the cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential import engine
from mmtp_fw.potential.system import System

if TYPE_CHECKING:
    from mmtp_fw.potential.potential import Potential

BOLTZMANN = 8.617333262e-5
"""eV/K."""


@dataclass(frozen=True)
class FlipResult:
    """Outcome of Metropolis trials: moments (n,) (μB) and energy (eV) after them, trials and acceptances."""

    moments: FloatArray
    energy: float
    trials: int
    accepted: int


def flip_energies(
    potential: Potential, system: System, moments: FloatArray, atoms: Sequence[int] | None = None
) -> FloatArray:
    """Return the change of energy (eV) on reversing the moment of each of `atoms` alone.

    Parameters
    ----------
    potential : Potential
        Magnetic.
    system : System
        n atoms.
    moments : ndarray, shape (n,)
        μB.
    atoms : sequence of int, optional
        By default all.
    """
    chosen = np.arange(len(system)) if atoms is None else np.asarray(atoms, dtype=np.int64)
    return _flip(potential, system, moments, chosen, np.zeros(len(chosen)), 1.0, False)[1]


def metropolis_flips(
    potential: Potential,
    system: System,
    moments: FloatArray,
    temperature_K: float,
    trials: int,
    rng: np.random.Generator,
) -> FlipResult:
    """Reverse moments of randomly chosen atoms by Metropolis' rule, at fixed positions.

    Parameters
    ----------
    potential : Potential
        Magnetic.
    system : System
        n atoms.
    moments : ndarray, shape (n,)
        μB.
    temperature_K : float
    trials : int
    rng : numpy.random.Generator

    Raises
    ------
    InputError
        A potential without moments, a temperature that is not positive, or what `Potential.evaluate` raises.
    """
    if not temperature_K > 0:
        raise InputError(f"a temperature of {temperature_K} K", "give a positive one")
    chosen = rng.integers(len(system), size=trials)
    result = _flip(potential, system, moments, chosen, rng.random(trials), BOLTZMANN * temperature_K, True)
    moments, _, energies, accepted = result
    return FlipResult(moments, float(energies.sum()), trials, accepted)


def _flip(
    potential: Potential,
    system: System,
    moments: FloatArray,
    chosen: IntArray,
    uniforms: FloatArray,
    kT: float,
    keep: bool,
) -> tuple[FloatArray, FloatArray, FloatArray, int]:
    if not potential.magnetic:
        raise InputError("the potential has no magnetic basis: there are no moments to flip")
    low, high = potential.min_moment, potential.max_moment
    if not np.isclose(low, -high):
        raise InputError(f"a flip leaves the magnetic range [{low:g}, {high:g}] μB")
    moments = np.array(moments, dtype=np.float64)
    energies, differences = potential.evaluate_system(system, moments).energies.copy(), np.zeros(len(chosen))
    if engine.fast_kernels():
        from mmtp_fw.potential.kernels_flips import flip

        accepted = flip(
            *potential.form.packed, system.types, system.first, system.neighbors, system.vectors, moments,
            chosen, uniforms, kT, keep, energies, differences,
        )  # fmt: skip
        return moments, differences, energies, int(accepted)
    accepted = 0
    for c, i in enumerate(chosen):
        trial = moments.copy()
        trial[i] *= -1.0
        new = engine.evaluate(potential.form, system, trial, forces=False)[0]
        differences[c] = (new - energies).sum()
        if keep and (differences[c] <= 0 or uniforms[c] < np.exp(-differences[c] / kT)):
            moments, energies, accepted = trial, new, accepted + 1
    return moments, differences, energies, accepted
