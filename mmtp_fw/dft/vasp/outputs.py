"""What VASP found: energies, forces and stress from vasprun.xml, moments from OUTCAR and OSZICAR."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.units import GPa

from mmtp_fw.dft.vasp.oszicar import Oszicar, parse_oszicar
from mmtp_fw.errors import EngineError

FINISHED = "General timing and accounting informations for this job"
_CONVERGED = re.compile(r"aborting loop\s+because EDIFF is reached")
_TITLE = re.compile(r"^\s*magnetization \(([xyz])\)\s*$")
# Energies of one run, printed with eight digits in OSZICAR and eight decimals in vasprun.xml.
_SAME_ENERGY = 1e-6


class IncompleteOutputError(EngineError):
    """VASP's files are missing, empty or cut off: it did not come to its end."""


@dataclass(frozen=True)
class VaspOutput:
    """What one calculation found, in the order of POSCAR.

    Attributes
    ----------
    converged : bool
        EDIFF was reached, and every number is finite.
    free_energy_eV : float
        F, the energy that VASP minimised: it holds the penalty.
    penalty_eV : float
        E_p.
    lambda_eV_per_muB2 : float or None
    forces : ndarray, shape (n, 3)
        eV/Å.
    stress : ndarray, shape (6,), or None
        eV/Å³, ASE sign, Voigt (xx yy zz yz xz xy).
    final, unsmoothed, smoothed : ndarray, shape (n, 3)
        Moments (μB) of OUTCAR's table (PAW regions), of ``M_int`` and ``MW_int``; the latter two are
        ``final`` where there is no constraint.
    residual : ndarray, shape (n, 3), or None
        See `Oszicar`.
    steps : int
        Electronic steps.
    message : str
        Why not converged; empty where it is.
    """

    converged: bool
    free_energy_eV: float
    penalty_eV: float
    lambda_eV_per_muB2: float | None
    forces: np.ndarray
    stress: np.ndarray | None
    final: np.ndarray
    unsmoothed: np.ndarray
    smoothed: np.ndarray
    residual: np.ndarray | None
    steps: int
    message: str = ""

    @property
    def energy_eV(self) -> float:
        """E_DFT = F − E_p: the free energy, which the forces belong to, without the penalty."""
        return self.free_energy_eV - self.penalty_eV


def read_output(directory: Path, n: int, constrained: bool) -> VaspOutput:
    """Return what is in a directory where VASP came to its end.

    Parameters
    ----------
    directory : Path
        With OUTCAR, OSZICAR and vasprun.xml.
    n : int
        Number of ions that were asked for.
    constrained : bool
        Whether INCAR had a penalty.

    Raises
    ------
    IncompleteOutputError
        A file is missing or cut off.
    EngineError
        One of another number of ions, or of another run than the others.
    """
    outcar = _text(directory / "OUTCAR")
    if FINISHED not in outcar:
        raise IncompleteOutputError(f"{directory / 'OUTCAR'} is cut off", "VASP did not come to its end: killed?")
    oszicar = parse_oszicar(_text(directory / "OSZICAR"), n)
    free, forces, stress = _vasprun(directory / "vasprun.xml", n)
    final = moments_table(outcar, n)
    if final is None:
        raise EngineError(f"{directory / 'OUTCAR'} has no table 'magnetization (z)' of {n} ions", "LORBIT = 11?")
    if constrained and oszicar.smoothed is None:
        raise IncompleteOutputError(f"{directory / 'OSZICAR'} has no table MW_int/M_int of {n} ions")
    _same_run(directory, free, oszicar)
    message = "" if _CONVERGED.search(outcar) else f"not converged in {oszicar.steps} electronic steps"
    numbers = [free, oszicar.penalty_eV, forces, final, stress, oszicar.unsmoothed, oszicar.smoothed]
    if not all(np.all(np.isfinite(value)) for value in numbers if value is not None):
        message = "energy, forces, stress or moments are not finite"
    return VaspOutput(
        converged=not message,
        free_energy_eV=free,
        penalty_eV=oszicar.penalty_eV,
        lambda_eV_per_muB2=oszicar.lambda_eV_per_muB2,
        forces=forces,
        stress=stress,
        final=final,
        unsmoothed=final if oszicar.unsmoothed is None else oszicar.unsmoothed,
        smoothed=final if oszicar.smoothed is None else oszicar.smoothed,
        residual=oszicar.residual,
        steps=oszicar.steps,
        message=message,
    )


def moments_table(outcar: str, n: int) -> np.ndarray | None:
    """Return the last tables ``magnetization (x)``, ``(y)``, ``(z)``: column ``tot``, shape (n, 3), in μB.

    None where one of them is missing or not of n ions. A collinear OUTCAR has one table, called (x).
    """
    lines = outcar.splitlines()
    tables: dict[str, np.ndarray] = {}
    for k, line in enumerate(lines):
        if found := _TITLE.match(line):
            rows = _rows(lines[k + 1 :])
            if len(rows) == n:
                tables[found.group(1)] = np.array(rows)
    if set(tables) == {"x"}:
        return np.column_stack([np.zeros(n), np.zeros(n), tables["x"]])
    if set(tables) != {"x", "y", "z"}:
        return None
    return np.column_stack([tables[axis] for axis in "xyz"])


def _rows(lines: list[str]) -> list[float]:
    """Return the last column of the rows that begin with 1, 2, 3… after a table's title."""
    rows: list[float] = []
    for line in lines:
        words = line.split()
        if words[:1] == [str(len(rows) + 1)]:
            try:
                rows.append(float(words[-1]))
            except ValueError:
                rows.append(float("nan"))
        elif rows or (words and not words[0].startswith(("#", "-"))):
            break
    return rows


def _vasprun(path: Path, n: int) -> tuple[float, np.ndarray, np.ndarray | None]:
    """Return free energy (eV), forces (eV/Å) and stress (eV/Å³) of the last ionic step."""
    from lxml.etree import XMLSyntaxError
    from pymatgen.io.vasp.outputs import Vasprun

    _text(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of no convergence, which is told from OUTCAR; of stars for numbers
            run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
        last = run.ionic_steps[-1]
        free = float(last["e_fr_energy"])
        forces = np.array(last["forces"], dtype=float)
    except XMLSyntaxError as error:
        raise IncompleteOutputError(f"{path} is cut off: {error}", "was VASP killed?") from error
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise IncompleteOutputError(f"{path} has no complete ionic step: {type(error).__name__}: {error}") from error
    if forces.shape != (n, 3):
        raise EngineError(f"{path} has forces on {len(forces)} ions, asked were {n}")
    stress = None
    if "stress" in last:
        in_kB = np.array(last["stress"], dtype=float)
        # VASP's stress is the negative of ASE's, in kB = 0.1 GPa.
        stress = -0.1 * GPa * in_kB[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return free, forces, stress


def _same_run(directory: Path, free: float, oszicar: Oszicar) -> None:
    printed = oszicar.free_energy_eV
    if printed is None:
        raise IncompleteOutputError(f"{directory / 'OSZICAR'} has no line 'F=': VASP did not come to its end")
    if np.isfinite(free) and np.isfinite(printed) and abs(free - printed) > _SAME_ENERGY * max(1.0, abs(free)):
        raise EngineError(f"{directory}: vasprun.xml says F = {free:.6f} eV, OSZICAR {printed:.6f}", "of one run?")


def _text(path: Path) -> str:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError as error:
        raise IncompleteOutputError(f"VASP wrote no {path}") from error
    if not text.strip():
        raise IncompleteOutputError(f"{path} is empty: VASP ended at once", "see vasp.out beside it")
    return text
