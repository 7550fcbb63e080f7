"""OUTCAR: structure, energy, forces, stress and moments of every ionic step, and how the run ended."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from ase.data import atomic_numbers
from ase.units import GPa

from mmtp_fw.arrays import FloatArray
from mmtp_fw.vaspio.text import VaspFileError, number

FINISHED = "General timing and accounting informations for this job"
_CONVERGED = re.compile(r"aborting loop\s+because EDIFF is reached")
_TABLE = re.compile(r"^\s*magnetization \(([xyz])\)\s*$")
_FIXED = re.compile(r"[-+]?\d*\.\d+|[Nn]a[Nn]|\*+")
_TOTEN = re.compile(r"free  energy   TOTEN\s*=\s*(\S+)")
_STEP_TOTEN = re.compile(r"free energy    TOTEN\s*=\s*(\S+)")
_PART = re.compile(r"=((?:\s+[-+]?\d+\.\d+|\s+\*+)+)(?:\s+eV)?\s*$")
_LOGICAL = re.compile(r"LNONCOLLINEAR\s*=\s*([TF])")
_ISPIN = re.compile(r"^\s*ISPIN\s*=\s*(\d)", re.MULTILINE)
_CONSTRAINT = re.compile(r"^\s*I_CONSTRAINED_M\s*=\s*(\d+)", re.MULTILINE)

# The parts of the energy are printed with eight digits each; a dozen of them add up to less than this (eV).
_ROUNDED_eV = 1e-6


@dataclass
class OutcarStep:
    """One ionic step, in the order of POSCAR.

    Attributes
    ----------
    free_energy_eV : float or None
        F, which holds a penalty.
    unexplained_eV : float
        F without its printed parts: what a penalty adds to it, ``E_p − <lVp>``. 0 where no parts are printed.
    cell, positions : ndarray, shape (3, 3) and (n, 3), or None
        Å; positions have five decimals.
    forces : ndarray, shape (n, 3), or None
        eV/Å.
    stress : ndarray, shape (6,), or None
        eV/Å³, ASE sign, Voigt (xx yy zz yz xz xy).
    moments : ndarray, shape (n, 3), or None
        Column ``tot`` of ``magnetization (x)``, ``(y)``, ``(z)``, μB. The one table of a collinear run, called (x),
        is along z here.
    converged : bool
        EDIFF was reached.
    """

    free_energy_eV: float | None = None
    unexplained_eV: float = 0.0
    cell: FloatArray | None = None
    positions: FloatArray | None = None
    forces: FloatArray | None = None
    stress: FloatArray | None = None
    moments: FloatArray | None = None
    converged: bool = False


@dataclass
class Outcar:
    """What an OUTCAR says.

    Attributes
    ----------
    n : int
        Number of ions.
    symbols : list of str
        Of every ion; empty where OUTCAR has none.
    noncollinear, magnetic, constrained : bool
        LNONCOLLINEAR; that or ISPIN = 2; whether the tags that OUTCAR repeats ask for a constraint (older versions
        repeat none).
    finished : bool
        VASP came to its end.
    steps : list of OutcarStep
    """

    n: int
    symbols: list[str]
    noncollinear: bool
    magnetic: bool
    constrained: bool
    finished: bool
    steps: list[OutcarStep] = field(default_factory=list)


def parse_outcar(text: str, name: str = "OUTCAR") -> Outcar:
    """Return what an OUTCAR says; what is cut off or not there is None.

    Parameters
    ----------
    text : str
    name : str
        For messages.

    Raises
    ------
    VaspFileError
        No number of ions, tables that contradict themselves, anything but numbers where they stand.
    """
    found = re.search(r"NIONS\s*=\s*(\d+)", text)
    if found is None or not int(found.group(1)):
        raise VaspFileError(f"{name} has no number of ions (NIONS)", "cut off, or no OUTCAR?")
    n = int(found.group(1))
    head = text[: found.end() + 4000]
    noncollinear = (f := _LOGICAL.search(text)) is not None and f.group(1) == "T"
    spin = _ISPIN.search(text)
    constraint = _CONSTRAINT.search(text)
    outcar = Outcar(
        n=n,
        symbols=_symbols(head, n),
        noncollinear=noncollinear,
        magnetic=noncollinear or (spin is not None and spin.group(1) == "2"),
        constrained=constraint is not None and constraint.group(1) != "0",
        finished=FINISHED in text,
    )
    for block in _blocks(text.splitlines()):
        try:
            outcar.steps.append(_step(block, n, noncollinear))
        except VaspFileError as error:
            raise VaspFileError(f"{name}: {error.message}", error.hint) from error
        except (ValueError, IndexError) as error:
            raise VaspFileError(f"{name}: a table holds something else than numbers: {error}", "damaged?") from error
    return outcar


def _blocks(lines: list[str]) -> list[list[str]]:
    """Return the lines of each ionic step: from its first electronic step to the next ionic step's."""
    begins, last = [], None
    for k, line in enumerate(lines):
        if "Iteration" in line and (found := re.search(r"Iteration\s+(\d+)\s*\(", line)) and found.group(1) != last:
            last = found.group(1)
            begins.append(k)
    return [lines[a:b] for a, b in zip(begins, [*begins[1:], len(lines)], strict=True)]


def _symbols(head: str, n: int) -> list[str]:
    counts = [int(word) for word in (re.search(r"ions per type =(.*)", head) or [""] * 2)[1].split()]
    titles = re.findall(r"TITEL\s*=\s*\S+\s+(\S+)", head)
    if len(titles) != len(counts):  # POTCAR's are named twice
        titles = re.findall(r"^ POTCAR:\s+\S+\s+(\S+)", head, re.MULTILINE)[: len(counts)]
    symbols = [re.split(r"[_.\d]", title)[0] for title in titles]
    if len(symbols) != len(counts) or sum(counts) != n or any(s not in atomic_numbers for s in symbols):
        return []
    return [s for s, count in zip(symbols, counts, strict=True) for _ in range(count)]


def _step(lines: list[str], n: int, noncollinear: bool) -> OutcarStep:
    step = OutcarStep()
    tables: dict[str, FloatArray] = {}
    for k, line in enumerate(lines):
        if found := _TABLE.match(line):
            if found.group(1) == "x":
                tables = {}
            tables[found.group(1)] = _moments(lines[k + 1 :], n, found.group(1))
        elif _CONVERGED.search(line):
            step.converged = True
        elif found := _STEP_TOTEN.search(line):
            step.unexplained_eV = _unexplained(lines[:k], number(found.group(1)))
        elif found := _TOTEN.search(line):
            step.free_energy_eV = number(found.group(1))
        elif "direct lattice vectors" in line:
            step.cell = _matrix(lines[k + 1 : k + 4], 3)[:, :3]
        elif line.startswith("  in kB"):
            xx, yy, zz, xy, yz, zx = (number(word) for word in _FIXED.findall(line))
            step.stress = -0.1 * GPa * np.array([xx, yy, zz, yz, zx, xy])  # kB; VASP's sign is the other one
        elif "TOTAL-FORCE" in line:
            rows = _matrix(lines[k + 2 : k + 2 + n], n)
            step.positions, step.forces = rows[:, :3], rows[:, 3:]
    step.moments = _vectors(tables, n, noncollinear)
    return step


def _vectors(tables: dict[str, FloatArray], n: int, noncollinear: bool) -> FloatArray | None:
    """Return moments as vectors from the last group of tables; None where one of them is missing."""
    if set(tables) == {"x"} and not noncollinear:
        return np.column_stack([np.zeros(n), np.zeros(n), tables["x"]])
    if set(tables) != {"x", "y", "z"}:
        return None
    return np.column_stack([tables[axis] for axis in "xyz"])


def _moments(lines: list[str], n: int, axis: str) -> FloatArray:
    """Return the column ``tot`` of a table, held against the sum that VASP prints under it."""
    rows: list[float] = []
    total = None
    for line in lines:
        words = line.split()
        if words[:1] == ["tot"]:
            total = _last(words)
            break
        if words[:1] == [str(len(rows) + 1)] and len(rows) < n:
            rows.append(_last(words))
        elif words and not words[0].startswith(("#", "-")):
            break
    table = f"magnetization ({axis})"
    if len(rows) != n or (total is None and n > 1):
        raise VaspFileError(f"the table '{table}' has {len(rows)} of {n} ions", "cut off or damaged?")
    values = np.array(rows)
    sum_muB = float(values.sum())
    if total is not None and abs(sum_muB - total) > 5.1e-4 * (n + 1):  # each number is rounded to three digits
        raise VaspFileError(f"the sum of table '{table}' is {sum_muB:.3f} μB, its row 'tot' {total:.3f}", "damaged?")
    return values


def _last(words: list[str]) -> float:
    return number(words[-1])


def _matrix(lines: list[str], rows: int) -> FloatArray:
    """Return rows of six numbers."""
    found = [[number(word) for word in _FIXED.findall(line)] for line in lines]
    if len(found) != rows or any(len(row) != 6 for row in found):
        raise VaspFileError(f"a table of {rows} rows is incomplete", "cut off or damaged?")
    return np.array(found)


def _unexplained(lines: list[str], total: float) -> float:
    """Return TOTEN without the parts in the lines before it, 0 where there are none."""
    parts: list[float] = []
    for line in reversed(lines[-40:]):
        if "Free energy of the ion-electron system" in line:
            left = total - sum(parts)
            return left if abs(left) > _ROUNDED_eV else 0.0
        if found := _PART.search(line):
            parts.extend(number(word) for word in found.group(1).split())
    return 0.0
