"""vasprun.xml: structure, free energy, forces and stress of every ionic step."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from ase.units import GPa

from mmtp_fw.arrays import FloatArray
from mmtp_fw.vaspio.text import VaspFileError, number


@dataclass(frozen=True)
class VasprunStep:
    """One ionic step, in the order of POSCAR.

    Attributes
    ----------
    free_energy_eV : float
        F (``e_fr_energy``), which holds a penalty; without the pV that it has under PSTRESS.
    cell : ndarray, shape (3, 3)
        Å.
    scaled_positions : ndarray, shape (n, 3)
    forces : ndarray, shape (n, 3)
        eV/Å.
    stress : ndarray, shape (6,), or None
        eV/Å³, ASE sign, Voigt (xx yy zz yz xz xy).
    """

    free_energy_eV: float
    cell: FloatArray
    scaled_positions: FloatArray
    forces: FloatArray
    stress: FloatArray | None


@dataclass(frozen=True)
class Vasprun:
    """What a vasprun.xml says: species of the ions, whether there are moments, whether INCAR constrained them."""

    symbols: list[str]
    magnetic: bool
    constrained: bool
    steps: list[VasprunStep]


def parse_vasprun(text: str, name: str = "vasprun.xml") -> Vasprun:
    """Return what a vasprun.xml says.

    Raises
    ------
    VaspFileError
        Cut off, without a complete ionic step, anything but numbers where they stand.
    """
    # The encoding that VASP declares is that of the bytes, which are decoded already.
    _, begin, rest = text.lstrip().partition("<modeling")
    try:
        root = ElementTree.fromstring(begin + rest)
    except ElementTree.ParseError as error:
        raise VaspFileError(f"{name} is cut off: {error}", "was VASP killed?") from error
    tags = {i.get("name", ""): (i.text or "").strip() for i in root.iter("i") if i.get("name") in _TAGS}
    try:
        symbols = [(c.text or "").strip() for c in root.findall("atominfo/array[@name='atoms']/set/rc/c[1]")]
        pressure = number(tags.get("PSTRESS", "0")) * 0.1 * GPa  # kB
        steps = [_step(element, len(symbols), pressure) for element in root.findall("calculation")]
    except VaspFileError as error:
        raise VaspFileError(f"{name} {error.message}", error.hint) from error
    except ValueError as error:
        raise VaspFileError(f"{name}: a table holds something else than numbers: {error}", "damaged?") from error
    if not steps:
        raise VaspFileError(f"{name} has no complete ionic step", "did VASP come to its end?")
    return Vasprun(
        symbols=symbols,
        magnetic=tags.get("LNONCOLLINEAR", "F").startswith("T") or tags.get("ISPIN") == "2",
        constrained=tags.get("I_CONSTRAINED_M", "0") != "0",
        steps=steps,
    )


_TAGS = {"LNONCOLLINEAR", "ISPIN", "I_CONSTRAINED_M", "PSTRESS"}


def _step(element: Element, n: int, pressure: float) -> VasprunStep:
    energy = element.find("energy/i[@name='e_fr_energy']")
    if energy is None or not energy.text:
        raise VaspFileError("has no complete ionic step: no e_fr_energy", "did VASP come to its end?")
    forces = _rows(element, "varray[@name='forces']")
    if forces is None:
        raise VaspFileError("has no complete ionic step: no forces")
    if forces.shape[1] != 3:
        raise VaspFileError("has forces that are no vectors", "damaged?")
    cell = _rows(element, "structure/crystal/varray[@name='basis']")
    positions = _rows(element, "structure/varray[@name='positions']")
    if cell is None or cell.shape != (3, 3) or positions is None or positions.shape != (n, 3):
        raise VaspFileError(f"has no complete ionic step: no structure of {n} ions")
    stress = _rows(element, "varray[@name='stress']")
    if stress is not None:
        if stress.shape != (3, 3):
            raise VaspFileError("has a stress that is no tensor")
        # VASP's stress is the negative of ASE's, in kB = 0.1 GPa.
        stress = -0.1 * GPa * stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    enthalpy = number(energy.text)
    return VasprunStep(enthalpy - pressure * abs(float(np.linalg.det(cell))), cell, positions, forces, stress)


def _rows(element: Element, path: str) -> FloatArray | None:
    found = element.find(path)
    if found is None:
        return None
    rows = [[number(word) for word in (v.text or "").split()] for v in found.findall("v")]
    if len({len(row) for row in rows}) != 1:
        raise VaspFileError(f"has rows of different lengths in {path}", "damaged?")
    return np.array(rows)
