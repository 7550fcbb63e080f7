"""What others call energy, forces, stress, moments and magnetic forces in extended XYZ and LAMMPS dumps.

MACE: ``REF_energy``, ``REF_forces``, ``REF_stress``, ``REF_magmom``, ``REF_magforces``. GPUMD and spin NEP: ``force``,
``virial`` (−σV in eV), ``spin`` or ``magnetic_moment``, ``mforce`` or ``magnetic_force`` (−∂E/∂m). LAMMPS: the column
``d_mag`` of a dump, which `pair_style mmtp` reads and writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from mmtp_fw.errors import InputError

SAME = 1e-6
"""Values of one quantity under two names differ by less, absolutely and relatively: digits are cut."""
_OF_CELLS = {
    "energy": ("REF_energy", "Energy"),
    "stress": ("REF_stress",),
    "virial": ("virial", "Virial", "REF_virial"),
}
_OF_ATOMS = {
    "forces": ("REF_forces", "force"),
    "magmoms": ("REF_magmom", "REF_magmoms", "magnetic_moment", "spin", "magmom"),
    "magnetic_forces": ("REF_magforces", "mforce", "magnetic_force", "mag_forces", "magforces"),
}


def adopt_keys(atoms: Atoms, name: str) -> None:
    """Give what a file calls otherwise its name here, in place.

    Raises
    ------
    InputError
        One quantity is there under two names with two values.
    """
    results: dict[str, Any] = dict(getattr(atoms.calc, "results", {}) or {})
    found = _taken(atoms.info, _OF_CELLS, name) | _taken(atoms.arrays, _OF_ATOMS, name)
    if np.ndim(results.get("magmom", 0.0)):  # ASE's name of the sum, for a column of atoms
        found.setdefault("magmoms", ("magmom", results.pop("magmom")))
    _as_stress(atoms, found, name)
    for quantity, (other, value) in found.items():
        place = atoms.arrays if quantity == "magnetic_forces" else results
        if quantity in place:
            _agree(name, (quantity, place[quantity]), (other, value))
        place.setdefault(quantity, np.asarray(value, dtype=float) if np.ndim(value) else value)
    if not found:
        return
    if {"energy", "forces"} & set(results):
        atoms.calc = SinglePointCalculator(atoms, **results)
    elif "magmoms" in results:
        atoms.set_array("magmoms", results["magmoms"])


def _as_stress(atoms: Atoms, found: dict[str, tuple[str, Any]], where: str) -> None:
    """Make a stress in Voigt's order (eV/Å³) of what says it; a virial of what has no volume says nothing."""
    virial = found.pop("virial", None)
    if "stress" in found:
        found["stress"] = found["stress"][0], full_3x3_to_voigt_6_stress(_tensor(found["stress"][1]))
    if virial is not None and atoms.cell.rank == 3:
        made = virial[0], full_3x3_to_voigt_6_stress(-_tensor(virial[1]) / atoms.get_volume())
        _agree(where, found.setdefault("stress", made), made)


def _taken(place: dict[str, Any], names: Mapping[str, tuple[str, ...]], where: str) -> dict[str, tuple[str, Any]]:
    """Take out what is there under other names; return each quantity with its name there."""
    found: dict[str, tuple[str, Any]] = {}
    for quantity, others in names.items():
        for other in (other for other in others if other in place):
            taken = other, place.pop(other)
            _agree(where, found.setdefault(quantity, taken), taken)
    return found


def _agree(where: str, one: tuple[str, Any], other: tuple[str, Any]) -> None:
    """Refuse two values of one quantity: files for several readers hold it under several names, but once."""
    left, right = (np.asarray(value, dtype=float) for _, value in (one, other))
    if left.shape != right.shape or not np.allclose(left, right, rtol=SAME, atol=SAME, equal_nan=True):
        raise InputError(
            f"{where}: {one[0]} and {other[0]} are both there, and differ", "take one of them out of the file"
        )


def _tensor(values: Any) -> Any:
    """Return a stress as a 3x3 matrix, from nine numbers or from Voigt's six."""
    given = np.asarray(values, dtype=float)
    if given.size == 6:
        xx, yy, zz, yz, xz, xy = given.ravel()
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return given.reshape(3, 3)


def adopt_lammps_moments(head: bytes, path: Path, found: Sequence[Atoms]) -> None:
    """Give the configurations of a LAMMPS dump the moments of its column ``d_mag``, which ASE leaves out.

    Raises
    ------
    InputError
        Numbers of atoms that disagree.
    """
    if not head.lstrip().startswith(b"ITEM:"):
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("ITEM: ATOMS")]
    if len(starts) != len(found):
        raise InputError(f"{path}: {len(starts)} blocks of atoms, {len(found)} configurations", "damaged?")
    for start, atoms in zip(starts, found, strict=True):
        names = lines[start].split()[2:]
        if "d_mag" not in names:
            continue
        rows = [line.split() for line in lines[start + 1 : start + 1 + len(atoms)]]
        try:
            moments = np.array([float(row[names.index("d_mag")]) for row in rows])
            order = np.argsort([int(row[names.index("id")]) for row in rows]) if "id" in names else slice(None)
        except (ValueError, IndexError) as error:
            raise InputError(f"{path}, line {start + 1}: rows that don't hold the columns", "damaged?") from error
        atoms.arrays.pop("d_mag", None)  # newer versions of ASE keep it, as a column without meaning
        atoms.set_initial_magnetic_moments(moments[order])
