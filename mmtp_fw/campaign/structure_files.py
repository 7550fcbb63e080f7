"""Structure files that a campaign names: read once, where the campaign is read, and kept with its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mmtp_fw.collinear import collinear
from mmtp_fw.errors import InputError


def with_atoms(settings: dict[str, Any], folder: Path, source: str) -> dict[str, Any]:
    """Return settings in which every phase that names a file has its atoms.

    Parameters
    ----------
    settings : dict
        Of a campaign, not checked yet.
    folder : Path
        Where relative names begin.
    source : str
        The campaign's file, for messages.

    Raises
    ------
    InputError
        A file is missing, is no structure, or holds something that no phase can be made from.
    """
    system = settings.get("system")
    if not isinstance(system, Mapping) or not isinstance(phases := system.get("phases"), list):
        return settings
    read = [_read(phase, number, folder, source) for number, phase in enumerate(phases)]
    return {**settings, "system": {**system, "phases": read}}


def _read(phase: Any, number: int, folder: Path, source: str) -> Any:
    if not isinstance(phase, Mapping) or not isinstance(phase.get("file"), str):
        return phase
    place = f"{source}: system.phases.{number}.file"
    if "atoms" in phase:
        raise InputError(f"{place}: atoms are given beside it", "give one of file and atoms")
    return {**phase, "atoms": atoms_of_file(folder / phase["file"], place)}


def atoms_of_file(path: Path, place: str) -> dict[str, Any]:
    """Return the atoms of a structure file as plain data; see `mmtp_fw.campaign.system.AtomsSettings`.

    Parameters
    ----------
    path : Path
        POSCAR, CIF, extended XYZ, or what else ASE reads; of several frames the last.
    place : str
        What messages begin with.
    """
    if not path.is_file():
        raise InputError(f"{place}: there is no file {path}", "give its path from the folder of the campaign's file")
    atoms = _by_ase(path, place)
    cell = np.asarray(atoms.cell)
    if abs(np.linalg.det(cell)) < 1e-3:
        raise InputError(
            f"{place}: {path} has no three-dimensional cell", "give a periodic cell; a slab needs its vacuum in it"
        )
    if "occupancy" in atoms.info and any(
        abs(sum(site.values()) - 1) > 1e-6 or len(site) > 1 for site in atoms.info["occupancy"].values()
    ):
        raise InputError(
            f"{place}: {path} has sites that are partly occupied",
            "give one arrangement of the species, or a lattice with compositions",
        )
    return {
        "symbols": list(atoms.get_chemical_symbols()),
        "cell_A": cell.tolist(),
        "fractions": atoms.get_scaled_positions().tolist(),
        "moments_muB": _moments(atoms, path, place),
    }


def _by_ase(path: Path, place: str) -> Atoms:
    from ase.io import read

    try:
        atoms = read(path)
    except Exception as error:  # whatever a format's reader raises, the file is what it can't read
        raise InputError(
            f"{place}: {path} can't be read: {error or type(error).__name__}", "give a POSCAR, CIF or extended XYZ file"
        ) from error
    assert isinstance(atoms, Atoms), "of one frame"
    return atoms


def _moments(atoms: Atoms, path: Path, place: str) -> list[float] | None:
    names = [name for name in ("initial_magmoms", "magmoms", "magmom", "magnetic_moments") if name in atoms.arrays]
    if names:
        found = np.asarray(atoms.arrays[names[0]], dtype=float)
    elif atoms.calc is not None and "magmoms" in atoms.calc.results:
        found = np.asarray(atoms.calc.results["magmoms"], dtype=float)
    else:
        return None
    if found.ndim == 2:
        found, _ = collinear(found, f"{place}: {path}")
    if not np.all(np.isfinite(found)):
        raise InputError(f"{place}: {path}: its moments are not finite", "give one number (μB) of each atom")
    return [float(moment) for moment in found]
