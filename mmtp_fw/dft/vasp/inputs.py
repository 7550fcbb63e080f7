"""INCAR, KPOINTS, POSCAR and POTCAR of one calculation, written through pymatgen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.dft.kpoints import k_grid
from mmtp_fw.dft.vasp.potcars import PotcarFile
from mmtp_fw.dft.vasp.settings import VaspSettings

UNCONSTRAINED_BELOW_muB = 1e-4
"""VASP leaves an ion alone whose M_CONSTR is 0 0 0: a target of zero is written as this."""


# VASP 5 reads no more than 255 characters of a line and says nothing of the rest: 32 targets have more.
_LONGEST_LINE = 200


@dataclass(frozen=True)
class MagneticInput:
    """The magnetic part of a calculation, in the order of the atoms.

    Attributes
    ----------
    start : ndarray, shape (n,)
        MAGMOM along z, μB.
    constraint : ndarray, shape (n,), or None
        m^constr along z, μB.
    lambda_eV_per_muB2 : float
        Strength of the penalty; ignored without `constraint`.
    radii_A : dict of str to float
        RWIGS by species.
    """

    start: FloatArray
    constraint: FloatArray | None
    lambda_eV_per_muB2: float
    radii_A: Mapping[str, float]


def species_order(atoms: Atoms) -> IntArray:
    """Return the atoms' indices sorted by species, as POSCAR and POTCAR have them; shape (n,).

    Examples
    --------
    >>> species_order(Atoms("PdFePd")).tolist()
    [1, 0, 2]
    """
    return np.argsort(np.array(atoms.symbols), kind="stable")


def species_of(atoms: Atoms) -> list[str]:
    """Return the species in the order of POSCAR, POTCAR and RWIGS."""
    return sorted(set(atoms.symbols))


def incar(atoms: Atoms, settings: VaspSettings, magnetic: MagneticInput, restart: Sequence[str] = ()) -> Incar:
    """Return the INCAR of one self-consistent calculation.

    Parameters
    ----------
    atoms : Atoms
    settings : VaspSettings
    magnetic : MagneticInput
    restart : sequence of str
        Which of WAVECAR and CHGCAR are in the calculation's directory.

    Notes
    -----
    Calculations with and without constraint differ by LAMBDA and M_CONSTR only: both are non-collinear,
    without symmetry (equal targets would tie atoms together), with LASPH; else energies would not be
    comparable. ``I_CONSTRAINED_M = 2`` is the penalty λ Σ (m^sWS − m^constr)² of size and direction; 1
    constrains the direction alone and accepts a flip.
    """
    order = species_order(atoms)
    tags = {
        "ENCUT": settings.encut_eV,
        "PREC": settings.prec,
        "ALGO": settings.algo,
        "EDIFF": settings.ediff_eV,
        "NELM": settings.nelm,
        "NELMIN": settings.nelmin,
        "ISMEAR": settings.ismear,
        "SIGMA": settings.sigma_eV,
        "LREAL": False,
        "NSW": 0,
        "IBRION": -1,
        "ISIF": 2,
        "ISYM": -1,
        "LASPH": True,
        "GGA_COMPAT": False,
        "LMAXMIX": settings.lmaxmix,
        "AMIX": settings.amix,
        "BMIX": settings.bmix,
        "AMIX_MAG": settings.amix_mag,
        "BMIX_MAG": settings.bmix_mag,
        "ISTART": 1 if "WAVECAR" in restart else 0,
        "ICHARG": 1 if "CHGCAR" in restart else 0 if "WAVECAR" in restart else 2,
        "LWAVE": True,
        "LCHARG": True,
        "LORBIT": 11,
        "ISPIN": 2,
        "LNONCOLLINEAR": True,
        "MAGMOM": [[0.0, 0.0, float(m)] for m in _start(magnetic)[order]],
        **_constraint_tags(atoms, settings, magnetic),
        **settings.extra_incar,
    }
    return Incar(tags)


def _constraint_tags(atoms: Atoms, settings: VaspSettings, magnetic: MagneticInput) -> dict[str, object]:
    constraint, strength = magnetic.constraint, magnetic.lambda_eV_per_muB2
    if constraint is None:
        strength = settings.measuring_lambda_eV_per_muB2
        if strength == 0:
            return {}
        constraint = magnetic.start
    written = np.where(
        np.abs(constraint) < UNCONSTRAINED_BELOW_muB,
        np.copysign(UNCONSTRAINED_BELOW_muB, constraint),
        constraint,
    )[species_order(atoms)]
    return {
        "I_CONSTRAINED_M": 2,
        "LAMBDA": float(strength),
        "M_CONSTR": [component for m in written for component in (0.0, 0.0, float(m))],
        "RWIGS": [float(magnetic.radii_A[species]) for species in species_of(atoms)],
    }


def _start(magnetic: MagneticInput) -> FloatArray:
    """Return starting moments that have the signs of the constraint."""
    start = np.asarray(magnetic.start, dtype=float)
    if magnetic.constraint is None:
        return start
    return np.where(start * magnetic.constraint < 0, magnetic.constraint, start)


def write_incar(tags: Incar, path: Path) -> None:
    """Write an INCAR whose long lines (MAGMOM, M_CONSTR) are continued on the next by a backslash."""
    lines = []
    for line in tags.get_str().splitlines():
        while len(line) > _LONGEST_LINE:
            blank = line.rindex(" ", 0, _LONGEST_LINE)
            lines.append(f"{line[:blank]} \\")  # nothing may follow the backslash
            line = line[blank + 1 :]
        lines.append(line)
    path.write_text("\n".join(lines) + "\n")


def kpoints(atoms: Atoms, settings: VaspSettings) -> Kpoints:
    """Return the Γ-centred grid of the spacing."""
    return Kpoints.gamma_automatic(k_grid(atoms, settings.kspacing_per_A))


def poscar(atoms: Atoms) -> Poscar:
    """Return the structure with its atoms grouped by species (see `species_order`)."""
    grouped = atoms[species_order(atoms)]
    lattice = Lattice(np.asarray(grouped.cell))
    structure = Structure(lattice, list(grouped.symbols), grouped.positions, coords_are_cartesian=True)
    return Poscar(structure, comment=str(atoms.symbols))


def write_inputs(
    directory: Path,
    atoms: Atoms,
    settings: VaspSettings,
    potcars: Mapping[str, PotcarFile],
    magnetic: MagneticInput,
    restart: Sequence[str] = (),
) -> None:
    """Write the four input files of VASP into a directory that is there.

    Parameters
    ----------
    directory : Path
    atoms, settings, magnetic, restart
        See `incar`.
    potcars : mapping of str to PotcarFile
        By species. Who calls removes POTCAR again when VASP has ended: its licence forbids to pass it on.
    """
    write_incar(incar(atoms, settings, magnetic, restart), directory / "INCAR")
    kpoints(atoms, settings).write_file(directory / "KPOINTS")
    poscar(atoms).write_file(directory / "POSCAR", significant_figures=16)
    # POTCAR's sections are joined as they are: a parser in between could only lose something.
    sections = [potcars[species].content().rstrip(b"\n") + b"\n" for species in species_of(atoms)]
    (directory / "POTCAR").write_bytes(b"".join(sections))
