"""What Elk found: the last loop of INFO.OUT, and the forces after it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from ase.units import Bohr, Hartree

from mmtp_fw.arrays import FloatArray

_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][-+]?\d+)?|[Nn]a[Nn]|\*+)"
_LOOP = re.compile(r"^\| Loop number :\s*(\d+) \|\s*$", re.MULTILINE)
_TOTAL = re.compile(rf"^ total energy\s*:\s*{_NUMBER}", re.MULTILINE)
_CHANGE = re.compile(rf"^Absolute change in total energy[^:]*:\s*{_NUMBER}", re.MULTILINE)
_ATOM = re.compile(rf"^\s*atom\s+\d+\s*:\s*{_NUMBER}\s*$")
_FORCE = re.compile(rf"^\s*total force\s*:\s*{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}", re.MULTILINE)
_ERROR = re.compile(r"^\s*Error\(\w+\)\s*:\s*(.*)$", re.MULTILINE)
_STOPPED = re.compile(r"^\| Elk version \S+ stopped \|", re.MULTILINE)

# Of the last electronic steps, what they changed in the energy is its noise.
_LAST_CHANGES = 3


@dataclass(frozen=True)
class ElkOutput:
    """What one calculation found, in the order of Elk's input.

    Attributes
    ----------
    completed : bool
        Elk came to its end.
    converged : bool
        It achieved the targets that it was given for potential and energy.
    steps : int
        Electronic steps (loops).
    energy_eV : float or None
        Free energy, in which no magnetic field counts.
    energy_noise_eV : float
        Largest change of the last steps.
    moments : ndarray, shape (n,), or None
        In the muffin-tins, μB.
    fields : ndarray, shape (n,), or None
        Those that hold the moments, eV/μB: the derivative of the energy with the sign turned.
    forces : ndarray, shape (n, 3), or None
        eV/Å.
    error : str
        What Elk said was wrong; empty where nothing was.
    """

    completed: bool
    converged: bool
    steps: int
    energy_eV: float | None
    energy_noise_eV: float
    moments: FloatArray | None
    fields: FloatArray | None
    forces: FloatArray | None
    error: str


def parse_output(info: str, log: str, n: int) -> ElkOutput:
    """Return what INFO.OUT says; a table that is not of all atoms is None.

    Parameters
    ----------
    info, log : str
        INFO.OUT, and what Elk wrote to its standard output.
    n : int
        Number of atoms.

    Notes
    -----
    The potential, with the field in it, is made of the moments that are printed in the same loop: ``v_up + b``,
    ``v_down − b``. At self-consistency dE/dm = −b.
    """
    loops = list(_LOOP.finditer(info))
    last = info[loops[-1].end() :] if loops else ""
    changes = [abs(_float(x)) for x in _CHANGE.findall(info)][-_LAST_CHANGES:]
    total = _TOTAL.search(last)
    forces = [[_float(x) for x in row] for row in _FORCE.findall(last)]
    error = _ERROR.search(log)
    fields = _atoms(last, "FSM local muffin-tin effective fields", n)
    return ElkOutput(
        completed=bool(_STOPPED.search(info)),
        converged="Convergence targets achieved" in info,
        steps=int(loops[-1].group(1)) if loops else 0,
        energy_eV=None if total is None else _float(total.group(1)) * Hartree,
        energy_noise_eV=max(changes, default=0.0) * Hartree,
        moments=_atoms(last, "Moments :", n),
        fields=None if fields is None else fields * Hartree,
        forces=np.array(forces) * Hartree / Bohr if len(forces) == n else None,
        error="" if error is None else error.group(1).strip(),
    )


def _atoms(text: str, title: str, n: int) -> FloatArray | None:
    """Return the numbers of the atoms in the block under a title, which ends with an empty line."""
    begin = text.find(title)
    if begin < 0:
        return None
    found = [_ATOM.match(line) for line in text[begin:].split("\n\n", 1)[0].splitlines()]
    numbers = [_float(match.group(1)) for match in found if match]
    return np.array(numbers) if len(numbers) == n else None


def _float(text: str) -> float:
    return float("nan") if "*" in text else float(text.upper().replace("D", "E"))
