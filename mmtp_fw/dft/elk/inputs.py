"""Input files of Elk for one calculation of the protocol."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase import Atoms
from ase.units import Bohr

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.dft.elk.settings import ElkSettings
from mmtp_fw.dft.kpoints import k_grid

# Sets the sign of an atom's first magnetization, which Elk starts against the field, and tells symmetry which atoms are
# to differ; its size does nothing: Elk multiplies it by 1/274, and it is halved with each step.
_START_FIELD_per_muB = 0.01


def species_of(atoms: Atoms) -> list[str]:
    """Return the species in the order in which Elk gets them."""
    return sorted(set(atoms.symbols))


def species_order(atoms: Atoms) -> IntArray:
    """Return the indices of the atoms grouped by species, shape (n,): the order of Elk's files."""
    symbols = np.array(atoms.symbols)
    return np.concatenate([np.flatnonzero(symbols == species) for species in species_of(atoms)])


def input_text(
    atoms: Atoms,
    settings: ElkSettings,
    files: Mapping[str, str],
    start_moments: FloatArray,
    targets: FloatArray | None = None,
    restart: bool = False,
) -> str:
    """Return the text of ``elk.in``.

    Parameters
    ----------
    atoms : Atoms
    settings : ElkSettings
    files : mapping of str to str
        Name of each species' file in the calculation's directory.
    start_moments : ndarray, shape (n,)
        Their signs are started with where there is nothing to restart from.
    targets : ndarray, shape (n,), optional
        Muffin-tin moments (μB) to hold.
    restart : bool
        Whether STATE.OUT of another calculation is there.

    Notes
    -----
    Symmetry is off by default, as with the other engines: equal targets tie atoms together.
    """
    blocks = {
        "tasks": ["1" if restart else "0"],
        "sppath": ["'./'"],
        "avec": _rows(np.asarray(atoms.cell) / Bohr),
        "atoms": _atoms(atoms, files, start_moments),
        "ngridk": [" ".join(map(str, k_grid(atoms, settings.kspacing_per_A)))],
        "vkloff": [" ".join(map(str, settings.kshift))],
        "xctype": ["20"],  # PBE
        "spinpol": [".true."],
        "nosym": [".false." if settings.symmetry else ".true."],
        "tshift": [".false."],
        "rgkmax": [f"{settings.rgkmax}"],
        "nempty": [f"{settings.nempty}"],
        "stype": ["3"],
        "swidth": [f"{settings.swidth_Ha}"],
        "reducebf": ["0.5"],
        "maxscl": [f"{settings.maxscl}"],
        "epspot": [f"{settings.epspot_Ha}"],
        "epsengy": [f"{settings.epsengy_Ha}"],
        "tforce": [".true."],
    }
    if targets is not None:
        blocks["fsmtype"] = ["2"]
        blocks["taufsm"] = [f"{settings.taufsm}"]
        blocks["mommtfix"] = _targets(atoms, targets)
    # Elk wants a blank line after each block, the last one included.
    return "".join("\n".join([name, *(f"  {line}" for line in lines), "", ""]) for name, lines in blocks.items())


def _atoms(atoms: Atoms, files: Mapping[str, str], start: FloatArray) -> list[str]:
    lines = [str(len(files))]
    scaled = atoms.get_scaled_positions()
    for species in species_of(atoms):
        here = np.flatnonzero(np.array(atoms.symbols) == species)
        lines += [f"'{files[species]}'", str(len(here))]
        for k in here:
            field = -_START_FIELD_per_muB * start[k]
            lines.append(f"{' '.join(f'{x:.14f}' for x in scaled[k])}  0.0 0.0 {field:.8f}")
    return lines


def _targets(atoms: Atoms, targets: FloatArray) -> list[str]:
    lines = []
    for number, species in enumerate(species_of(atoms), start=1):
        here = np.flatnonzero(np.array(atoms.symbols) == species)
        lines += [f"{number} {k} 0.0 0.0 {targets[atom]:.10f}" for k, atom in enumerate(here, start=1)]
    return lines


def _rows(values: FloatArray) -> list[str]:
    return [" ".join(f"{float(x):.14f}" for x in row) for row in values]
