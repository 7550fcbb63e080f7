"""Markov chains of signed collinear moments at fixed positions.

Every trial satisfies detailed balance for the weight |m|^power exp(−E/kT) inside the limits of the moments: a flip is
its own reverse, a shift is as likely as the one back (N. Metropolis et al., J. Chem. Phys. 21, 1087 (1953)). Step sizes
are adapted before anything is recorded, and stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import BoolArray, FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential.flips import BOLTZMANN
from mmtp_fw.potential.incremental import MomentState
from mmtp_fw.potential.system import System
from mmtp_fw.thermal.ensembles import Ensemble, Measure
from mmtp_fw.thermal.induced import Induced
from mmtp_fw.thermal.limits import moment_limits, start_moments

if TYPE_CHECKING:
    from mmtp_fw.potential import Potential

FLIPS = 0.3
"""Share of trials that reverse a moment; the others shift it."""
WANTED = (0.35, 0.55)
"""Acceptance between which a shift's size is left alone."""


@dataclass
class Counts:
    """Trials by how they ended.

    Attributes
    ----------
    trials, accepted : int
    refused : int
        Beyond the limits of a moment: never entered.
    unsound : int
        Trials refused for induced moments without a minimum that the potential knows.
    """

    trials: int = 0
    accepted: int = 0
    refused: int = 0
    unsound: int = 0


@dataclass(frozen=True)
class ChainSettings:
    """What a chain samples.

    Attributes
    ----------
    temperature_K : float
    measure : Measure
    induced : collection of str
        Species whose moments follow the others (ensemble `mixed`); none: `thermal`.
    largest : mapping of str to float
        Largest |m| by species (μB), instead of the potential's trained range.
    seed : int
    """

    temperature_K: float
    measure: Measure = Measure.FLAT
    induced: Collection[str] = ()
    largest: Mapping[str, float] = field(default_factory=dict)
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.temperature_K > 0:
            raise InputError(f"a temperature of {self.temperature_K:g} K", "give a positive one")

    @property
    def ensemble(self) -> Ensemble:
        """The name of what is sampled."""
        return Ensemble.MIXED if self.induced else Ensemble.THERMAL


class Chain:
    """A Markov chain of n atoms.

    Parameters
    ----------
    potential : Potential
    atoms : Atoms
        Their positions stay.
    settings : ChainSettings
    start : ndarray, shape (n,), optional
        Moments to start from; by default ferromagnetic. Induced ones are of no account.

    Attributes
    ----------
    counts : Counts

    Raises
    ------
    InputError
        No magnetic basis; no known range of moments; a start outside of it; a species of `induced` that isn't there, is
        all there is, or has no minimum at the start.
    """

    def __init__(
        self, potential: Potential, atoms: Atoms, settings: ChainSettings, start: FloatArray | None = None
    ) -> None:
        self.potential, self.settings, self.atoms = potential, settings, atoms.copy()
        self.limits = moment_limits(potential, atoms, settings.largest)
        first = start_moments(self.limits) if start is None else np.array(start, dtype=np.float64)
        if first.shape != (len(atoms),) or (first < self.limits[:, 0]).any() or (first > self.limits[:, 1]).any():
            raise InputError("the start isn't one moment per atom inside the limits of its species")
        self.kT = BOLTZMANN * settings.temperature_K
        self.rng = np.random.default_rng(settings.seed)
        self.counts = Counts()
        self._induced = _induced(atoms, settings.induced)
        self._free = np.flatnonzero(~self._induced)
        self._sizes = 0.25 * (self.limits[:, 1] - self.limits[:, 0]) / 2
        self._state = self._at(potential.system(self.atoms), first)
        if isinstance(self._state, Induced) and not self._state.sound:
            raise InputError(
                f"moments of {', '.join(settings.induced)} have no minimum inside their limits at the start",
                "start from other moments, or sample them, too",
            )

    @property
    def moments(self) -> FloatArray:
        """The moments now, shape (n,), μB."""
        return self._state.moments

    @property
    def energy(self) -> float:
        """The potential energy now, eV."""
        return self._state.energy

    def sweep(self, adapt: bool = False) -> None:
        """Make one trial per sampled moment, at random places.

        Parameters
        ----------
        adapt : bool
            Adapt step sizes: only while nothing is recorded.
        """
        count = len(self._free)
        sites = self.rng.choice(self._free, count)
        flips = self.rng.random(count) < FLIPS
        factors = np.where(flips, -1.0, 1.0)
        shifts = np.where(flips, 0.0, self._sizes[sites] * self.rng.uniform(-1.0, 1.0, count))
        uniforms = self.rng.random(count)
        if isinstance(self._state, Induced):
            outcome = self._state.attempt(sites, factors, shifts, uniforms, self.limits, self.kT, self._power)
        else:
            self._state.reset(self._state.moments)  # rounding errors of many changes would add up
            outcome, _ = self._state.attempt(sites, factors, shifts, uniforms, self.limits, self.kT, self._power)
        self.counts.trials += count
        self.counts.accepted += int((outcome == 1).sum())
        self.counts.refused += int((outcome == -1).sum())
        self.counts.unsound += int((outcome == -2).sum())
        if adapt:
            self._adapt(sites[~flips], outcome[~flips] == 1)

    @property
    def _power(self) -> float:
        return self.settings.measure.power

    def _adapt(self, sites: FloatArray, accepted: FloatArray) -> None:
        """Bring the acceptance of shifts, species by species, near a half."""
        for number in np.unique(self.atoms.numbers[sites.astype(int)]):
            mine = self.atoms.numbers[sites.astype(int)] == number
            share = accepted[mine].mean()
            factor = 1.1 if share > WANTED[1] else 0.9 if share < WANTED[0] else 1.0
            kind = self.atoms.numbers == number
            widest = self.limits[kind, 1] - self.limits[kind, 0]
            self._sizes[kind] = np.clip(factor * self._sizes[kind], 1e-3 * widest, widest)

    def _at(self, system: System, moments: FloatArray) -> MomentState | Induced:
        if self._induced.any():
            return Induced(self.potential, system, moments, self._induced, self.limits)
        return MomentState(self.potential, system, moments)


def _induced(atoms: Atoms, species: Collection[str]) -> BoolArray:
    """Return which atoms' moments follow the others, shape (n,)."""
    symbols = atoms.get_chemical_symbols()
    absent = sorted(set(species) - set(symbols))
    if absent:
        raise InputError(f"induced moments of {', '.join(absent)}: the structure has no such atom")
    mask = np.array([symbol in set(species) for symbol in symbols])
    if mask.all():
        raise InputError("all moments would be induced: by what?", "leave a species with moments of its own")
    return mask
