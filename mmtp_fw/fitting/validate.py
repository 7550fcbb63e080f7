"""Checks of a training set before it is trusted: one clear message for each thing wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.units import GPa

from mmtp_fw.errors import InputError
from mmtp_fw.fitting.samples import labels_of, name_of
from mmtp_fw.fitting.weights import Weights
from mmtp_fw.potential import Potential, moments_of

# Beyond these a number can hardly be what it says: per atom and compared with chemical bonds.
_LARGEST_FORCE = 200.0  # eV/Å
_LARGEST_STRESS = 500.0 * GPa
_LARGEST_MAGNETIC_FORCE = 100.0  # eV/μB
_RATIOS = {
    27.211386: "Ha instead of eV",
    13.605693: "Ry instead of eV",
    51.422067: "Ha/Bohr instead of eV/Å",
    160.217663: "GPa instead of eV/Å³",
    1602.17663: "kbar instead of eV/Å³",
    96.485332: "kJ/mol instead of eV",
    1.889726: "Bohr instead of Å",
}


@dataclass(frozen=True)
class Finding:
    """Something wrong, or suspicious, with one configuration.

    Attributes
    ----------
    index : int
        Of the configuration, from 0.
    rule : str
        missing, shape, nan, species, moments, distance, duplicate, units.
    message : str
        Names the configuration.
    fatal : bool
        Whether a fit with it makes no sense.
    hint : str
    """

    index: int
    rule: str
    message: str
    fatal: bool
    hint: str = ""


@dataclass
class Report:
    """All findings of a training set."""

    findings: list[Finding] = field(default_factory=list)

    @property
    def fatal(self) -> list[Finding]:
        """Findings with which a fit makes no sense."""
        return [finding for finding in self.findings if finding.fatal]

    @property
    def warnings(self) -> list[str]:
        """Messages of all others."""
        return [finding.message for finding in self.findings if not finding.fatal]

    def raise_first(self) -> None:
        """Raise the first fatal finding as InputError, and say how many more there are."""
        fatal = self.fatal
        if fatal:
            more = f"; {len(fatal) - 1} more like problems" if len(fatal) > 1 else ""
            raise InputError(fatal[0].message + more, fatal[0].hint)


def check_training_set(potential: Potential, configurations: Sequence[Atoms], weights: Weights | None = None) -> Report:
    """Look through a training set.

    Parameters
    ----------
    potential : Potential
        Its species, ranges of distances and moments.
    configurations : sequence of Atoms
    weights : Weights, optional
        A quantity of zero weight may be missing.

    Returns
    -------
    Report
        Fatal: missing labels, wrong shapes, NaN, unknown species, coincident atoms, moments beyond the
        magnetic basis, duplicates with contradicting labels, suspected units. Warnings: distances below
        r_min, exact duplicates, missing magnetic forces.
    """
    weights = Weights() if weights is None else weights
    report = Report()
    seen: dict[str, int] = {}
    for index, atoms in enumerate(configurations):
        before = len(report.fatal)
        report.findings += _check_label(potential, atoms, index, weights)
        if len(report.fatal) == before:
            report.findings += _check_structure(potential, atoms, index)
            report.findings += _check_duplicate(configurations, atoms, index, seen)
            report.findings += _check_sizes(atoms, index)
    if not report.fatal:
        report.findings += _check_energy_units(configurations)
    return report


def _check_label(potential: Potential, atoms: Atoms, index: int, weights: Weights) -> list[Finding]:
    name, found = name_of(atoms, index), []
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(potential.species))
    if unknown:
        found.append(
            Finding(
                index,
                "species",
                f"{name}: {', '.join(unknown)} is not among the potential's species {', '.join(potential.species)}",
                True,
                "fit a potential with this species, or leave it out",
            )
        )
    labels, n = labels_of(atoms), len(atoms)
    needed = {"energy": weights.energy > 0, "forces": weights.forces > 0}
    if np.all(atoms.pbc):
        needed["stress"] = weights.stress > 0
    for key, wanted in needed.items():
        if wanted and key not in labels:
            found.append(
                Finding(
                    index,
                    "missing",
                    f"{name}: has no {key}",
                    True,
                    f"label it, or set the weight of {key} to 0",
                )
            )
    if potential.magnetic and weights.magnetic_forces > 0 and "magnetic_forces" not in labels:
        found.append(
            Finding(
                index,
                "missing",
                f"{name}: has no magnetic forces; its moments are fitted through energies only",
                False,
            )
        )
    shapes = {"forces": [(n, 3)], "stress": [(6,), (3, 3)], "magnetic_forces": [(n,)]}
    for key, value in labels.items():
        if key in shapes and np.shape(value) not in shapes[key]:
            found.append(Finding(index, "shape", f"{name}: {key} of shape {np.shape(value)} for {n} atoms", True))
        elif not np.all(np.isfinite(value)):
            found.append(Finding(index, "nan", f"{name}: {key} holds NaN or infinity", True, "repeat its label"))
    if not (np.all(np.isfinite(atoms.positions)) and np.all(np.isfinite(np.array(atoms.cell)))):
        found.append(Finding(index, "nan", f"{name}: a position or the cell is not finite", True))
    return found


def _check_structure(potential: Potential, atoms: Atoms, index: int) -> list[Finding]:
    name, found = name_of(atoms, index), []
    try:
        system, moments = potential.system(atoms), moments_of(atoms)
    except InputError as error:
        return [Finding(index, "distance", f"{name}: {error.message}", True, error.hint)]
    if not np.all(np.isfinite(moments)):
        return [Finding(index, "nan", f"{name}: a moment is not finite", True)]
    if potential.magnetic:
        beyond = (moments > potential.max_moment) | (moments < potential.min_moment)
        if beyond.any():
            worst = int(np.argmax(np.abs(moments)))
            found.append(
                Finding(
                    index,
                    "moments",
                    f"{name}: the moment of atom {worst} is {moments[worst]:.3f} μB, beyond "
                    f"the magnetic basis [{potential.min_moment:g}, {potential.max_moment:g}]",
                    True,
                    "choose a larger max_moment, or leave the configuration out",
                )
            )
        if not moments.any():
            found.append(Finding(index, "moments", f"{name}: all moments are zero", False))
    if len(system.vectors):
        shortest = float(np.sqrt((system.vectors**2).sum(axis=1).min()))
        if shortest < potential.r_min:
            found.append(
                Finding(
                    index,
                    "distance",
                    f"{name}: its shortest distance {shortest:.3f} Å is below r_min = "
                    f"{potential.r_min:g} Å, where the radial basis is extrapolated",
                    False,
                )
            )
    return found


def _check_sizes(atoms: Atoms, index: int) -> list[Finding]:
    limits = {
        "forces": (_LARGEST_FORCE, "eV/Å"),
        "stress": (_LARGEST_STRESS, "eV/Å³"),
        "magnetic_forces": (_LARGEST_MAGNETIC_FORCE, "eV/μB"),
    }
    labels = labels_of(atoms)
    found = []
    for key, (limit, unit) in limits.items():
        largest = float(np.max(np.abs(labels[key]), initial=0.0)) if key in labels else 0.0
        if largest > limit:
            found.append(
                Finding(
                    index,
                    "units",
                    f"{name_of(atoms, index)}: {key} of up to {largest:.4g} {unit} suggest another unit",
                    True,
                    f"{key} must be in {unit}",
                )
            )
    return found


def _check_duplicate(configurations: Sequence[Atoms], atoms: Atoms, index: int, seen: dict[str, int]) -> list[Finding]:
    digest = hashlib.blake2b(digest_size=16)
    for array in (
        atoms.numbers,
        atoms.positions.round(8),
        np.array(atoms.cell).round(8),
        moments_of(atoms).round(8),
    ):
        digest.update(np.ascontiguousarray(array + 0.0).tobytes())
    first = seen.setdefault(digest.hexdigest(), index)
    if first == index:
        return []
    name, other = name_of(atoms, index), name_of(configurations[first], first)
    mine, its = labels_of(atoms).get("energy"), labels_of(configurations[first]).get("energy")
    if mine is not None and its is not None and abs(mine - its) > 1e-3 * len(atoms):
        return [
            Finding(
                index,
                "duplicate",
                f"{name}: the same atoms and moments as {other}, with an energy that differs by {mine - its:.4g} eV",
                True,
                "keep the label that is right",
            )
        ]
    return [Finding(index, "duplicate", f"{name}: the same as {other}", False, "it counts twice")]


def _check_energy_units(configurations: Sequence[Atoms]) -> list[Finding]:
    """Compare each energy with a fit by composition: a mixture of units stands out by a known ratio."""
    labels = [labels_of(atoms).get("energy") for atoms in configurations]
    rows = [k for k, energy in enumerate(labels) if energy is not None]
    if len(rows) < 4:
        return []
    per_atom = np.array([float(labels[k]) / len(configurations[k]) for k in rows])  # type: ignore[arg-type]
    middle = float(np.median(per_atom))
    if abs(middle) < 1e-6:
        return []
    found = []
    for k, energy in zip(rows, per_atom, strict=True):
        for ratio, text in _RATIOS.items():
            odd = min(abs(energy * ratio / middle - 1.0), abs(energy / ratio / middle - 1.0))
            if ratio > 5 and odd < 0.05 and abs(energy / middle - 1.0) > 0.5:
                found.append(
                    Finding(
                        k,
                        "units",
                        f"{name_of(configurations[k], k)}: {energy:.4f} eV per atom where the others have "
                        f"{middle:.4f} suggests {text}",
                        True,
                        "energies must be in eV",
                    )
                )
                break
    return found
