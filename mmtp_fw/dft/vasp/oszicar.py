"""OSZICAR of a constrained calculation: penalty, λ, sphere moments, and what is left of the constraint."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_NUMBER = r"[-+]?(?:\d*\.\d+(?:[EeDd][-+]?\d+)?|\d+\.?(?:[EeDd][-+]?\d+)?|[Nn]a[Nn]|\*+)"
_PENALTY = re.compile(rf"E_p\s*=\s*({_NUMBER})\s+lambda\s*=\s*({_NUMBER})")
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
        ``E_p``; 0 without constraint.
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
    smoothed: np.ndarray | None
    unsmoothed: np.ndarray | None
    residual: np.ndarray | None


def parse_oszicar(text: str, n: int) -> Oszicar:
    """Return what an OSZICAR says of its last complete electronic step.

    Parameters
    ----------
    text : str
        May end anywhere: a table that is cut off is not used.
    n : int
        Number of ions.
    """
    steps, free, penalty, strength = 0, None, 0.0, None
    moments = residual = None
    lines = text.splitlines()
    for k, line in enumerate(lines):
        if found := _PENALTY.search(line):
            penalty, strength = _float(found.group(1)), _float(found.group(2))
        elif "MW_int" in line and "M_int" in line:
            table = _moments(lines[k + 1 : k + 1 + n])
            moments = table if len(table) == n else moments
        elif "lambda*MW_perp" in line:
            residual = _residual(lines[k + 1 : k + 1 + n], n)
        elif found := _STEP.match(line):
            steps, free, residual = int(found.group(1)), None, None
        elif found := _LAST.match(line):
            free = _float(found.group(1))
    return Oszicar(
        steps=steps,
        free_energy_eV=free,
        penalty_eV=penalty,
        lambda_eV_per_muB2=strength,
        smoothed=None if moments is None else moments[:, :3],
        unsmoothed=None if moments is None else moments[:, 3:],
        residual=residual,
    )


def sharpened(
    printed: np.ndarray, constraint: np.ndarray, residual: np.ndarray | None, strength: float | None
) -> np.ndarray:
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


def _moments(lines: list[str]) -> np.ndarray:
    rows = []
    for line in lines:
        found = _ROW.match(line)
        columns = _COLUMN.findall(found.group(2)) if found else []
        if len(columns) != 6:
            break
        rows.append([_float(column) for column in columns])
    return np.array(rows).reshape(-1, 6)


def _residual(lines: list[str], n: int) -> np.ndarray:
    table = np.full((n, 3), np.nan)
    for line in lines:
        found = _ROW.match(line)
        columns = re.findall(_NUMBER, found.group(2)) if found else []
        if found is None or len(columns) != 3 or not 1 <= int(found.group(1)) <= n:
            break
        table[int(found.group(1)) - 1] = [_float(column) for column in columns]
    return table


def _float(text: str) -> float:
    if "*" in text or "nan" in text.lower():
        return float("nan")
    return float(text.upper().replace("D", "E"))
