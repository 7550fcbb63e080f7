"""Magnetization against temperature: several sizes, averaged over arrangements of an alloy, and T_C."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

import mmtp_fw
from mmtp_fw.errors import InputError
from mmtp_fw.thermal.binder import BinderCurve, Curie, binder_cumulant, curie_temperature
from mmtp_fw.thermal.chains import ChainSettings
from mmtp_fw.thermal.ensembles import ISING
from mmtp_fw.thermal.sampling import ThermalAverages, sample

if TYPE_CHECKING:
    from mmtp_fw.potential import Potential


@dataclass(frozen=True)
class Row:
    """Averages at one size and temperature, over k arrangements.

    Attributes
    ----------
    atoms : int
    temperature_K : float
    arrangements : list of ThermalAverages
        One for each, by rising seed.
    """

    atoms: int
    temperature_K: float
    arrangements: list[ThermalAverages]

    @property
    def binder(self) -> tuple[float, float]:
        """Binder's cumulant of the averaged ⟨M²⟩ and ⟨M⁴⟩, and its error."""
        powers = np.array([(one.second, one.fourth) for one in self.arrangements])
        every = binder_cumulant(*powers.mean(axis=0))
        if len(powers) == 1:
            return every, self.arrangements[0].binder_error
        left = np.array([binder_cumulant(*np.delete(powers, k, axis=0).mean(axis=0)) for k in range(len(powers))])
        return every, float(np.sqrt((len(left) - 1) * ((left - left.mean()) ** 2).mean()))

    def mean(self, pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
        """Return the mean of (value, error) over arrangements, and its error: theirs, or of a single one its own."""
        values = [value for value, _ in pairs]
        if len(pairs) == 1:
            return pairs[0]
        return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))

    def document(self) -> dict[str, Any]:
        """Return the row as plain numbers: means and errors, and what they depend on."""
        made: dict[str, Any] = {"atoms": self.atoms, "temperature_K": self.temperature_K}
        first = self.arrangements[0]
        made |= {"ensemble": first.ensemble.value, "measure": first.measure.value}
        columns: dict[tuple[str, str], list[tuple[float, float]]] = {
            ("magnetization", "muB"): [(one.magnetization.mean, one.magnetization.error) for one in self.arrangements]
        }
        for name in first.moments:
            sizes = [one.moments[name] for one in self.arrangements]
            columns[f"moment_{name}", "muB"] = [(size.mean, size.error) for size in sizes]
        columns["energy", "eV_per_atom"] = [(one.energy.mean, one.energy.error) for one in self.arrangements]
        for name, unit in (("susceptibility", "muB2_per_eV"), ("heat_capacity", "kB")):
            columns[name, unit] = [(getattr(one, name), getattr(one, f"{name}_error")) for one in self.arrangements]
        for (name, unit), pairs in columns.items():
            made[f"{name}_{unit}"], made[f"{name}_error_{unit}"] = self.mean(pairs)
        made["binder"], made["binder_error"] = self.binder
        warnings = dict.fromkeys(line for one in self.arrangements for line in one.warnings)
        return made | {
            "arrangements": len(self.arrangements),
            "sweeps": first.sweeps,
            "discarded": first.discarded,
            "warnings": "; ".join(warnings),
        }


@dataclass(frozen=True)
class MagnetizationStudy:
    """Averages of all sizes and temperatures.

    Attributes
    ----------
    rows : list of Row
        By rising size, then temperature.
    curie : Curie or None
        None with one size.
    settings : ChainSettings
        Of the first temperature and arrangement.
    seeds : list of int
    potential_hash : str
    """

    rows: list[Row]
    curie: Curie | None
    settings: ChainSettings
    seeds: list[int]
    potential_hash: str

    def document(self) -> dict[str, Any]:
        """Return plain data, with everything that is needed to repeat it beside potential and structure."""
        curie = None
        if self.curie is not None:
            crossings = [dict(vars(one)) for one in self.curie.crossings]
            curie = {**vars(self.curie), "crossings": crossings}
        return {
            "note": ISING,
            "ensemble": self.settings.ensemble.value,
            "measure": self.settings.measure.value,
            "averages": [row.document() for row in self.rows],
            "curie": curie,
            "seeds": self.seeds,
            "induced": list(self.settings.induced),
            "largest_muB": dict(self.settings.largest),
            "potential_hash": self.potential_hash,
            "versions": {"mmtp_fw": mmtp_fw.__version__},
        }


def magnetization_study(
    potential: Potential,
    cells: Mapping[int, Sequence[Atoms]],
    temperatures_K: Sequence[float],
    settings: ChainSettings,
    sweeps: int = 2000,
    progress: Any = iter,
) -> MagnetizationStudy:
    """Sample the moments of several arrangements and sizes at several temperatures.

    Parameters
    ----------
    potential : Potential
    cells : mapping of int to sequence of Atoms
        By seed of the arrangement: its cells, one for each size. Moments that a cell has are where its chains start.
    temperatures_K : sequence of float
    settings : ChainSettings
        Temperature and seed of every chain are its own.
    sweeps : int
        See `sample`.
    progress : callable
        Wraps the list of chains that are to be run.

    Raises
    ------
    InputError
        No cell, no temperature, one twice; and what `sample` raises.
    """
    from mmtp_fw.potential import has_moments, moments_of

    if not cells or not temperatures_K or len(set(temperatures_K)) < len(temperatures_K):
        raise InputError("magnetization needs a cell and temperatures, each once")
    kelvins = sorted(temperatures_K)
    found: dict[tuple[int, float], list[ThermalAverages]] = {}
    work = [(seed, atoms, kelvin) for seed in sorted(cells) for atoms in cells[seed] for kelvin in kelvins]
    for number, (_, atoms, kelvin) in enumerate(progress(work)):
        own = replace(settings, temperature_K=kelvin, seed=settings.seed + number)
        start = moments_of(atoms) if has_moments(atoms) else None
        found.setdefault((len(atoms), kelvin), []).append(sample(potential, atoms, own, sweeps, start=start))
    rows = [Row(atoms, kelvin, found[atoms, kelvin]) for atoms, kelvin in sorted(found)]
    first = replace(settings, temperature_K=kelvins[0])
    return MagnetizationStudy(rows, _curie(rows), first, sorted(cells), potential.content_hash)


def _curie(rows: Iterable[Row]) -> Curie | None:
    curves: dict[int, list[Row]] = {}
    for row in rows:
        curves.setdefault(row.atoms, []).append(row)
    if len(curves) < 2 or len(next(iter(curves.values()))) < 2:
        return None
    made = []
    for atoms, mine in curves.items():
        binder = np.array([row.binder for row in mine])
        made.append(BinderCurve(atoms, np.array([row.temperature_K for row in mine]), binder[:, 0], binder[:, 1]))
    return curie_temperature(made)
