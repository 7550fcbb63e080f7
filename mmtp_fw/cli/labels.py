"""Labelled configurations in files: extended XYZ and MLIP's cfg."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmtp_fw.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from mmtp_fw.database import Database

_RESULTS = ("energy", "forces", "stress", "magmoms")


def labels_of(database: Database, training_set: str | None) -> list[Atoms]:
    """Return the labels of a training set, in the order of their keys."""
    from mmtp_fw.dft.stages import Label

    document = database.training_sets.find_one({"_id": training_set})
    if document is None:
        raise InputError("this potential has no training set in the database")
    keys = sorted({*document["calculations"], *document["validation"]})
    found = database.calculations.find({"_id": {"$in": keys}, "label": {"$ne": None}}, {"label": 1}).sort(
        "_id", 1
    )
    return [Label.model_validate(item["label"]).to_atoms() for item in found]


def read_labels(path: Path) -> list[Atoms]:
    """Read configurations from any file that ASE reads, by custom extended XYZ.

    Raises
    ------
    InputError
        The file is missing, empty or not understood.
    """
    from ase.io import read

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        found = read(path, index=":")
    except Exception as error:  # ASE's readers raise whatever they stumble over
        raise InputError(
            f"{path}: can't be read: {type(error).__name__}: {error}", "extended XYZ is read best"
        ) from error
    configurations = list(found) if isinstance(found, list) else [found]
    if not configurations:
        raise InputError(f"{path}: holds no configuration")
    return configurations


def write_labels(path: Path, labels: Sequence[Atoms], species: Sequence[str]) -> None:
    """Write labelled configurations as the file's ending says.

    Raises
    ------
    InputError
        Another ending than .xyz, .extxyz or .cfg, or a path that can't be written.
    """
    try:
        if path.suffix in (".xyz", ".extxyz"):
            from ase.io import write

            write(path, list(labels), format="extxyz", write_results=True)
        elif path.suffix == ".cfg":
            path.write_text("".join(cfg(atoms, species) for atoms in labels), encoding="utf-8")
        else:
            raise InputError(f"{path}: unknown kind of file", "end it with .xyz or .cfg")
    except OSError as error:
        raise InputError(f"{path}: can't be written: {error.strerror}") from error


def cfg(atoms: Atoms, species: Sequence[str]) -> str:
    """Return one configuration in MLIP's cfg format.

    PlusStress is −σV in eV; the column ``en_der_mx`` holds the magnetic force −∂E/∂m, as published files do.
    """
    kinds = {symbol: number for number, symbol in enumerate(species)}
    results = {name: atoms.calc.results.get(name) for name in _RESULTS}
    columns = ["id", "type", "cartes_x", "cartes_y", "cartes_z"]
    parts = [np.arange(1, len(atoms) + 1), [kinds[s] for s in atoms.symbols], *atoms.positions.T]
    for names, array in (
        (("fx", "fy", "fz"), results["forces"]),
        (("magmom_x",), results["magmoms"]),
        (("en_der_mx",), atoms.arrays.get("magnetic_forces")),
    ):
        if array is not None:
            columns += names
            parts += list(np.reshape(array, (len(atoms), -1)).T)
    lines = ["BEGIN_CFG", " Size", f"    {len(atoms)}", " Supercell"]
    lines += ["    " + " ".join(f"{x:.12f}" for x in row) for row in np.array(atoms.cell)]
    lines.append(" AtomData:  " + " ".join(columns))
    for row in zip(*parts, strict=True):
        lines.append("    " + " ".join([f"{row[0]:d} {row[1]:d}", *(f"{x:.12f}" for x in row[2:])]))
    if results["energy"] is not None:
        lines += [" Energy", f"    {results['energy']:.12f}"]
    if results["stress"] is not None:
        plus = -np.asarray(results["stress"]) * atoms.get_volume()
        lines += [" PlusStress:  xx yy zz yz xz xy", "    " + " ".join(f"{x:.12f}" for x in plus)]
    return "\n".join([*lines, "END_CFG", "", ""])
