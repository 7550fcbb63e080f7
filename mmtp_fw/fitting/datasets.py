"""Training sets as files: extended XYZ and MLIP's cfg."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from mmtp_fw.collinear import collinear
from mmtp_fw.errors import InputError
from mmtp_fw.files import replacing
from mmtp_fw.fitting.cfg import DerivativeSign, cfg_text, read_cfg, set_magnetic_forces
from mmtp_fw.fitting.dialects import adopt_keys, adopt_lammps_moments
from mmtp_fw.quantities import RESULTS
from mmtp_fw.vaspio import is_vasp_output, read_vasp_output

Format = Literal["extxyz", "cfg"]


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
        found = list(read_cfg(path, species))
        set_magnetic_forces(found, magnetic_derivatives)
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
    adopt_lammps_moments(head, path, found)
    for index, atoms in enumerate(found):
        adopt_keys(atoms, f"{path}: configuration {index}")
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
                text = "\n".join(cfg_text(atoms, list(names)) for atoms in configurations)
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
