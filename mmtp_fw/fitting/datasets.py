"""Training sets as files: extended XYZ and MLIP's cfg.

cfg conventions: ``PlusStress`` is −σV in eV (xx yy zz yz xz xy); ``magmom_x`` carries the collinear moment;
the columns ``en_der_mx`` hold −∂E/∂m, the magnetic force, in published files in spite of their name, and
∂E/∂m in some others: the sign is detected on reading, and the published one is written. ``Feature`` lines
are kept in ``atoms.info["features"]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from mmtp_fw.arrays import FloatArray
from mmtp_fw.collinear import collinear
from mmtp_fw.errors import InputError
from mmtp_fw.files import replacing
from mmtp_fw.fitting.samples import labels_of
from mmtp_fw.potential import moments_of
from mmtp_fw.quantities import RESULTS
from mmtp_fw.vaspio import is_vasp_output, read_vasp_output

Format = Literal["extxyz", "cfg"]
DerivativeSign = Literal["detect", "force", "derivative"]


def read_configurations(
    path: str | Path,
    species: Sequence[str] | None = None,
    magnetic_derivatives: DerivativeSign = "detect",
) -> list[Atoms]:
    """Read a file of configurations, labelled or not.

    Parameters
    ----------
    path : str or Path
        Extended XYZ; MLIP cfg, VASP's OUTCAR or vasprun.xml (recognised by their content); any other format that
        ASE reads.
    species : sequence of str, optional
        Names of the types 0, 1, …; needed with cfg.
    magnetic_derivatives : {"detect", "force", "derivative"}
        What ``en_der_m`` columns hold: −∂E/∂m, ∂E/∂m, or find out.

    Returns
    -------
    list of Atoms
        Labels as single-point calculators, magnetic forces as ``arrays["magnetic_forces"]`` (eV/μB).

    Raises
    ------
    InputError
        Naming file and line, or file and configuration.
    """
    path = Path(path)
    if magnetic_derivatives not in get_args(DerivativeSign):
        known = ", ".join(get_args(DerivativeSign))
        raise InputError(f"unknown meaning of magnetic derivatives '{magnetic_derivatives}'", f"one of {known}")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}", "check the path") from error
    if re.search(rb"^\s*BEGIN_CFG", head, flags=re.MULTILINE):
        found = list(_read_cfg(path, species))
        _set_magnetic_forces(found, magnetic_derivatives)
        return found
    if is_vasp_output(path):
        return read_vasp_output(path)
    try:
        read_in = read(path, index=":", format="extxyz" if path.suffix in {".xyz", ".extxyz"} else None)
    except Exception as error:
        raise InputError(f"{path}: can't be read as configurations: {error}", "extended XYZ or MLIP cfg") from error
    found = [read_in] if isinstance(read_in, Atoms) else read_in
    if not found:
        raise InputError(f"{path}: holds no configuration")
    for index, atoms in enumerate(found):
        _adopt_moments(atoms, f"{path}: configuration {index}")
    return found


def write_configurations(
    path: str | Path,
    configurations: Sequence[Atoms],
    format: Format = "extxyz",
    species: Sequence[str] | None = None,
) -> None:
    """Write configurations with their labels, complete or not at all.

    Parameters
    ----------
    path : str or Path
    configurations : sequence of Atoms
    format : {"extxyz", "cfg"}
        extxyz keeps eight decimals; cfg all digits.
    species : sequence of str, optional
        Order of the types in cfg; by default alphabetic.

    Raises
    ------
    InputError
        Unknown format, a species that isn't in the list, a file that can't be written.
    """
    path = Path(path)
    if format not in ("extxyz", "cfg"):
        raise InputError(f"unknown format {format!r}", "extxyz or cfg")
    try:
        with replacing(path) as partial:
            if format == "extxyz":
                write(partial, [_plain(atoms) for atoms in configurations], format="extxyz")
            else:
                names = sorted({s for atoms in configurations for s in atoms.symbols}) if species is None else species
                text = "\n".join(_cfg_text(atoms, list(names)) for atoms in configurations)
                partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: can't be written: {error.strerror}") from error


# Extended XYZ -----------------------------------------------------------------------------------------------


def _adopt_moments(atoms: Atoms, name: str) -> None:
    """Take labelled moments from the column that holds them, along their common axis, and the energy of the forces."""
    arrays = atoms.arrays
    results = dict(getattr(atoms.calc, "results", {}) or {})
    for key in ("magmoms", "magnetic_moments"):
        if key in arrays and "magmoms" not in results:
            results["magmoms"] = arrays.pop(key)
    if "magmoms" in results and np.ndim(results["magmoms"]) == 2:
        results["magmoms"], axis = collinear(results["magmoms"], name)
        if "magnetic_forces" in arrays and np.ndim(arrays["magnetic_forces"]) == 2:
            atoms.arrays["magnetic_forces"] = arrays["magnetic_forces"] @ axis
    if "initial_magmoms" in arrays and np.ndim(arrays["initial_magmoms"]) == 2:
        atoms.arrays["initial_magmoms"] = collinear(arrays["initial_magmoms"], name)[0]
    if "free_energy" in results:
        results["energy"] = results["free_energy"]  # what forces are the derivative of; `energy` may be σ → 0
    if results and ("energy" in results or "forces" in results):
        atoms.calc = SinglePointCalculator(atoms, **results)
        if "magmoms" not in results and "initial_magmoms" in arrays:
            atoms.calc.results["magmoms"] = arrays["initial_magmoms"].copy()
    elif "magmoms" in results:
        atoms.calc = None
        atoms.set_initial_magnetic_moments(results["magmoms"])


def _plain(atoms: Atoms) -> Atoms:
    """Return a copy whose info holds only what a comment line can carry."""
    copy: Atoms = atoms.copy()
    plain = (str, int, float, bool, np.integer, np.floating, np.bool_)  # numpy's: what a file was read into
    copy.info = {k: v for k, v in atoms.info.items() if isinstance(v, plain)}
    if atoms.calc is not None:
        results = {k: v for k, v in atoms.calc.results.items() if k in RESULTS}
        copy.calc = SinglePointCalculator(copy, **results)
    return copy


# MLIP cfg -----------------------------------------------------------------------------------------------


def _read_cfg(path: Path, species: Sequence[str] | None) -> Iterator[Atoms]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    start = None
    for number, line in enumerate(lines):
        word = line.strip()
        if word == "BEGIN_CFG":
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

    def _numbers(self, line: int, count: int | None = None) -> FloatArray:
        try:
            values = np.array([float(word) for word in self._lines[line].split()])
        except (ValueError, IndexError) as error:
            raise self._error(line, f"numbers expected, found {self._lines[line].strip()!r}") from error
        if count is not None and len(values) != count:
            raise self._error(line, f"{count} numbers expected, found {len(values)}")
        return values

    def atoms(self, species: Sequence[str] | None) -> Atoms:
        """Parse the block."""
        size, cell, columns, rows = 0, np.zeros((0, 3)), [], np.zeros((0, 0))
        results: dict[str, Any] = {}
        features: dict[str, str] = {}
        line = self._start + 1
        while line < self._end:
            word = self._lines[line].strip()
            if word == "Size":
                size = int(self._numbers(line + 1, 1)[0])
            elif word in ("Supercell", "SuperCell"):
                last = line + 1
                while last < self._end and re.match(r"\s*[-+.\d]", self._lines[last]):
                    last += 1
                cell = np.array([self._numbers(k, 3) for k in range(line + 1, last)]).reshape(-1, 3)
            elif word.startswith("AtomData"):
                columns = word.split(":", 1)[1].split()
                if line + size >= self._end:
                    raise self._error(line, f"fewer than {size} rows of atoms")
                rows = np.array([self._numbers(line + 1 + k, len(columns)) for k in range(size)])
                line += size
            elif word == "Energy":
                results["energy"] = float(self._numbers(line + 1, 1)[0])
            elif word.startswith("PlusStress"):
                results["stress"] = self._numbers(line + 1, 6)
            elif word.startswith("Feature"):
                parts = word.split(None, 2)
                features[parts[1]] = parts[2] if len(parts) > 2 else ""
            line += 1
        return self._build(species, cell, dict(zip(columns, rows.T, strict=True)), results, features)

    def _build(
        self,
        species: Sequence[str] | None,
        cell: FloatArray,
        columns: dict[str, FloatArray],
        results: dict[str, Any],
        features: dict[str, str],
    ) -> Atoms:
        if "type" not in columns:
            raise self._error(self._start, "no atoms, or no column 'type'")
        types = columns["type"].astype(int)
        if species is None or types.max() >= len(species):
            raise self._error(
                self._start, f"types up to {types.max()} have no names", "name them: species=['Fe', 'Pd']"
            )
        direct = "direct_x" in columns
        names = [f"{'direct' if direct else 'cartes'}_{axis}" for axis in "xyz"]
        if not set(names) <= set(columns):
            raise self._error(self._start, "no positions (cartes_x … or direct_x …)")
        positions = np.stack([columns[name] for name in names], axis=1)
        full = np.zeros((3, 3))
        full[: len(cell)] = cell
        atoms = Atoms([species[t] for t in types], positions, cell=full, pbc=[k < len(cell) for k in range(3)])
        if direct:
            atoms.set_scaled_positions(positions)
        if {"fx", "fy", "fz"} <= set(columns):
            results["forces"] = np.stack([columns["fx"], columns["fy"], columns["fz"]], axis=1)
        if "stress" in results:
            if atoms.cell.rank == 3:
                results["stress"] = -results["stress"] / atoms.get_volume()
            else:
                del results["stress"]
        self._magnetism(atoms, columns, results)
        if features:
            atoms.info["features"] = features
        if {"energy", "forces"} & set(results):
            atoms.calc = SinglePointCalculator(atoms, **results)
        elif "magmoms" in results:
            atoms.set_initial_magnetic_moments(results["magmoms"])
        return atoms

    def _magnetism(self, atoms: Atoms, columns: dict[str, FloatArray], results: dict[str, Any]) -> None:
        moments, forces = _vectors(columns, "magmom_"), _vectors(columns, "en_der_m")
        if moments is not None:
            results["magmoms"], axis = collinear(moments, f"{self._path}, line {self._start + 1}")
            if forces is not None:
                atoms.set_array("magnetic_forces", forces @ axis)
        elif forces is not None:
            raise self._error(self._start, "en_der_m without magmom: of which moments?")


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


def _set_magnetic_forces(configurations: Sequence[Atoms], meaning: DerivativeSign) -> None:
    signs = {"force": 1.0, "derivative": -1.0}
    sign = signs[meaning] if meaning in signs else derivative_sign(configurations)
    for atoms in configurations:
        if sign < 0 and "magnetic_forces" in atoms.arrays:
            atoms.arrays["magnetic_forces"] *= -1.0


def _cfg_text(atoms: Atoms, species: list[str]) -> str:
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
    if moments.any() or "magnetic_forces" in labels:
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
        lines.append(f" Feature   {key}\t{value}")
    return "\n".join([*lines, "END_CFG", ""])


def _digits(values: Any) -> str:
    return " ".join(f"{float(value):.17g}" for value in values)
