"""Configurations as documents, without losing a bit, and their content hash."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.plain import plain
from mmtp_fw.quantities import ARRAYS, RESULTS

HASH_RULE = "blake2b-16 of sorted (Z, wrapped fraction 1e-7, moment 1e-6 μB), cell 1e-7 Å, pbc; v1"


def to_document(atoms: Atoms) -> dict[str, Any]:
    """Return a configuration as plain data.

    Parameters
    ----------
    atoms : Atoms
        Positions, cell, species, initial moments; results of a calculator and magnetic forces where they are.

    Returns
    -------
    dict
        `from_document` gives the same numbers back, bit for bit.
    """
    document: dict[str, Any] = {
        "numbers": atoms.get_atomic_numbers().tolist(),
        "positions": atoms.get_positions().tolist(),
        "cell": np.array(atoms.cell).tolist(),
        "pbc": [bool(p) for p in atoms.pbc],
        "moments": [float(m) for m in atoms.get_initial_magnetic_moments()],
    }
    results = getattr(atoms.calc, "results", {}) if atoms.calc is not None else {}
    kept = {name: np.asarray(results[name]).tolist() for name in RESULTS if results.get(name) is not None}
    if kept:
        document["results"] = kept
    document |= {name: atoms.arrays[name].tolist() for name in ARRAYS if name in atoms.arrays}
    info = {key: plain(value) for key, value in atoms.info.items()}
    if info:
        document["info"] = info
    return document


def from_document(document: dict[str, Any]) -> Atoms:
    """Return the configuration of a document; see `to_document`."""
    atoms = Atoms(document["numbers"], positions=document["positions"], cell=document["cell"], pbc=document["pbc"])
    atoms.set_initial_magnetic_moments(document["moments"])
    atoms.info.update(document.get("info", {}))
    for name in ARRAYS:
        if name in document:
            atoms.arrays[name] = np.array(document[name], dtype=float)
    if "results" in document:
        results = {
            name: value if name == "energy" else np.array(value, dtype=float)
            for name, value in document["results"].items()
        }
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def content_hash(atoms: Atoms) -> str:
    """Return a digest that tells configurations apart and knows the same one again.

    Equal for permuted atoms and for atoms moved by lattice vectors; different for another cell, rotation,
    strain, displacement or target moment beyond the rounding of `HASH_RULE`.
    """
    cell = np.array(atoms.cell)
    positions = atoms.get_positions()
    if atoms.cell.rank == 3:
        fractions = positions @ np.linalg.inv(cell)
        fractions = np.where(atoms.pbc, np.round(fractions % 1.0, 7) % 1.0, np.round(fractions, 7))
    else:
        fractions = np.round(positions, 7)
    rows = np.column_stack([atoms.get_atomic_numbers(), fractions, np.round(atoms.get_initial_magnetic_moments(), 6)])
    rows = rows[np.lexsort(rows.T[::-1])] + 0.0  # no negative zeros
    digest = hashlib.blake2b(digest_size=16)
    for part in (rows, np.round(cell, 7) + 0.0, np.asarray(atoms.pbc, dtype=float)):
        digest.update(np.ascontiguousarray(part, dtype="<f8").tobytes())
    return digest.hexdigest()
