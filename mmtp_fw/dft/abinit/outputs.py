"""What ABINIT 9 prints, read into numbers in eV, Å and μB."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from ase.units import Bohr, Hartree

from mmtp_fw.arrays import FloatArray

_FLOAT = r"[-+]?\d+\.\d+(?:[EeDd][-+]?\d+)?"
# Electronic steps at the end of which the energy's changes are taken for its noise.
_LAST_STEPS = 3
# What the table of gradients is rounded to, and a little.
_LAST_DIGIT_HA = 2e-6


@dataclass(frozen=True)
class AbinitOutput:
    """One calculation as ABINIT reports it.

    Attributes
    ----------
    converged : bool
    steps : int
        Electronic steps taken.
    etotal_eV : float or None
        The last ETOT: what was printed as energy.
    energy_noise_eV : float
        Largest change of ETOT in the last steps.
    density_mixed : bool
        Whether the density was mixed (``iscf`` 10 and above), not the potential.
    penalty_eV, lvp_eV : float or None
        `Lagrange penalty` and `lVp`; None where the log has none, as without a penalty.
    completed : bool
        Whether ABINIT came to its own end, converged or not.
    moments : ndarray, shape (n,), or None
        Sphere moments, μB.
    torques : ndarray, shape (n,), or None
        «Gradient with respect to target»: ∂E_DFT/∂m_i in eV/μB, under a hard constraint only.
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
    energy_noise_eV: float
    density_mixed: bool
    penalty_eV: float | None
    lvp_eV: float | None
    moments: FloatArray | None
    torques: FloatArray | None
    forces: FloatArray | None
    stress: FloatArray | None
    error: str
    completed: bool

    @property
    def energy_eV(self) -> float | None:
        """E_DFT, the energy without the penalty.

        It is etotal where the potential is mixed. Where the density is, etotal counts the constraining potential with
        the band energy, and E_DFT is etotal − lVp: so says thermodynamic integration of the magnetic forces, and both
        ways of mixing then give one energy (docs/dft.md).
        """
        if self.etotal_eV is None:
            return None
        return self.etotal_eV - (self.lvp_eV or 0.0) if self.density_mixed else self.etotal_eV


def parse_output(output: str, log: str) -> AbinitOutput:
    """Read a calculation from ABINIT's main output and log.

    Parameters
    ----------
    output : str
        Text of the ``.abo`` file; cut off or empty where the program was killed.
    log : str
        Text of the log (standard output), which alone holds penalty and lVp.
    """
    energies = re.findall(rf"^ ETOT\s+(\d+)\s+({_FLOAT})\s+({_FLOAT})", output, re.MULTILINE)
    error = re.search(r"--- !(?:ERROR|BUG).*?message: \|\n(.*?)\n\.\.\.", log, re.DOTALL)
    return AbinitOutput(
        converged="=>converged." in output and "Calculation completed" in output,
        steps=int(energies[-1][0]) if energies else 0,
        etotal_eV=float(energies[-1][1]) * Hartree if energies else None,
        energy_noise_eV=max((abs(float(change)) for *_, change in energies[-_LAST_STEPS:]), default=0.0) * Hartree,
        density_mixed=re.search(r"^\s+iter\s+Etot.*\bnres2\b", output, re.MULTILINE) is not None,
        penalty_eV=_last(r"Lagrange penalty\s+", log),
        lvp_eV=_last(r"lVp =\s+", log),
        moments=_column(output, "magnetization densities in atomic spheres", columns=(5, 6), wanted=4),
        torques=_torques(output),
        forces=_forces(output),
        stress=_stress(output),
        error=" ".join(error.group(1).split()) if error else "",
        completed="Calculation completed" in output,
    )


def _last(label: str, text: str) -> float | None:
    """Return the last number behind a label, from hartree to eV."""
    found = re.findall(rf"{label}({_FLOAT})", text)
    return float(found[-1].replace("D", "E")) * Hartree if found else None


def _column(output: str, title: str, columns: tuple[int, ...], wanted: int) -> FloatArray | None:
    """Return a column of the last table of that title, one number for every atom from the first to the last.

    `columns` are the possible numbers of columns beside the atom's number, which `wanted` counts from 0.

    None where there is no such table, or one with a row that is missing, out of order or not made of numbers.
    """
    start = output.rfind(title)
    table, total, _ = output[start:].partition("Sum:")
    rows = [line.split() for line in table.splitlines() if re.match(r"\s+\d", line)]
    if start < 0 or not total or not rows:
        return None
    for number, row in enumerate(rows, 1):
        if len(row) - 1 not in columns or row[0] != str(number) or not all(re.fullmatch(_FLOAT, x) for x in row[1:]):
            return None
    return np.array([row[1 + wanted] for row in rows], dtype=float)


def _torques(output: str) -> FloatArray | None:
    """Return the gradient by the moments (eV/μB) from its table, or with all digits from the variables at the end.

    None where there is none, and where the two differ by more than the table's last digit.
    """
    table = _column(output, "Gradient with respect to target (=torque)", columns=(5,), wanted=2)
    if table is None:
        return None
    ending = output.rpartition("-outvars: echo values of variables after computation")[2]
    found = re.search(rf"^[-P ]\s+grspin((?:\s+{_FLOAT})+)", ending, re.MULTILINE)
    if found is None:
        return table * Hartree
    precise = np.array(found.group(1).split(), dtype=float).reshape(-1)
    if len(precise) != 3 * len(table) or np.max(np.abs(precise[2::3] - table)) > _LAST_DIGIT_HA:
        return None
    return precise[2::3] * Hartree


def _forces(output: str) -> FloatArray | None:
    found = re.findall(r"cartesian_forces: # hartree/bohr\n((?:- \[.*\]\n)+)", output)
    if not found:
        return None
    rows = [re.findall(_FLOAT, line) for line in found[-1].splitlines()]
    return np.array(rows, dtype=float) * Hartree / Bohr


def _stress(output: str) -> FloatArray | None:
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
