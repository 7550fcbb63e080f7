"""Input files of ABINIT for one calculation of the protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.abinit.settings import AbinitSettings
from mmtp_fw.dft.engine import ConstraintKind
from mmtp_fw.dft.kpoints import k_grid


def input_text(
    atoms: Atoms,
    settings: AbinitSettings,
    valence: Mapping[str, float],
    radii_bohr: Mapping[str, float],
    moments: FloatArray,
    kind: ConstraintKind = ConstraintKind.NONE,
    lambda_eV_per_muB2: float | None = None,
    density: str | None = None,
    wavefunction: str | None = None,
) -> str:
    """Return the text of an ABINIT input file.

    Parameters
    ----------
    atoms : Atoms
    settings : AbinitSettings
    valence : mapping of str to float
        Valence electrons of each species' dataset, which is to be called ``<species>.xml``.
    radii_bohr : mapping of str to float
        Sphere radius of each species.
    moments : ndarray, shape (n,)
        Starting moments; under a constraint m^constr (μB).
    kind : ConstraintKind
    lambda_eV_per_muB2 : float, optional
        Strength of the penalty of a soft constraint.
    density, wavefunction : str, optional
        Files to restart from, relative to the calculation's directory.

    Notes
    -----
    Symmetry is switched off: `spinat` enters ABINIT's search for it, so that equal targets would force
    equal moments, and calculations with and without constraint would not be comparable. Spheres, their smearing and
    the mixing are the same in every calculation, so that "moment" and ``tolvrs`` mean one thing: the mixing is that of
    the potential (``iscf 7``), the only one in which a hard constraint exists.
    """
    species = sorted(set(atoms.symbols))
    number = dict(zip(atoms.symbols, atoms.numbers, strict=True))
    electrons = sum(valence[symbol] for symbol in atoms.symbols)
    lines = [
        f"acell 3*1.0  # rprim in bohr\nrprim\n{_rows(np.asarray(atoms.cell) / Bohr)}",
        f"natom {len(atoms)}",
        f"ntypat {len(species)}",
        f"znucl {' '.join(str(number[s]) for s in species)}",
        f"typat {' '.join(str(species.index(s) + 1) for s in atoms.symbols)}",
        f"xcart\n{_rows(atoms.positions / Bohr)}",
        "nsym 1",
        "nsppol 2\nnspden 2",
        f"ecut {settings.ecut_Ha}\npawecutdg {settings.pawecutdg_Ha}\necutsm {settings.ecutsm_Ha}",
        f"ngkpt {' '.join(map(str, k_grid(atoms, settings.kspacing_per_A)))}",
        f"nshiftk 1\nshiftk {' '.join(map(str, settings.kshift))}",
        f"occopt 4\ntsmear {settings.tsmear_Ha}",
        f"nband {number_of_bands(electrons)}",
        f"iscf 7\nnpulayit {settings.npulayit}\nnstep {settings.nstep}\ntolvrs {settings.tolvrs}",
        f"ratsph {' '.join(f'{radii_bohr[s]:.4f}' for s in species)}\nratsm {settings.ratsm_bohr}",
        "optforces 1\noptstress 1",
        "prteig 0\nprtebands 0",
        "chkexit 1",  # a file abinit.exit ends it after its electronic step, with density and wavefunction written
        f"spinat\n{_rows([[0.0, 0.0, float(m)] for m in moments])}",
        'pp_dirpath "."',
        f'pseudos "{", ".join(f"{s}.xml" for s in species)}"',
    ]
    for key, value in (("diemix", settings.diemix), ("diemixmag", settings.diemixmag)):
        if value is not None:
            lines.append(f"{key} {value}")
    if kind is ConstraintKind.HARD:
        lines.append(f"constraint_kind {len(species)}*1")
    elif kind is ConstraintKind.SOFT:
        assert lambda_eV_per_muB2 is not None
        lines.append(f"magconon 2\nmagcon_lambda {lambda_eV_per_muB2 / Hartree:.12g}")
    if density:
        lines.append(f'getden_filepath "{density}"')
    if wavefunction:
        lines.append(f'getwfk_filepath "{wavefunction}"')
    return "\n".join(lines) + "\n"


def number_of_bands(electrons: float) -> int:
    """Return the bands of each spin channel that a cell is computed with."""
    return math.ceil(0.625 * electrons) + 4


def _rows(values: Sequence[Sequence[float]] | FloatArray) -> str:
    return "\n".join("  " + " ".join(f"{float(x):.14f}" for x in row) for row in values)
