"""Checks of a training set before it is trusted: one clear message for each thing wrong."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ase import Atoms

from mmtp_fw.errors import InputError
from mmtp_fw.fitting.samples import called, labels_of, name_of
from mmtp_fw.fitting.weights import Weights
from mmtp_fw.potential import Potential, System, Systems, moments_of
from mmtp_fw.quantities import QUANTITIES

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
    name : str
        Of the configuration; empty where it has none.
    rule : str
        missing, shape, nan, species, moments, distance, duplicate, units.
    text : str
        What it is, as it follows the configuration's name; ``{other}`` stands for the one that it doubles.
    fatal : bool
        Whether a fit with it makes no sense.
    hint : str
    other : int
        Index of the first configuration with the same atoms and moments, where it doubles one; else −1.
    other_name : str
    """

    index: int
    name: str
    rule: str
    text: str
    fatal: bool
    hint: str = ""
    other: int = -1
    other_name: str = ""

    @property
    def message(self) -> str:
        """All in one line, with the names of the configurations."""
        text = self.text.replace("{other}", called(self.other, self.other_name))
        return f"{called(self.index, self.name)}: {text}"


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

    def of_part(self, indices: Sequence[int]) -> Report:
        """Return the findings of a part of the set, numbered as in it.

        Parameters
        ----------
        indices : sequence of int
            What it is made of, in ascending order.
        """
        place = {index: k for k, index in enumerate(indices)}
        # The first of several doubles counts once; where it is not in the part, the next takes its place.
        firsts: dict[int, Finding] = {}
        found = []
        for finding in self.findings:
            if finding.index not in place:
                continue
            mine = replace(finding, index=place[finding.index])
            if finding.other in place:
                mine = replace(mine, other=place[finding.other])
            elif finding.other >= 0 and not finding.fatal:
                first = firsts.setdefault(finding.other, mine)
                if first is mine:
                    continue
                mine = replace(mine, other=first.index, other_name=first.name)
            found.append(mine)
        return Report(found)


def check_training_set(
    potential: Potential,
    configurations: Sequence[Atoms],
    weights: Weights | None = None,
    systems: Systems | None = None,
) -> Report:
    """Look through a training set.

    Parameters
    ----------
    potential : Potential
        Its species, ranges of distances and moments.
    configurations : sequence of Atoms
    weights : Weights, optional
        A quantity of zero weight may be missing.
    systems : Systems, optional
        Where others look at the same configurations: every neighbour list is made once.

    Returns
    -------
    Report
        Fatal: missing labels, wrong shapes, NaN, unknown species, coincident atoms, moments beyond the
        magnetic basis, duplicates with contradicting labels, suspected units, energies far
        from those of the same composition. Warnings: distances below
        r_min, exact duplicates, missing magnetic forces.
    """
    listed = potential.system if systems is None else systems.serving(potential).of
    check = _Check(potential, configurations, Weights() if weights is None else weights, listed)
    report = Report()
    for index in range(len(configurations)):
        found = list(check.label(index))
        if not any(finding.fatal for finding in found):
            found += [*check.structure(index), *check.duplicate(index), *check.sizes(index)]
        report.findings += found
    if not report.fatal:
        report.findings += check.energy_units()
    if not report.fatal:
        report.findings += check.energies_apart()
    return report


FARTHEST_EV = 10.0
"""Energies per atom of one composition lie closer than this, whatever volume and moments: farther apart, one of them is
no state of that solid, as a ghost state of a pseudopotential, or of another program."""
FEWEST = 4
"""Labels of one composition of which one can stand out."""


class _Check:
    """The rules of a training set's check."""

    def __init__(
        self,
        potential: Potential,
        configurations: Sequence[Atoms],
        weights: Weights,
        listed: Callable[[Atoms], System],
    ) -> None:
        self._potential, self._weights, self._listed = potential, weights, listed
        self._configurations = configurations
        self._labels = [labels_of(atoms) for atoms in configurations]
        self._seen: dict[str, int] = {}

    def _finding(self, index: int, rule: str, text: str, fatal: bool, hint: str = "", other: int = -1) -> Finding:
        other_name = name_of(self._configurations[other]) if other >= 0 else ""
        return Finding(index, name_of(self._configurations[index]), rule, text, fatal, hint, other, other_name)

    def label(self, index: int) -> Iterator[Finding]:
        """Look at species, and at what the label holds and lacks."""
        atoms, labels = self._configurations[index], self._labels[index]
        unknown = sorted(set(atoms.get_chemical_symbols()) - set(self._potential.species))
        if unknown:
            known = ", ".join(self._potential.species)
            text = f"{', '.join(unknown)} is not among the potential's species {known}"
            yield self._finding(index, "species", text, True, "fit a potential with this species, or leave it out")
        yield from self._missing(index)
        for key, value in labels.items():
            if value.shape not in QUANTITIES[key].label_shapes(len(atoms)):
                yield self._finding(index, "shape", f"{key} of shape {value.shape} for {len(atoms)} atoms", True)
            elif not np.all(np.isfinite(value)):
                yield self._finding(index, "nan", f"{key} holds NaN or infinity", True, "repeat its label")
        if not (np.all(np.isfinite(atoms.positions)) and np.all(np.isfinite(np.array(atoms.cell)))):
            yield self._finding(index, "nan", "a position or the cell is not finite", True)

    def _missing(self, index: int) -> Iterator[Finding]:
        periodic = bool(np.all(self._configurations[index].pbc))
        for name, quantity in QUANTITIES.items():
            wanted = self._weights.of(name, 1) > 0 and quantity.applies(self._potential.magnetic, periodic)
            if not wanted or name in self._labels[index]:
                continue
            words = quantity.title.lower()
            if quantity.missing == "fatal":
                hint = f"label it, or set the weight of {words} to 0"
                yield self._finding(index, "missing", f"has no {words}", True, hint)
            elif quantity.missing == "warning":
                yield self._finding(index, "missing", f"has no {words}; {quantity.without}", False)

    def structure(self, index: int) -> Iterator[Finding]:
        """Look at distances and moments."""
        atoms, potential = self._configurations[index], self._potential
        try:
            system, moments = self._listed(atoms), moments_of(atoms)
        except InputError as error:
            yield self._finding(index, "distance", error.message, True, error.hint)
            return
        if not np.all(np.isfinite(moments)):
            yield self._finding(index, "nan", "a moment is not finite", True)
            return
        if potential.magnetic and ((moments > potential.max_moment) | (moments < potential.min_moment)).any():
            worst = int(np.argmax(np.abs(moments)))
            text = (
                f"the moment of atom {worst} is {moments[worst]:.3f} μB, beyond "
                f"the magnetic basis [{potential.min_moment:g}, {potential.max_moment:g}]"
            )
            hint = "choose a larger max_moment, or leave the configuration out"
            yield self._finding(index, "moments", text, True, hint)
        if potential.magnetic and not moments.any():
            yield self._finding(index, "moments", "all moments are zero", False)
        if system.closest < potential.r_min:
            text = (
                f"its shortest distance {system.closest:.3f} Å is below r_min = "
                f"{potential.r_min:g} Å, where the radial basis is extrapolated"
            )
            yield self._finding(index, "distance", text, False)

    def sizes(self, index: int) -> Iterator[Finding]:
        """Look for numbers that can hardly be what they say."""
        for key, value in self._labels[index].items():
            quantity = QUANTITIES[key]
            largest = float(np.max(np.abs(value), initial=0.0))
            if largest > quantity.largest:
                text = f"{key} of up to {largest:.4g} {quantity.label_unit} suggest another unit"
                yield self._finding(index, "units", text, True, f"{key} must be in {quantity.label_unit}")

    def duplicate(self, index: int) -> Iterator[Finding]:
        """Look for the same atoms and moments among those before."""
        atoms, digest = self._configurations[index], hashlib.blake2b(digest_size=16)
        for array in (
            atoms.numbers,
            atoms.positions.round(8),
            np.array(atoms.cell).round(8),
            moments_of(atoms).round(8),
        ):
            digest.update(np.ascontiguousarray(array + 0.0).tobytes())
        first = self._seen.setdefault(digest.hexdigest(), index)
        if first == index:
            return
        mine, its = (self._labels[k].get("energy") for k in (index, first))
        if mine is not None and its is not None and abs(mine - its) > 1e-3 * len(atoms):
            text = f"the same atoms and moments as {{other}}, with an energy that differs by {mine - its:.4g} eV"
            yield self._finding(index, "duplicate", text, True, "keep the label that is right", first)
        else:
            yield self._finding(index, "duplicate", "the same as {other}", False, "it counts twice", first)

    def energies_apart(self) -> Iterator[Finding]:
        """Compare each energy with the others of its composition: a ghost state lies tens of eV below."""
        groups: dict[Any, list[int]] = {}
        for k, labels in enumerate(self._labels):
            if "energy" in labels:
                groups.setdefault(_composition(self._configurations[k]), []).append(k)
        for rows in groups.values():
            per_atom = [float(self._labels[k]["energy"]) / len(self._configurations[k]) for k in rows]
            middle = float(np.median(per_atom))
            for k, energy in zip(rows, per_atom, strict=True):
                if len(rows) >= FEWEST and abs(energy - middle) > FARTHEST_EV:
                    text = (
                        f"{energy - middle:+.1f} eV per atom from the median of {len(rows)} labels of its composition: "
                        "one side is no state of that solid (a ghost state of a data set?)"
                    )
                    yield self._finding(k, "apart", text, True, "look at data sets and cut-off; leave it out")

    def energy_units(self) -> Iterator[Finding]:
        """Compare each energy with the others: a mixture of units stands out by a known ratio."""
        rows = [k for k, labels in enumerate(self._labels) if "energy" in labels]
        if len(rows) < 4:
            return
        per_atom = [float(self._labels[k]["energy"]) / len(self._configurations[k]) for k in rows]
        middle = float(np.median(per_atom))
        if abs(middle) < 1e-6:
            return
        for k, energy in zip(rows, per_atom, strict=True):
            unit = _unit(energy, middle)
            if unit:
                text = f"{energy:.4f} eV per atom where the others have {middle:.4f} suggests {unit}"
                yield self._finding(k, "units", text, True, "energies must be in eV")


def _composition(atoms: Atoms) -> tuple[tuple[str, float], ...]:
    symbols = Counter(atoms.get_chemical_symbols())
    return tuple((symbol, round(count / len(atoms), 6)) for symbol, count in sorted(symbols.items()))


def _unit(energy: float, middle: float) -> str | None:
    """Return in which unit an energy that is off seems to be."""
    for ratio, text in _RATIOS.items():
        odd = min(abs(energy * ratio / middle - 1.0), abs(energy / ratio / middle - 1.0))
        if ratio > 5 and odd < 0.05 and abs(energy / middle - 1.0) > 0.5:
            return text
    return None
