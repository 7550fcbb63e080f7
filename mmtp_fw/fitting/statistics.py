"""Errors of a potential by quantity, species and volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import BoolArray, FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.fitting.samples import Sample, make_samples
from mmtp_fw.potential import Evaluation, Potential, Systems
from mmtp_fw.quantities import QUANTITIES

Errors = dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Numbers of one quantity, potential against label: equal shapes, in the quantity's unit."""

    predicted: FloatArray
    reference: FloatArray

    def errors(self) -> dict[str, float]:
        """Return mae, rmse, max, r2 (NaN where the reference doesn't vary) and count."""
        difference = np.abs(self.predicted - self.reference)
        spread = float(np.sum((self.reference - self.reference.mean()) ** 2))
        r2 = 1.0 - float(np.sum(difference**2)) / spread if spread > 0 else float("nan")
        return {
            "mae": float(difference.mean()),
            "rmse": float(np.sqrt(np.mean(difference**2))),
            "max": float(difference.max()),
            "r2": r2,
            "count": float(difference.size),
        }


_Pair = tuple[FloatArray, FloatArray]


def _pair(sample: Sample, name: str, evaluation: Evaluation, atoms: BoolArray | None = None) -> _Pair:
    """Return predicted and labelled numbers of one quantity, of all atoms or of some, shape (n,)."""
    quantity, n = QUANTITIES[name], len(sample)
    both = np.asarray(quantity.predicted(evaluation), dtype=np.float64), sample.labels[name]
    one, two = (quantity.compared(value if atoms is None else value[atoms], n) for value in both)
    return one, two


def errors_of(potential: Potential, samples: Sequence[Sample]) -> Errors:
    """Return the errors of a potential on prepared configurations; see `errors_by_quantity`."""
    return {name: comparison.errors() for name, comparison in compare(potential, samples).items()}


def compare(potential: Potential, samples: Sequence[Sample]) -> dict[str, Comparison]:
    """Return predicted and reference numbers of every quantity that the labels hold, by its key."""
    found: dict[str, list[_Pair]] = {}
    for sample in samples:
        evaluation = potential.evaluate_system(sample.system, sample.moments)
        for name in sample.labels:
            found.setdefault(name, []).append(_pair(sample, name, evaluation))
    return {QUANTITIES[name].key: _joined(found[name]) for name in QUANTITIES if name in found}


def errors_by_quantity(potential: Potential, configurations: Sequence[Atoms], systems: Systems | None = None) -> Errors:
    """Return the errors of a potential on labelled configurations.

    Parameters
    ----------
    potential : Potential
    configurations : sequence of Atoms
        May be empty.
    systems : Systems, optional
        Where others look at the same configurations: every neighbour list is made once.

    Returns
    -------
    dict
        For each of "energy_per_atom_eV", "forces_eV_per_A" (components), "stress_GPa" (Voigt
        components) and "magnetic_forces_eV_per_muB" that some label holds (`Quantity.key`): mae, rmse, max, r2,
        count.

    Raises
    ------
    InputError
        Naming the configuration that can't be used.
    """
    if len(configurations) == 0:
        return {}
    return errors_of(potential, make_samples(potential, configurations, systems=systems))


def errors_by_species(
    potential: Potential, configurations: Sequence[Atoms], systems: Systems | None = None
) -> dict[str, Errors]:
    """Return the errors of what each atom has, as forces and magnetic forces, for the atoms of each species.

    See `errors_by_quantity`.
    """
    if len(configurations) == 0:
        return {}
    collected: dict[str, dict[str, list[_Pair]]] = {}
    for sample in make_samples(potential, configurations, systems=systems):
        evaluation = potential.evaluate_system(sample.system, sample.moments)
        for index in np.unique(sample.system.types):
            mine = collected.setdefault(potential.species[index], {})
            for name in sample.labels:
                if QUANTITIES[name].per_atom:
                    pair = _pair(sample, name, evaluation, sample.system.types == index)
                    mine.setdefault(QUANTITIES[name].key, []).append(pair)
    return {
        species: {key: _joined(pairs).errors() for key, pairs in parts.items()} for species, parts in collected.items()
    }


def errors_by_volume(
    potential: Potential, configurations: Sequence[Atoms], bins: int = 5, systems: Systems | None = None
) -> dict[tuple[float, float], Errors]:
    """Return the errors in equal ranges of volume per atom; see `errors_by_quantity`.

    Parameters
    ----------
    potential : Potential
    configurations : sequence of Atoms
        Those without a three-dimensional cell, molecules and slabs, belong to no range.
    bins : int
        Number of ranges; empty ones are left out.
    systems : Systems, optional
        See `errors_by_quantity`.

    Returns
    -------
    dict
        (lowest, highest) Å³ per atom of each range -> errors.
    """
    if bins < 1:
        raise InputError(f"{bins} ranges of volume", "at least 1")
    configurations = [atoms for atoms in configurations if atoms.cell.rank == 3 and atoms.pbc.all()]
    if not configurations:
        return {}
    volumes = np.array([atoms.get_volume() / len(atoms) for atoms in configurations])
    edges = np.linspace(volumes.min(), volumes.max(), bins + 1)
    where = np.clip(np.searchsorted(edges, volumes, side="right") - 1, 0, bins - 1)
    found = {}
    for b in range(bins):
        members = [atoms for atoms, k in zip(configurations, where, strict=True) if k == b]
        if members:
            found[float(edges[b]), float(edges[b + 1])] = errors_by_quantity(potential, members, systems)
    return found


def _joined(pairs: Sequence[_Pair]) -> Comparison:
    return Comparison(np.concatenate([one for one, _ in pairs]), np.concatenate([two for _, two in pairs]))
