"""What others call energy, forces, stress, moments and magnetic forces in extended XYZ and LAMMPS dumps.

MACE: ``REF_energy``, ``REF_forces``, ``REF_stress``, ``REF_magmom``, ``REF_magforces``. GPUMD and spin NEP: ``force``,
``virial`` (−σV in eV), ``spin`` or ``magnetic_moment``, ``mforce`` or ``magnetic_force`` (−∂E/∂m). LAMMPS: the column
``d_mag`` of a dump, which `pair_style mmtp` reads and writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from mmtp_fw.errors import InputError

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
        One quantity is there under two names.
    """
    results: dict[str, Any] = dict(getattr(atoms.calc, "results", {}) or {})
    found = _taken(atoms.info, _OF_CELLS, name) | _taken(atoms.arrays, _OF_ATOMS, name)
    if np.ndim(results.get("magmom", 0.0)):  # ASE's name of the sum, for a column of atoms
        found.setdefault("magmoms", results.pop("magmom"))
    if not found:
        return
    magnetic_forces = found.pop("magnetic_forces", None)
    if magnetic_forces is not None and "magnetic_forces" not in atoms.arrays:
        atoms.set_array("magnetic_forces", np.asarray(magnetic_forces, dtype=float))
    virial = found.pop("virial", None)
    if virial is not None and atoms.cell.rank == 3:
        found.setdefault("stress", -_tensor(virial) / atoms.get_volume())
    if "stress" in found:
        found["stress"] = full_3x3_to_voigt_6_stress(_tensor(found["stress"]))
    known = {"energy", "forces"} & set(results | found)
    results = found | results
    if known:
        atoms.calc = SinglePointCalculator(atoms, **results)
    elif "magmoms" in results:
        atoms.set_array("magmoms", np.asarray(results["magmoms"], dtype=float))


def _taken(place: dict[str, Any], names: dict[str, tuple[str, ...]], where: str) -> dict[str, Any]:
    found = {}
    for quantity, others in names.items():
        there = [other for other in others if other in place]
        if len(there) > 1:
            raise InputError(f"{where}: {' and '.join(there)} are both there", "take one of them out of the file")
        if there:
            found[quantity] = place.pop(there[0])
    return found


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
