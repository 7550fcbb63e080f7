"""Errors of a potential by quantity, species and volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import GPa

from mmtp_fw.errors import InputError
from mmtp_fw.fitting.samples import Sample, make_samples
from mmtp_fw.fitting.weights import Weights
from mmtp_fw.potential import Evaluation, Potential

QUANTITIES = ("energy_per_atom_eV", "forces_eV_per_A", "stress_GPa", "magnetic_forces_eV_per_muB")
Errors = dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Numbers of one quantity, potential against label: equal shapes, in the quantity's unit."""

    predicted: np.ndarray
    reference: np.ndarray

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


def compare(potential: Potential, samples: Sequence[Sample]) -> dict[str, Comparison]:
    """Return predicted and reference numbers of every quantity that the labels hold."""
    columns: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {name: ([], []) for name in QUANTITIES}
    for sample in samples:
        evaluation = potential.evaluate_system(sample.system, sample.moments)
        for name, predicted, reference in _pairs(sample, evaluation):
            columns[name][0].append(predicted)
            columns[name][1].append(reference)
    return {
        name: Comparison(np.concatenate(predicted), np.concatenate(reference))
        for name, (predicted, reference) in columns.items()
        if predicted
    }


def _pairs(sample: Sample, evaluation: Evaluation) -> list[tuple[str, np.ndarray, np.ndarray]]:
    found = []
    n = len(sample)
    if sample.energy is not None:
        found.append((QUANTITIES[0], np.array([evaluation.energy / n]), np.array([sample.energy / n])))
    if sample.forces is not None:
        found.append((QUANTITIES[1], evaluation.forces.ravel(), sample.forces.ravel()))
    if sample.virial is not None:
        reference = full_3x3_to_voigt_6_stress(sample.virial / sample.system.volume)
        found.append((QUANTITIES[2], evaluation.stress / GPa, reference / GPa))
    if sample.magnetic_forces is not None:
        found.append((QUANTITIES[3], evaluation.magnetic_forces, sample.magnetic_forces))
    return found


def errors_by_quantity(potential: Potential, configurations: Sequence[Atoms]) -> Errors:
    """Return the errors of a potential on labelled configurations.

    Parameters
    ----------
    potential : Potential
    configurations : sequence of Atoms
        May be empty.

    Returns
    -------
    dict
        For each of "energy_per_atom_eV", "forces_eV_per_A" (components), "stress_GPa" (Voigt
        components) and "magnetic_forces_eV_per_muB" that some label holds: mae, rmse, max, r2, count.

    Raises
    ------
    InputError
        Naming the configuration that can't be used.
    """
    if len(configurations) == 0:
        return {}
    samples = make_samples(potential, configurations, Weights())
    return {name: comparison.errors() for name, comparison in compare(potential, samples).items()}


def errors_by_species(potential: Potential, configurations: Sequence[Atoms]) -> dict[str, Errors]:
    """Return the errors of forces and magnetic forces for the atoms of each species."""
    if len(configurations) == 0:
        return {}
    collected: dict[str, dict[str, list[tuple[np.ndarray, np.ndarray]]]] = {}
    for sample in make_samples(potential, configurations, Weights()):
        evaluation = potential.evaluate_system(sample.system, sample.moments)
        for index in np.unique(sample.system.types):
            mask = sample.system.types == index
            mine = collected.setdefault(potential.species[index], {})
            if sample.forces is not None:
                mine.setdefault(QUANTITIES[1], []).append(
                    (evaluation.forces[mask].ravel(), sample.forces[mask].ravel())
                )
            if sample.magnetic_forces is not None:
                mine.setdefault(QUANTITIES[3], []).append(
                    (evaluation.magnetic_forces[mask], sample.magnetic_forces[mask])
                )
    return {species: _joined(parts) for species, parts in collected.items()}


def errors_by_volume(
    potential: Potential, configurations: Sequence[Atoms], bins: int = 5
) -> dict[tuple[float, float], Errors]:
    """Return the errors in equal ranges of volume per atom; see `errors_by_quantity`.

    Parameters
    ----------
    potential : Potential
    configurations : sequence of Atoms
        With cells.
    bins : int
        Number of ranges; empty ones are left out.

    Returns
    -------
    dict
        (lowest, highest) Å³ per atom of each range -> errors.
    """
    if len(configurations) == 0:
        return {}
    if bins < 1:
        raise InputError(f"{bins} ranges of volume", "at least 1")
    volumes = np.array([atoms.get_volume() / len(atoms) for atoms in configurations])
    edges = np.linspace(volumes.min(), volumes.max(), bins + 1)
    where = np.clip(np.searchsorted(edges, volumes, side="right") - 1, 0, bins - 1)
    found = {}
    for b in range(bins):
        members = [atoms for atoms, k in zip(configurations, where, strict=True) if k == b]
        if members:
            found[float(edges[b]), float(edges[b + 1])] = errors_by_quantity(potential, members)
    return found


def _joined(parts: Mapping[str, list[tuple[np.ndarray, np.ndarray]]]) -> Errors:
    return {
        name: Comparison(np.concatenate([one for one, _ in pairs]), np.concatenate([two for _, two in pairs])).errors()
        for name, pairs in parts.items()
    }
