"""MLIP's cfg files.

Conventions: ``PlusStress`` and ``Virial`` are −σV in eV, in the order that the line names; ``magmom_x`` carries the
collinear moment; the columns ``en_der_mx`` hold −∂E/∂m, the magnetic force, in published files in spite of their name,
and ∂E/∂m in some others: the sign is detected on reading, and the published one is written. ``Feature`` lines are kept
in ``atoms.info["features"]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw import log
from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.collinear import collinear
from mmtp_fw.errors import InputError
from mmtp_fw.fitting.samples import labels_of
from mmtp_fw.potential import has_moments, moments_of

_LOG = log.logger(__name__)

DerivativeSign = Literal["detect", "force", "derivative"]

_VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
_LONGEST_A = 1e5
"""Longest vector of a cell that is no damage."""
_COLUMNS = frozenset(
    {
        "id", "type", "ghost", "site_en", "charge", "nbh_grads",
        *(f"{name}{axis}" for name in ("cartes_", "direct_", "f", "magmom_", "en_der_m") for axis in "xyz"),
    }
)  # fmt: skip
_BLOCKS = ("Size", "Supercell", "SuperCell", "AtomData", "Energy", "PlusStress", "Virial", "Feature")


def read_cfg(path: Path, species: Sequence[str] | None) -> Iterator[Atoms]:
    """Read the configurations of a file, numbered types named by `species`; raises InputError with file and line."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    start = None
    for number, line in enumerate(lines):
        word = line.strip()
        if word == "BEGIN_CFG":
            if start is not None:
                raise InputError(f"{path}, line {start + 1}: BEGIN_CFG without END_CFG", "damaged: a line is missing")
            start = number
        elif word == "END_CFG" and start is not None:
            yield _CfgBlock(path, lines, start, number).atoms(species)
            start = None
    if start is not None:
        raise InputError(f"{path}, line {start + 1}: BEGIN_CFG without END_CFG", "the file is cut off")


class _CfgBlock:
    """One configuration in a cfg file; what it lacks or holds wrongly is an error with its line."""

    def __init__(self, path: Path, lines: list[str], start: int, end: int) -> None:
        self._path, self._lines, self._start, self._end = path, lines, start, end

    def _error(self, line: int, message: str, hint: str = "") -> InputError:
        return InputError(f"{self._path}, line {line + 1}: {message}", hint)

    def _numbers(self, line: int, count: int, skip: int = 0) -> FloatArray:
        if line >= self._end:
            raise self._error(line, f"{count} numbers expected, found the end of the configuration")
        return self._parsed(line, self._lines[line].split()[skip:], count)

    def _parsed(self, line: int, words: list[str], count: int) -> FloatArray:
        try:
            values = np.array([float(word) for word in words])
        except ValueError as error:
            raise self._error(line, f"numbers expected, found {self._lines[line].strip()!r}") from error
        if len(values) != count:
            raise self._error(line, f"{count} numbers expected, found {len(values)}")
        if not np.all(np.isfinite(values)):
            raise self._error(line, "a number is not finite")
        return values

    def atoms(self, species: Sequence[str] | None) -> Atoms:
        """Parse the block."""
        size, cell, columns = 0, np.zeros((0, 3)), dict[str, FloatArray]()
        results: dict[str, Any] = {}
        features: dict[str, str] = {}
        line = self._start + 1
        while line < self._end:
            words = self._lines[line].split()
            word = words[0].rstrip(":") if words else ""
            if word == "Size":
                size, line = self._size(line)
            elif word in ("Supercell", "SuperCell"):
                cell, line = self._cell(line)
            elif word == "AtomData":
                columns = self._columns(line, size)
                line += size
            elif word == "Energy":
                values, line = self._values(line, 1)
                results["energy"] = float(values[0])
            elif word in ("PlusStress", "Virial"):
                results["stress"] = self._stress(line)
                line += 1
            elif word == "Feature":
                _, name, text = (*self._lines[line].split(None, 2), "", "")[:3]
                features[name] = f"{features[name]}\n{text.strip()}" if name in features else text.strip()
            elif word:
                raise self._error(line, f"'{self._lines[line].strip()[:40]}' is not understood", _known_blocks())
            line += 1
        return self._build(species, cell, columns, results, features)

    def _values(self, line: int, count: int) -> tuple[FloatArray, int]:
        """Return the numbers behind a word, in its line or the next one, and the line that holds them."""
        _, *inline = self._lines[line].split()
        line = line if inline else line + 1
        return self._numbers(line, count, skip=1 if inline else 0), line

    def _size(self, line: int) -> tuple[int, int]:
        values, at = self._values(line, 1)
        if values[0] < 1 or values[0] != int(values[0]):
            raise self._error(at, f"Size {values[0]:g} is no number of atoms")
        return int(values[0]), at

    def _cell(self, line: int) -> tuple[FloatArray, int]:
        last = line + 1
        while last < self._end and re.match(r"\s*[-+.\d]", self._lines[last]):
            last += 1
        if last - line - 1 > 3:
            raise self._error(line, f"Supercell has {last - line - 1} vectors")
        cell = np.array([self._numbers(k, 3) for k in range(line + 1, last)]).reshape(-1, 3)
        if cell.size and np.abs(cell).max() > _LONGEST_A:
            raise self._error(line, f"a cell of {np.abs(cell).max():.3g} Å", "damaged?")
        return cell, last - 1

    def _columns(self, line: int, size: int) -> dict[str, FloatArray]:
        """Return the columns of the atoms by name; a name that isn't understood is no column to leave out."""
        names = self._lines[line].replace(":", ": ", 1).split()[1:]
        unknown = sorted(set(names) - _COLUMNS)
        if unknown:
            hint = f"rename it or take it out of the file; known: {', '.join(sorted(_COLUMNS))}"
            raise self._error(line, f"unknown column {', '.join(unknown)}", hint)
        if len(set(names)) != len(names):
            raise self._error(line, "a column is there twice")
        if line + size >= self._end:
            raise self._error(line, f"fewer than {size} rows of atoms")
        ghost = names.index("ghost") if "ghost" in names else None
        rows = [self._row(line + 1 + k, len(names), ghost) for k in range(size)]
        if re.match(r"\s*[-+.\d]", self._lines[line + 1 + size]):
            raise self._error(line + 1 + size, f"more rows of atoms than Size {size}")
        return {name: column for name, column in zip(names, np.array(rows).T, strict=True) if name != "ghost"}

    def _row(self, line: int, count: int, ghost: int | None) -> FloatArray:
        if ghost is None:
            return self._numbers(line, count)
        words = self._lines[line].split()
        if len(words) == count and words[ghost] not in ("false", "0"):
            raise self._error(line, "a ghost atom", "it repeats an atom of the cell: write the configuration without")
        if len(words) == count:
            words[ghost] = "0"
        return self._parsed(line, words, count)

    def _stress(self, line: int) -> FloatArray:
        """Return −σV (eV) in Voigt's order; the line names its own."""
        names = self._lines[line].replace(":", ": ", 1).split()[1:] or list(_VOIGT)
        order = {"".join(sorted(name)): k for k, name in enumerate(names)}
        if set(order) != set(_VOIGT) or len(names) != len(_VOIGT):
            raise self._error(line, f"the stress is given as {' '.join(names)}", f"six of {' '.join(_VOIGT)}")
        values = self._numbers(line + 1, len(_VOIGT))
        return np.array([values[order[name]] for name in _VOIGT])

    def _build(
        self,
        species: Sequence[str] | None,
        cell: FloatArray,
        columns: dict[str, FloatArray],
        results: dict[str, Any],
        features: dict[str, str],
    ) -> Atoms:
        if not columns:
            raise self._error(self._start, "no atoms")
        types = self._types(columns)
        if species is None or types.max() >= len(species):
            hint = "name them in their order: --species Fe,Pd (in Python: species=['Fe', 'Pd'])"
            raise self._error(self._start, f"types up to {types.max()} have no names", hint)
        atoms = self._crystal([species[t] for t in types], cell, columns)
        if {"fx", "fy", "fz"} <= set(columns):
            results["forces"] = np.stack([columns["fx"], columns["fy"], columns["fz"]], axis=1)
        virial = results.pop("stress", None)
        if virial is not None and atoms.cell.rank == 3:
            results["stress"] = -virial / atoms.get_volume()
        self._magnetism(atoms, columns, results)
        if features:
            atoms.info["features"] = features
        if {"energy", "forces"} & set(results):
            atoms.calc = SinglePointCalculator(atoms, **results)
        elif "magmoms" in results:
            atoms.set_initial_magnetic_moments(results["magmoms"])
        return atoms

    def _crystal(self, symbols: list[str], cell: FloatArray, columns: dict[str, FloatArray]) -> Atoms:
        """Return the atoms at their positions; as many directions are periodic as the cell has vectors."""
        direct = "direct_x" in columns
        names = [f"{'direct' if direct else 'cartes'}_{axis}" for axis in "xyz"]
        if not set(names) <= set(columns):
            raise self._error(self._start, "no positions (cartes_x … or direct_x …)")
        positions = np.stack([columns[name] for name in names], axis=1)
        full = np.zeros((3, 3))
        full[: len(cell)] = cell
        atoms = Atoms(symbols, positions, cell=full, pbc=[k < len(cell) for k in range(3)])
        if direct:
            atoms.set_scaled_positions(positions)
        return atoms

    def _types(self, columns: dict[str, FloatArray]) -> IntArray:
        """Return the types of the atoms; without their column all are the first, as MLIP has it."""
        given = columns.get("type", np.zeros(len(next(iter(columns.values())))))
        if np.any(given < 0) or np.any(given != given.astype(int)):
            raise self._error(self._start, "a type is no whole number from 0 on")
        return given.astype(int)

    def _magnetism(self, atoms: Atoms, columns: dict[str, FloatArray], results: dict[str, Any]) -> None:
        moments, forces = _vectors(columns, "magmom_"), _vectors(columns, "en_der_m")
        if moments is not None:
            results["magmoms"], axis = collinear(moments, f"{self._path}, line {self._start + 1}")
            if forces is not None:
                atoms.set_array("magnetic_forces", forces @ axis)
        elif forces is not None:
            raise self._error(self._start, "en_der_m without magmom: of which moments?")


def _known_blocks() -> str:
    return f"one of {', '.join(_BLOCKS)}"


def _vectors(columns: dict[str, FloatArray], prefix: str) -> FloatArray | None:
    """Return the columns x, y, z of a prefix as vectors, zero where one is not there; None where none is."""
    found = [columns.get(f"{prefix}{axis}") for axis in "xyz"]
    there = [column for column in found if column is not None]
    return np.stack([np.zeros_like(there[0]) if c is None else c for c in found], axis=1) if there else None


def derivative_sign(configurations: Sequence[Atoms]) -> float:
    """Return +1 where ``magnetic_forces`` are −∂E/∂m, −1 where they are ∂E/∂m.

    A magnetic force restores: towards larger |m| it turns against the moment. So, atom by atom of a species,
    the column times sign(m) falls with |m| if it holds −∂E/∂m. Undecided files count as +1, the published
    convention.
    """
    slope = 0.0
    columns: dict[str, list[tuple[float, float]]] = {}
    for atoms in configurations:
        if "magnetic_forces" not in atoms.arrays:
            continue
        for symbol, m, t in zip(atoms.symbols, moments_of(atoms), atoms.arrays["magnetic_forces"], strict=True):
            if m != 0:
                columns.setdefault(symbol, []).append((abs(m), np.sign(m) * t))
    for pairs in columns.values():
        x, y = np.array(pairs).T
        if len(x) > 2 and np.std(x) > 1e-6 and np.std(y) > 1e-12:
            # Weighted by how much each species tells: correlation times √count.
            slope += float(np.corrcoef(x, y)[0, 1]) * np.sqrt(len(x))
    return -1.0 if slope > 1.0 else 1.0


def set_magnetic_forces(configurations: Sequence[Atoms], meaning: DerivativeSign) -> None:
    """Turn ``magnetic_forces`` into −∂E/∂m, in place, where they were read as ∂E/∂m."""
    signs = {"force": 1.0, "derivative": -1.0}
    sign = signs[meaning] if meaning in signs else derivative_sign(configurations)
    if meaning == "detect" and sign < 0:
        _LOG.warning(
            "en_der_m taken as ∂E/∂m, because it grows with |m|; if the file holds −∂E/∂m say so: "
            "--magnetic-derivatives force (in Python magnetic_derivatives='force')"
        )
    for atoms in configurations:
        if sign < 0 and "magnetic_forces" in atoms.arrays:
            atoms.arrays["magnetic_forces"] *= -1.0


def cfg_text(atoms: Atoms, species: list[str]) -> str:
    """Return a configuration with its labels as a block of a file."""
    unknown = sorted(set(atoms.symbols) - set(species))
    if unknown:
        raise InputError(f"{', '.join(unknown)} is not among the species {', '.join(species)}")
    labels = labels_of(atoms)
    moments = moments_of(atoms)
    names = ["id", "type", "cartes_x", "cartes_y", "cartes_z"]
    columns = [*atoms.positions.T]
    if "forces" in labels:
        names += ["fx", "fy", "fz"]
        columns += [*np.asarray(labels["forces"]).T]
    if has_moments(atoms) or "magnetic_forces" in labels:
        names += ["magmom_x", "magmom_y", "magmom_z"]
        columns += [moments, np.zeros(len(atoms)), np.zeros(len(atoms))]
    if "magnetic_forces" in labels:
        names += ["en_der_mx", "en_der_my", "en_der_mz"]
        columns += [np.asarray(labels["magnetic_forces"]), np.zeros(len(atoms)), np.zeros(len(atoms))]
    lines = ["BEGIN_CFG", " Size", f"    {len(atoms)}"]
    periodic = np.array(atoms.cell)[np.asarray(atoms.pbc)]
    if len(periodic):
        lines += [" Supercell", *(f"    {_digits(vector)}" for vector in periodic)]
    lines.append(f" AtomData:  {' '.join(names)}")
    for k, symbol in enumerate(atoms.symbols):
        lines.append(f"    {k + 1} {species.index(symbol)} {_digits([column[k] for column in columns])}")
    if "energy" in labels:
        lines += [" Energy", f"    {_digits([labels['energy']])}"]
    if "stress" in labels and atoms.cell.rank == 3:
        virial = -np.asarray(labels["stress"]) * atoms.get_volume()
        lines += [" PlusStress:  xx yy zz yz xz xy", f"    {_digits(virial)}"]
    for key, value in atoms.info.get("features", {}).items():
        lines += [f" Feature   {key}\t{line}" for line in str(value).split("\n")]
    return "\n".join([*lines, "END_CFG", ""])


def _digits(values: Any) -> str:
    return " ".join(f"{float(value):.17g}" for value in values)
