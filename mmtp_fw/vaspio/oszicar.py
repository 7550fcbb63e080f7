"""OSZICAR: free energy, and under a constraint penalty, λ, sphere moments, and what is left of the constraint."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.vaspio.text import number

_NUMBER = r"[-+]?(?:\d*\.\d+(?:[EeDd][-+]?\d+)?|\d+\.?(?:[EeDd][-+]?\d+)?|[Nn]a[Nn]|\*+)"
_PENALTY = re.compile(rf"E_p\s*=\s*({_NUMBER})\s+lambda\s*=\s*({_NUMBER})")
_HEAD = re.compile(r"^\s*N\s+E\s+dE\b.*$", re.MULTILINE)
_STEP = re.compile(r"^\s*[A-Z]{3}\s*:\s*(\d+)\s")
_LAST = re.compile(rf"^\s*\d+\s+F=\s*({_NUMBER})\s+E0=\s*({_NUMBER})")
_ROW = re.compile(r"^\s*(\d+)\s+(.*)$")
# Fixed columns: three decimals, so that a sign may follow a digit without a blank.
_COLUMN = re.compile(r"-?\d*\.\d{3}|-?\*+|[Nn]a[Nn]")

PRINTED_muB = 5e-4
"""Half a unit of the last digit that VASP prints of a moment."""


@dataclass(frozen=True)
class Oszicar:
    """What the last complete electronic step says, in the order of POSCAR.

    Attributes
    ----------
    steps : int
        Electronic steps of the last ionic step.
    free_energy_eV : float or None
        ``F``, which holds the penalty; None where the run did not come to its end.
    penalty_eV : float
        ``E_p``; 0 without constraint, NaN where there is one and the last step does not say it.
    lambda_eV_per_muB2 : float or None
    smoothed, unsmoothed : ndarray, shape (n, 3), or None
        ``MW_int`` and ``M_int``, μB.
    residual : ndarray, shape (n, 3), or None
        The last table, headed ``lambda*MW_perp``, in eV/μB; NaN for ions that it leaves out.
    """

    steps: int
    free_energy_eV: float | None
    penalty_eV: float
    lambda_eV_per_muB2: float | None
    smoothed: FloatArray | None
    unsmoothed: FloatArray | None
    residual: FloatArray | None


def ionic_steps(text: str, n: int) -> list[Oszicar]:
    """Return what an OSZICAR says of each ionic step, the last of which may be cut off.

    Parameters
    ----------
    text : str
    n : int
        Number of ions.
    """
    starts = [found.start() for found in _HEAD.finditer(text)] or [0]
    return [_step(text[begin:end], n) for begin, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def parse_oszicar(text: str, n: int) -> Oszicar:
    """Return what an OSZICAR says of its last complete electronic step.

    Parameters
    ----------
    text : str
        May end anywhere.
    n : int
        Number of ions.
    """
    return ionic_steps(text, n)[-1]


def _step(text: str, n: int) -> Oszicar:
    """Return one ionic step.

    What stands before an electronic step's line belongs to that step: penalty and moments count once the line is
    there. What is incomplete then is not there; penalty and moments of the step before are another state's.
    """
    steps, free = 0, None
    penalty = coming_penalty = strength = None
    moments = coming = residual = None
    constrained = "E_p" in text
    lines = text.splitlines()
    for k, line in enumerate(lines):
        if found := _PENALTY.search(line):
            coming_penalty, strength = number(found.group(1)), number(found.group(2))
            penalty = coming_penalty if free is not None else penalty  # printed once more after the last step
        elif "MW_int" in line and "M_int" in line:
            coming = _moments(lines[k + 1 : k + 1 + n], n)
        elif "lambda*MW_perp" in line:
            residual = _residual(lines[k + 1 : k + 1 + n], n)
        elif found := _STEP.match(line):
            steps, free, residual = int(found.group(1)), None, None
            moments, penalty, coming, coming_penalty = coming, coming_penalty, None, None
        elif found := _LAST.match(line):
            free = number(found.group(1))
    return Oszicar(
        steps=steps,
        free_energy_eV=free,
        penalty_eV=(float("nan") if constrained and steps else 0.0) if penalty is None else penalty,
        lambda_eV_per_muB2=strength,
        smoothed=None if moments is None else moments[:, :3],
        unsmoothed=None if moments is None else moments[:, 3:],
        residual=residual,
    )


def sharpened(
    printed: FloatArray, constraint: FloatArray, residual: FloatArray | None, strength: float | None
) -> FloatArray:
    """Return smoothed moments with the digits that the table of residuals adds, where it agrees.

    VASP prints moments to 0.001 μB, an uncertainty of 2λ · 0.0005 eV/μB of the magnetic force. The table
    at the end has five digits of λ (m − m^constr), or of its negative, according to version and mode: it
    is believed only if one sign brings every moment inside the rounding of what was printed.

    Parameters
    ----------
    printed, constraint : ndarray, shape (n,)
        m^sWS as printed and m^constr as written, along z, μB.
    residual : ndarray, shape (n,), or None
        The table, along z, eV/μB.
    strength : float or None
        λ, eV/μB².
    """
    if residual is None or not strength or not np.all(np.isfinite(residual)):
        return printed
    for sign in (1.0, -1.0):
        moments = constraint + sign * residual / strength
        if np.all(np.abs(moments - printed) <= 1.1 * PRINTED_muB):
            return moments
    return printed


def _moments(lines: list[str], n: int) -> FloatArray | None:
    """Return a table MW_int, M_int, shape (n, 6); None where its rows are not those of the ions 1 to n."""
    rows: list[list[float]] = []
    for line in lines:
        found = _ROW.match(line)
        columns = _COLUMN.findall(found.group(2)) if found else []
        if found is None or int(found.group(1)) != len(rows) + 1 or len(columns) != 6:
            return None
        rows.append([number(column) for column in columns])
    return np.array(rows) if len(rows) == n else None


def _residual(lines: list[str], n: int) -> FloatArray:
    table = np.full((n, 3), np.nan)
    before = 0
    for line in lines:
        found = _ROW.match(line)
        columns = re.findall(_NUMBER, found.group(2)) if found else []
        if found is None or len(columns) != 3 or not before < int(found.group(1)) <= n:
            break
        before = int(found.group(1))
        table[before - 1] = [number(column) for column in columns]
    return table
