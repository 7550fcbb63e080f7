"""Thermal averages of a chain, with errors that know of correlation, and a verdict on equilibrium."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.errors import InputError
from mmtp_fw.properties.averages import Average, average
from mmtp_fw.thermal.chains import Chain, ChainSettings, Counts
from mmtp_fw.thermal.ensembles import Ensemble, Measure

if TYPE_CHECKING:
    from mmtp_fw.potential import Potential

BLOCKS = 20
"""Of the jackknife that gives errors of fluctuations."""
FEWEST_SWEEPS = 5 * BLOCKS
SIGMAS = 4.0
"""Halves of a series whose means are further apart, in standard deviations, are of a chain that still drifts."""
LONGEST_CORRELATION = 0.02
"""Autocorrelation time, as a part of the series, up to which its error can be trusted."""


@dataclass(frozen=True)
class ThermalAverages:
    """Averages at one temperature. All of n atoms, and of the ensemble and measure that they name.

    Attributes
    ----------
    ensemble : Ensemble
    measure : Measure
    temperature_K : float
    energy : Average
        Potential energy, eV per atom.
    magnetization : Average
        |Σ m|/n, μB per atom.
    moments : mapping of str to Average
        Mean |m| by species, μB.
    susceptibility : float
        n (⟨M²⟩ − ⟨|M|⟩²)/kT of M = Σ m/n, μB²/eV per atom.
    susceptibility_error : float
    heat_capacity : float
        (⟨E²⟩ − ⟨E⟩²)/(n k T²), in k per atom: of what is sampled, without momenta; a sampled moment in a harmonic well
        holds the classical ½.
    heat_capacity_error : float
    binder : float
        1 − ⟨M⁴⟩/(3⟨M²⟩²): 2/3 in perfect order, 0 for a Gaussian M (K. Binder, Z. Phys. B 43, 119 (1981)).
    binder_error : float
    counts : Counts
        Of the recorded sweeps.
    sweeps, discarded : int
    warnings : tuple of str
        Why a number here may be wrong: no equilibrium, too short, trials refused.
    """

    ensemble: Ensemble
    measure: Measure
    temperature_K: float
    energy: Average
    magnetization: Average
    moments: Mapping[str, Average]
    susceptibility: float
    susceptibility_error: float
    heat_capacity: float
    heat_capacity_error: float
    binder: float
    binder_error: float
    counts: Counts
    sweeps: int
    discarded: int
    warnings: tuple[str, ...]


def sample(
    potential: Potential,
    atoms: Atoms,
    settings: ChainSettings,
    sweeps: int = 2000,
    discard: int | None = None,
    start: FloatArray | None = None,
) -> ThermalAverages:
    """Sample the moments of n atoms at fixed positions.

    Parameters
    ----------
    potential : Potential
    atoms : Atoms
    settings : ChainSettings
    sweeps : int
        That are recorded: one trial per sampled moment each.
    discard : int, optional
        Before them, while step sizes are adapted; by default half as many.
    start : ndarray, shape (n,), optional
        See `Chain`.

    Raises
    ------
    InputError
        Too few sweeps for errors; what `Chain` raises.
    """
    if sweeps < FEWEST_SWEEPS:
        raise InputError(f"{sweeps} sweeps are too few for errors", f"at least {FEWEST_SWEEPS}")
    chain = Chain(potential, atoms, settings, start)
    discarded = sweeps // 2 if discard is None else discard
    for _ in range(discarded):
        chain.sweep(adapt=True)
    chain.counts = Counts()
    energies, moments = np.empty(sweeps), np.empty((sweeps, len(atoms)))
    for k in range(sweeps):
        chain.sweep()
        energies[k], moments[k] = chain.energy, chain.moments
    return _averages(chain, energies, moments, discarded)


def _averages(chain: Chain, energies: FloatArray, moments: FloatArray, discarded: int) -> ThermalAverages:
    n, kT = moments.shape[1], chain.kT
    m = moments.mean(axis=1)
    symbols = np.array(chain.atoms.get_chemical_symbols())
    sizes = {
        name: average(np.abs(moments[:, symbols == name]).mean(axis=1)) for name in dict.fromkeys(symbols.tolist())
    }
    found, of_energy = average(np.abs(m)), average(energies / n)
    chi = _jackknife(lambda k: n * ((m[k] ** 2).mean() - np.abs(m[k]).mean() ** 2) / kT, len(m))
    capacity = _jackknife(lambda k: float(energies[k].var()) / (n * kT**2), len(m))
    binder = _jackknife(lambda k: float(1 - (m[k] ** 4).mean() / (3 * (m[k] ** 2).mean() ** 2)), len(m))
    return ThermalAverages(
        chain.settings.ensemble, chain.settings.measure, chain.settings.temperature_K, of_energy, found, sizes,
        *chi, *capacity, *binder, chain.counts, len(m), discarded,
        _warnings(chain.counts, {"energy": energies / n, "magnetization": np.abs(m)}),
    )  # fmt: skip


def _jackknife(statistic: Callable[[IntArray], float], count: int) -> tuple[float, float]:
    """Return a statistic of all samples, and its error from leaving out each of `BLOCKS` blocks in turn."""
    every = np.arange(count)
    left = np.array([statistic(np.delete(every, block)) for block in np.array_split(every, BLOCKS)])
    return statistic(every), float(np.sqrt((BLOCKS - 1) * ((left - left.mean()) ** 2).mean()))


def _warnings(counts: Counts, series: Mapping[str, FloatArray]) -> tuple[str, ...]:
    found = []
    for name, values in series.items():
        first, second = (average(half) for half in np.array_split(values, 2))
        if abs(first.mean - second.mean) > SIGMAS * np.hypot(first.error, second.error):
            found.append(f"the {name} still drifts: discard more sweeps")
        if average(values).correlation > LONGEST_CORRELATION * len(values):
            found.append(
                f"the {name} is correlated over {average(values).correlation:.0f} sweeps: its error is a guess"
            )
    if counts.unsound:
        found.append(f"{counts.unsound} trials refused: no minimum of the induced moments that the potential knows")
    if counts.refused > 0.1 * max(1, counts.trials):
        share = counts.refused / counts.trials
        found.append(f"{share:.0%} of the trials left the range of the moments: it bounds what is sampled")
    return tuple(found)
