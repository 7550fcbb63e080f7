"""What VASP found: energies, forces and stress from vasprun.xml, moments from OUTCAR and OSZICAR."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import EngineError
from mmtp_fw.vaspio.configurations import same_energy
from mmtp_fw.vaspio.oszicar import Oszicar, parse_oszicar
from mmtp_fw.vaspio.outcar import FINISHED, OutcarStep, parse_outcar
from mmtp_fw.vaspio.text import VaspFileError, read_text
from mmtp_fw.vaspio.vasprun import VasprunStep, parse_vasprun


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
    forces: FloatArray
    stress: FloatArray | None
    final: FloatArray
    unsmoothed: FloatArray
    smoothed: FloatArray
    residual: FloatArray | None
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
    try:
        outcar = read_text(directory / "OUTCAR")
        if FINISHED not in outcar:
            raise VaspFileError(f"{directory / 'OUTCAR'} is cut off", "VASP did not come to its end: killed?")
        run = parse_vasprun(read_text(directory / "vasprun.xml"), str(directory / "vasprun.xml")).steps[-1]
        if len(run.forces) != n:
            raise EngineError(f"{directory / 'vasprun.xml'} has forces on {len(run.forces)} ions, asked were {n}")
        n_found, step = _last_step(outcar, directory / "OUTCAR")
        oszicar = parse_oszicar(read_text(directory / "OSZICAR"), n)
    except VaspFileError as error:
        raise IncompleteOutputError(error.message, error.hint) from error
    if n_found != n:
        raise EngineError(f"{directory / 'OUTCAR'} is of {n_found} ions, asked were {n}")
    if step.moments is None:
        raise EngineError(f"{directory / 'OUTCAR'} has no tables 'magnetization (x)', (y), (z)", "LORBIT = 11?")
    if constrained and oszicar.smoothed is None:
        raise IncompleteOutputError(f"{directory / 'OSZICAR'} has no table MW_int/M_int of {n} ions")
    _same_run(directory, run, step, oszicar)
    final = step.moments
    message = "" if step.converged else f"not converged in {oszicar.steps} electronic steps"
    free, forces, stress = run.free_energy_eV, run.forces, run.stress
    numbers = [free, oszicar.penalty_eV, forces, final, stress, oszicar.unsmoothed, oszicar.smoothed]
    if not all(np.all(np.isfinite(np.asarray(value))) for value in numbers if value is not None):
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


def _last_step(text: str, path: Path) -> tuple[int, OutcarStep]:
    """Return the number of ions and the last ionic step of an OUTCAR."""
    outcar = parse_outcar(text, str(path))
    if not outcar.steps:
        raise VaspFileError(f"{path} has no electronic step", "VASP did not come to its end")
    return outcar.n, outcar.steps[-1]


def _same_run(directory: Path, run: VasprunStep, step: OutcarStep, oszicar: Oszicar) -> None:
    """Refuse files whose free energies differ: they are of different runs."""
    for name, printed in (("OSZICAR", oszicar.free_energy_eV), ("OUTCAR", step.free_energy_eV)):
        if printed is None:
            raise IncompleteOutputError(f"{directory / name} has no free energy: VASP did not come to its end")
        known = np.isfinite(run.free_energy_eV) and np.isfinite(printed)
        if known and not same_energy(run.free_energy_eV, printed):
            raise EngineError(
                f"{directory}: vasprun.xml says F = {run.free_energy_eV:.6f} eV, {name} {printed:.6f}", "of one run?"
            )
