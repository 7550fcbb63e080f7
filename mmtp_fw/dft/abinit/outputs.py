"""What ABINIT 9 prints, read into numbers in eV, Å and μB."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from ase.units import Bohr, Hartree

_FLOAT = r"[-+]?\d+\.\d+(?:[EeDd][-+]?\d+)?"


@dataclass(frozen=True)
class AbinitOutput:
    """One calculation as ABINIT reports it.

    Attributes
    ----------
    converged : bool
    steps : int
        Electronic steps taken.
    etotal_eV : float or None
        The last ETOT: what was printed as energy, neither E_DFT nor E_DFT + penalty under a constraint.
    penalty_eV, lvp_eV : float or None
        `Lagrange penalty` and `lVp`; None where the log has none, as without constraint.
    completed : bool
        Whether ABINIT came to its own end, converged or not.
    moments : ndarray, shape (n,), or None
        Sphere moments, μB.
    forces : ndarray, shape (n, 3), or None
        eV/Å.
    stress : ndarray, shape (6,), or None
        eV/Å³, ASE sign (ABINIT's is the same), Voigt.
    error : str
        ABINIT's own message where it stopped with one.
    """

    converged: bool
    steps: int
    etotal_eV: float | None
    penalty_eV: float | None
    lvp_eV: float | None
    moments: np.ndarray | None
    forces: np.ndarray | None
    stress: np.ndarray | None
    error: str
    completed: bool

    @property
    def energy_eV(self) -> float | None:
        """E_DFT, the energy without the penalty: etotal − lVp.

        ABINIT's etotal counts the constraining potential with the band energy. That etotal − lVp is the
        right one follows from thermodynamic integration of the magnetic forces (docs/dft.md).
        """
        return None if self.etotal_eV is None else self.etotal_eV - (self.lvp_eV or 0.0)


def parse_output(output: str, log: str) -> AbinitOutput:
    """Read a calculation from ABINIT's main output and log.

    Parameters
    ----------
    output : str
        Text of the ``.abo`` file; cut off or empty where the program was killed.
    log : str
        Text of the log (standard output), which alone holds penalty and lVp.
    """
    energies = re.findall(rf"^ ETOT\s+(\d+)\s+({_FLOAT})", output, re.MULTILINE)
    error = re.search(r"--- !(?:ERROR|BUG).*?message: \|\n(.*?)\n\.\.\.", log, re.DOTALL)
    return AbinitOutput(
        converged="=>converged." in output and "Calculation completed" in output,
        steps=int(energies[-1][0]) if energies else 0,
        etotal_eV=float(energies[-1][1]) * Hartree if energies else None,
        penalty_eV=_last(r"Lagrange penalty\s+", log),
        lvp_eV=_last(r"lVp =\s+", log),
        moments=_moments(output),
        forces=_forces(output),
        stress=_stress(output),
        error=" ".join(error.group(1).split()) if error else "",
        completed="Calculation completed" in output,
    )


def _last(label: str, text: str) -> float | None:
    """Return the last number behind a label, from hartree to eV."""
    found = re.findall(rf"{label}({_FLOAT})", text)
    return float(found[-1].replace("D", "E")) * Hartree if found else None


def _moments(output: str) -> np.ndarray | None:
    """Return the last table of sphere moments: its last column, for as many rows as there are atoms."""
    start = output.rfind("magnetization densities in atomic spheres")
    table = output[start:].split("Sum:")[0] if start >= 0 else ""
    rows = re.findall(rf"^\s+\d+(?:\s+{_FLOAT}){{4}}\s+({_FLOAT})$", table, re.MULTILINE)
    return np.array(rows, dtype=float) if rows else None


def _forces(output: str) -> np.ndarray | None:
    found = re.findall(r"cartesian_forces: # hartree/bohr\n((?:- \[.*\]\n)+)", output)
    if not found:
        return None
    rows = [re.findall(_FLOAT, line) for line in found[-1].splitlines()]
    return np.array(rows, dtype=float) * Hartree / Bohr


def _stress(output: str) -> np.ndarray | None:
    """Return the last stress in hartree/bohr³; a table in GPa with the same names may follow it."""
    header = "Cartesian components of stress tensor (hartree/bohr^3)"
    start = output.rfind(header)
    table = output[start:].splitlines()[1:4] if start >= 0 else []
    found = re.findall(rf"sigma\((\d) (\d)\)=\s+({_FLOAT})", "\n".join(table))
    if len(found) != 6:
        return None
    values = {(int(a), int(b)): float(value) for a, b, value in found}
    order = ((1, 1), (2, 2), (3, 3), (3, 2), (3, 1), (2, 1))
    return np.array([values[pair] for pair in order]) * Hartree / Bohr**3
