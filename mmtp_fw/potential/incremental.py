"""Moments at fixed positions whose energy is kept up to date: a trial costs its neighbourhood, not the cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential.checks import checked_moments
from mmtp_fw.potential.system import System

if TYPE_CHECKING:
    from mmtp_fw.potential.potential import Potential


class MomentState:
    """Moments of n atoms at fixed positions with their energy, to be changed one by one.

    Parameters
    ----------
    potential : Potential
        Magnetic.
    system : System
        n atoms.
    moments : ndarray, shape (n,)
        μB.

    Raises
    ------
    InputError
        A potential without moments; moments that are not n finite numbers.
    """

    def __init__(self, potential: Potential, system: System, moments: FloatArray) -> None:
        from mmtp_fw.potential import kernels_incremental

        if not potential.magnetic:
            raise InputError("the potential has no magnetic basis: there are no moments to sample")
        self.system = system
        form, tables = potential.form, potential.form.tables
        self._kernels = kernels_incremental
        pairs, n, m = len(system.neighbors), len(system), form.c.shape[4]
        self._radial = np.empty((pairs, form.c.shape[2], m, m))
        self._angular = np.empty((pairs, len(tables.basic)))
        self._reverse = np.empty(pairs, dtype=np.int64)
        kernels_incremental.tabulate(
            system.types, system.first, system.neighbors, system.vectors, form.c, tables.basic, *form.ranges[:2],
            self._radial, self._angular, self._reverse,
        )  # fmt: skip
        self._form = (
            tables.basic, tables.times, tables.scalars, tables.n_moments, form.xi, form.constants, *form.ranges[2:],
        )  # fmt: skip
        self._psi = np.empty((n, m))
        self._elementary = np.empty((n, len(tables.basic)))
        self._energies = np.empty(n)
        self.reset(moments)

    def reset(self, moments: FloatArray) -> None:
        """Take other moments, shape (n,) (μB), or the same ones anew, without the rounding errors of many changes."""
        self._moments = np.array(checked_moments(moments, len(self.system)), dtype=np.float64)
        s = self.system
        self._kernels.gather(
            s.types, s.first, s.neighbors, self._radial, self._angular, *self._form, self._moments,
            self._psi, self._elementary, self._energies,
        )  # fmt: skip

    @property
    def moments(self) -> FloatArray:
        """The moments now, shape (n,), μB."""
        return self._moments.copy()

    @property
    def energy(self) -> float:
        """In eV."""
        return float(self._energies.sum())

    def attempt(
        self,
        sites: IntArray,
        factors: FloatArray,
        shifts: FloatArray,
        uniforms: FloatArray,
        limits: FloatArray,
        kT: float,
        power: float = 0.0,
        keep: bool = True,
    ) -> tuple[IntArray, FloatArray]:
        """Try m → factor · m + shift at one atom after the other, at the weight |m|^power exp(−E/kT).

        Parameters
        ----------
        sites : ndarray of int, shape (t,)
            The atom of each trial.
        factors, shifts, uniforms : ndarray, shape (t,)
            1 or −1; μB; random numbers in [0, 1).
        limits : ndarray, shape (n, 2)
            Least and greatest moment of each atom (μB): a trial beyond is refused.
        kT : float
            eV.
        power : float
            0 for the flat measure.
        keep : bool
            False undoes every trial: `differences` alone is wanted.

        Returns
        -------
        outcome : ndarray of int, shape (t,)
            1 accepted, 0 rejected by its energy, −1 refused for its size.
        differences : ndarray, shape (t,)
            Changes of energy (eV); 0 for refused ones.
        """
        s, trials = self.system, len(sites)
        outcome, differences = np.empty(trials, dtype=np.int64), np.empty(trials)
        self._kernels.metropolis(
            s.types, s.first, s.neighbors, self._radial, self._angular, self._reverse, *self._form, self._moments,
            self._psi, self._elementary, self._energies, sites, factors, shifts, uniforms,
            np.ascontiguousarray(limits[:, 0]), np.ascontiguousarray(limits[:, 1]), kT, power, keep,
            differences, outcome,
        )  # fmt: skip
        return outcome, differences
