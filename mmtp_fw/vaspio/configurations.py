"""Finished runs of VASP as labelled configurations.

The energy is F − E_p: the free energy, which the forces belong to, without the penalty of constrained moments. F
stands in OUTCAR and vasprun.xml, E_p in OSZICAR alone; moments in OUTCAR alone. A file that needs another one beside
it and has none is refused.
"""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.arrays import FloatArray
from mmtp_fw.collinear import collinear
from mmtp_fw.errors import InputError
from mmtp_fw.vaspio.oszicar import Oszicar, ionic_steps
from mmtp_fw.vaspio.outcar import Outcar, OutcarStep, parse_outcar
from mmtp_fw.vaspio.text import VaspFileError, opened, read_text
from mmtp_fw.vaspio.vasprun import Vasprun, parse_vasprun

SAME_ENERGY = 1e-6
"""Energies of one state differ by less, relatively, in files that print eight digits."""

_CONSTRAINS = re.compile(r"^\s*I_CONSTRAINED_M\s*=\s*[1-9]", re.MULTILINE | re.IGNORECASE)
_PACKING = (".gz", ".bz2", ".xz")


def is_vasp_output(path: Path) -> bool:
    """Return whether a file is an OUTCAR or a vasprun.xml, by its content or, where that says nothing, by its name."""
    return _kind(path) is not None


def read_vasp_output(path: Path) -> list[Atoms]:
    """Return the ionic steps of a finished run.

    Parameters
    ----------
    path : Path
        OUTCAR or vasprun.xml, packed or not.

    Returns
    -------
    list of Atoms
        With energy F − E_p (eV), forces, stress where the run has it, and moments along their common axis.

    Raises
    ------
    InputError
        A file is cut off or damaged, no self-consistency, no moments of a magnetic run, moments that are not
        collinear, a penalty whose size can't be found.
    """
    try:
        return _from_outcar(path) if _kind(path) == "outcar" else _from_vasprun(path)
    except VaspFileError as error:
        raise InputError(error.message, error.hint) from error
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}", "check the path") from error


def _kind(path: Path) -> str | None:
    try:
        with opened(path) as file:
            head = file.read(4096)
    except (OSError, EOFError):
        head = b""
    if re.match(rb"\s*vasp\.\d", head):
        return "outcar"
    if b"<modeling>" in head:
        return "vasprun"
    if path.suffix in {".xyz", ".extxyz"}:
        return None
    if fnmatch.fnmatch(path.name, "*OUTCAR*"):
        return "outcar"
    return "vasprun" if fnmatch.fnmatch(path.name, "*vasp*.xml*") else None


# OUTCAR ---------------------------------------------------------------------------------------------------


def _from_outcar(path: Path) -> list[Atoms]:
    outcar = _outcar(path)
    if not outcar.symbols:
        raise VaspFileError(f"{path} does not name the species of its {outcar.n} ions", "damaged?")
    energies = _energies(path, outcar)
    found = []
    for k, (step, energy) in enumerate(zip(outcar.steps, energies, strict=True)):
        where = f"{path}: ionic step {k + 1}"
        if step.cell is None or step.positions is None:
            raise VaspFileError(f"{where} has no structure", "cut off or damaged?")
        atoms = Atoms(outcar.symbols, step.positions, cell=step.cell, pbc=True)
        found.append(_labelled(atoms, energy, step.forces, step.stress, _moments(outcar, step, where), where))
    return found


def _outcar(path: Path) -> Outcar:
    """Return an OUTCAR of a run that came to its end, each step of which converged."""
    outcar = parse_outcar(read_text(path), str(path))
    if not outcar.finished or not outcar.steps:
        raise VaspFileError(f"{path} is cut off", "VASP did not come to its end: killed?")
    for k, step in enumerate(outcar.steps):
        if step.free_energy_eV is None:
            raise VaspFileError(f"{path}: ionic step {k + 1} has no free energy", "cut off or damaged?")
        if not step.converged:
            raise VaspFileError(f"{path}: ionic step {k + 1} did not reach EDIFF", "its energy and forces are no label")
    return outcar


def _moments(outcar: Outcar, step: OutcarStep, where: str) -> FloatArray:
    if not outcar.magnetic:
        return np.zeros(outcar.n)
    if step.moments is None:
        raise VaspFileError(f"{where} has no moments, though the run has", "LORBIT = 11 prints them")
    return collinear(step.moments, where)[0]


# vasprun.xml ----------------------------------------------------------------------------------------------


def _from_vasprun(path: Path) -> list[Atoms]:
    run = parse_vasprun(read_text(path), str(path))
    beside = _beside(path, "OUTCAR")
    outcar = None if beside is None else _outcar_of(path, run, beside)
    if outcar is None and run.magnetic:
        raise VaspFileError(f"{path} holds no moments, and no OUTCAR is beside it", "OUTCAR of LORBIT = 11 has them")
    found = []
    energies = [step.free_energy_eV for step in run.steps] if outcar is None else _energies(beside or path, outcar)
    for k, (step, energy) in enumerate(zip(run.steps, energies, strict=True)):
        where = f"{path}: ionic step {k + 1}"
        if len(step.forces) != len(run.symbols):
            raise VaspFileError(f"{where} has forces on {len(step.forces)} ions, the file names {len(run.symbols)}")
        atoms = Atoms(run.symbols, cell=step.cell, scaled_positions=step.scaled_positions, pbc=True)
        moments = np.zeros(len(atoms)) if outcar is None else _moments(outcar, outcar.steps[k], where)
        # vasprun.xml has more digits of F.
        energy += step.free_energy_eV - (outcar.steps[k].free_energy_eV or 0.0) if outcar is not None else 0.0
        found.append(_labelled(atoms, energy, step.forces, step.stress, moments, where))
    return found


def _outcar_of(path: Path, run: Vasprun, beside: Path) -> Outcar | None:
    """Return the OUTCAR beside a vasprun.xml; None where it only happens to be in the same folder."""
    outcar = _outcar(beside)
    both = zip([s.free_energy_eV for s in run.steps], [s.free_energy_eV for s in outcar.steps], strict=False)
    same = len(run.steps) == len(outcar.steps) and len(run.symbols) == outcar.n
    if same and all(same_energy(a, b) for a, b in both):
        outcar.constrained |= run.constrained
        return outcar
    _refuse_if_named_alike(path, beside)
    return None


# Both -----------------------------------------------------------------------------------------------------


def same_energy(a: float | None, b: float | None) -> bool:
    """Return whether two energies (eV) are one, as far as VASP's files print it; unknown and not finite ones aren't."""
    return a is not None and b is not None and bool(abs(a - b) <= SAME_ENERGY * max(1.0, abs(a)))


def _labelled(
    atoms: Atoms,
    energy: float,
    forces: FloatArray | None,
    stress: FloatArray | None,
    moments: FloatArray,
    where: str,
) -> Atoms:
    results = {"energy": energy, "free_energy": energy, "forces": forces, "stress": stress, "magmoms": moments}
    results = {key: value for key, value in results.items() if value is not None}
    for key, value in results.items():
        if not np.all(np.isfinite(np.asarray(value))):
            raise VaspFileError(f"{where}: {key} not finite", "stars or NaN in VASP's file")
    if not np.all(np.isfinite(atoms.positions)) or not abs(atoms.cell.volume) > 0:
        raise VaspFileError(f"{where}: positions or cell make no crystal", "stars or NaN in VASP's file?")
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _energies(path: Path, outcar: Outcar) -> list[float]:
    """Return F − E_p (eV) of every ionic step."""
    free = [float(step.free_energy_eV or 0.0) for step in outcar.steps]
    oszicar = _oszicar(path, outcar)
    if oszicar is not None:
        return [f - step.penalty_eV for f, step in zip(free, oszicar, strict=True)]
    if outcar.constrained or _incar_constrains(path):
        raise VaspFileError(f"{path} is of constrained moments: its energy holds a penalty", _HINT)
    largest = max((step.unexplained_eV for step in outcar.steps), key=abs)
    if outcar.noncollinear and largest:
        raise VaspFileError(
            f"{path}: its free energy holds {largest:.6f} eV beside the parts that it prints: a penalty of constrained "
            "moments",
            _HINT,
        )
    return free


_HINT = "put the OSZICAR of the run beside it, which says E_p"


def _oszicar(path: Path, outcar: Outcar) -> list[Oszicar] | None:
    """Return the steps of the OSZICAR beside an OUTCAR where it is of the same run."""
    beside = _beside(path, "OSZICAR")
    if beside is None:
        return None
    steps = ionic_steps(read_text(beside), outcar.n)
    pairs = zip(steps, outcar.steps, strict=False)
    if len(steps) == len(outcar.steps) and all(same_energy(a.free_energy_eV, b.free_energy_eV) for a, b in pairs):
        for step in steps:
            if not np.isfinite(step.penalty_eV):
                raise VaspFileError(f"{beside} does not say the penalty E_p of the last electronic step", "damaged?")
        return steps
    _refuse_if_named_alike(path, beside)
    return None


def _refuse_if_named_alike(path: Path, beside: Path) -> None:
    """Refuse a file that is named as belonging to another one and does not; others in the folder mean nothing."""
    if _plain(beside) in (_renamed(path, "OSZICAR"), _renamed(path, "OUTCAR")):
        raise VaspFileError(f"{path} and {beside} are of different runs", "their free energies differ")


def _incar_constrains(path: Path) -> bool:
    beside = _beside(path, "INCAR")
    return beside is not None and _CONSTRAINS.search(read_text(beside)) is not None


def _beside(path: Path, wanted: str) -> Path | None:
    """Return another file of the run: the one that is named as `path` is, packed or not, else the plain one."""
    for name in dict.fromkeys([_renamed(path, wanted), wanted]):
        for packing in ("", *_PACKING):
            candidate = path.with_name(name + packing)
            if candidate.is_file() and candidate != path:
                return candidate
    return None


def _plain(path: Path) -> str:
    return path.name.removesuffix(path.suffix) if path.suffix in _PACKING else path.name


def _renamed(path: Path, wanted: str) -> str:
    return re.sub(r"OUTCAR|vasprun\.xml", wanted, _plain(path))
