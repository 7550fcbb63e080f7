"""Spin flips: what a relaxation of moments can't do, for it keeps their signs.

Reversing one moment changes the site energies of its atom and of its neighbours only: a trial costs its neighbourhood,
whatever the size of the cell; see `mmtp_fw.potential.incremental`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential.incremental import MomentState
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
    return _tried(_state(potential, system, moments), chosen, np.zeros(len(chosen)), 1.0, keep=False)[1]


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
    state = _state(potential, system, moments)
    outcome, _ = _tried(state, chosen, rng.random(trials), BOLTZMANN * temperature_K, keep=True)
    return FlipResult(state.moments, state.energy, trials, int((outcome == 1).sum()))


def _state(potential: Potential, system: System, moments: FloatArray) -> MomentState:
    low, high = potential.min_moment, potential.max_moment
    if potential.magnetic and not np.isclose(low, -high):
        raise InputError(f"a flip leaves the magnetic range [{low:g}, {high:g}] μB")
    return MomentState(potential, system, moments)


def _tried(
    state: MomentState, chosen: IntArray, uniforms: FloatArray, kT: float, keep: bool
) -> tuple[IntArray, FloatArray]:
    """Return outcomes and changes of energy of reversing moments: size is no reason to refuse them."""
    unlimited = np.tile([-np.inf, np.inf], (len(state.system), 1))
    count = len(chosen)
    return state.attempt(chosen, -np.ones(count), np.zeros(count), uniforms, unlimited, kT, keep=keep)
