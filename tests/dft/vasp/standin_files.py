"""OSZICAR, OUTCAR and vasprun.xml in VASP's layout, for the stand-in (a test double for VASP)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import GPa


@dataclass
class State:
    """What the files are to say; moments and tables in the order of POSCAR, shape (n,), along z."""

    atoms: Atoms
    incar: dict[str, str]
    grid: tuple[int, int, int]
    titles: list[str]
    free_energy: float
    penalty: float
    strength: float | None
    constraint: np.ndarray | None
    forces: np.ndarray
    stress: np.ndarray
    final: np.ndarray
    unsmoothed: np.ndarray
    smoothed: np.ndarray
    steps: int
    converged: bool
    aborted: bool = False

    @property
    def extrapolated(self) -> float:
        """energy(sigma->0): a little off, so that nobody takes it for the free energy unnoticed."""
        return self.free_energy - 0.0005 * len(self.atoms)


def read_poscar() -> Atoms:
    """Return the structure of POSCAR, in direct or Cartesian coordinates (ase.io takes a second to import)."""
    lines = Path("POSCAR").read_text().splitlines()
    cell = float(lines[1]) * np.array([line.split()[:3] for line in lines[2:5]], dtype=float)
    symbols = [s for s, n in zip(lines[5].split(), lines[6].split(), strict=True) for _ in range(int(n))]
    rows = np.array([line.split()[:3] for line in lines[8 : 8 + len(symbols)]], dtype=float)
    scaled = lines[7].strip().lower().startswith("d")
    return Atoms(symbols, cell=cell, pbc=True, positions=rows @ cell if scaled else rows)


def fortran(value: float, digits: int, width: int) -> str:
    """Return ``E`` format as Fortran writes it: 0.12345E+02."""
    if not math.isfinite(value):
        return "NaN".rjust(width)
    exponent = 0 if value == 0 else math.floor(math.log10(abs(value))) + 1
    mantissa = value / 10.0**exponent
    if abs(round(mantissa, digits)) >= 1:
        mantissa, exponent = mantissa / 10, exponent + 1
    return f"{mantissa:.{digits}f}E{exponent:+03d}".rjust(width)


def step_energy(state: State, step: int) -> float:
    """Return the energy after an electronic step, on its way to the last."""
    left = 0.0 if step == state.steps else 30.0 * math.exp(-0.7 * step)
    return state.free_energy + left


# -- OSZICAR -------------------------------------------------------------------------------------------


OSZICAR_HEAD = "       N       E                     dE             d eps       ncg     rms          rms(c)\n"


def oszicar_step(state: State, step: int) -> str:
    """Return the lines of one electronic step."""
    text = ""
    if state.strength is not None:
        text += f"\n{_penalty_line(state)}<lVp>={fortran(state.penalty, 5, 13)}\n DBL = {fortran(0.0, 5, 12)}\n"
        text += " ion        MW_int                 M_int\n"
        for k, (smooth, plain) in enumerate(zip(state.smoothed, state.unsmoothed, strict=True)):
            text += f"{k + 1:3d}{0.0:7.3f}{0.0:7.3f}{smooth:7.3f}  {0.0:7.3f}{0.0:7.3f}{plain:7.3f}\n"
    energy = step_energy(state, step)
    change = energy - (0.0 if step == 1 else step_energy(state, step - 1))
    numbers = f"{fortran(energy, 12, 23)}{fortran(change, 5, 15)}{fortran(-abs(change), 5, 15)}"
    return text + f"DAV:{step:4d}{numbers}{1000 + step:6d}{fortran(abs(change), 3, 12)}\n"


def oszicar_end(state: State) -> str:
    """Return the last line, and the table that VASP adds under a constraint."""
    free, zero = fortran(state.free_energy, 8, 15), fortran(state.extrapolated, 8, 15)
    free, zero = (text.strip().replace("-0.", "-.").rjust(15) for text in (free, zero))
    change = fortran(state.free_energy - state.extrapolated, 6, 12).strip()
    total = float(np.sum(state.final))
    text = f"   1 F={free} E0={zero}  d E ={change}  mag={0.0:11.4f}{0.0:11.4f}{total:11.4f}\n"
    if state.strength is not None and state.constraint is not None:
        text += f"\n{_penalty_line(state)} ion             lambda*MW_perp\n"
        for k, left in enumerate(state.strength * (state.smoothed - state.constraint)):
            text += f"{k + 1:3d}{fortran(0.0, 5, 13)}{fortran(0.0, 5, 13)}{fortran(left, 5, 13)}\n"
    return text


def _penalty_line(state: State) -> str:
    return f" E_p ={fortran(state.penalty, 5, 13)}  lambda ={fortran(state.strength or 0.0, 3, 11)}\n"


# -- OUTCAR --------------------------------------------------------------------------------------------


def outcar_head(state: State) -> str:
    """Return what comes before the first electronic step."""
    symbols = list(state.atoms.symbols)
    counts = [symbols.count(symbol) for symbol in dict.fromkeys(symbols)]
    potcars = "".join(f" POTCAR:    {title}\n" for title in state.titles) * 2
    return (
        " vasp.6.4.2 stand-in: a test double, no VASP\n\n"
        " executed on             standin date 2026.01.01  00:00:00\n"
        " running on    1 total cores\n\n"
        f" INCAR:\n{potcars}\n Dimension of arrays:\n"
        "   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands    NBANDS=     16\n"
        f"   number of dos      NEDOS =    301   number of ions     NIONS = {len(symbols):6d}\n"
        "   total plane-waves  NPLWV =  13824\n"
        f"   ions per type =            {''.join(f'{count:4d}' for count in counts)}\n\n"
        "   ISPIN  =      1    spin polarized calculation?\n"
        "   LNONCOLLINEAR =      T non collinear calculations\n"
        "   IBRION =     -1    ionic relax: 0-MD 1-quasi-New 2-CG\n"
        f"   NELM   = {state.incar['NELM']:>6};   NELMIN={state.incar['NELMIN']:>3}; NELMDL= -5     # of ELM steps\n\n"
        " k-points in reciprocal lattice and weights: stand-in\n"
        "   0.00000000  0.00000000  0.00000000       1.000\n\n"
        f"\n\n{'-' * 104}\n\n\n"
        " k-point   1 :   0.0000 0.0000 0.0000  plane waves:     800\n\n"
        " maximum and minimum number of plane-waves per node :       800      800\n\n"
    )


def outcar_step(state: State, step: int) -> str:
    """Return the lines of one electronic step."""
    dashes = "-" * 39
    return (
        f"\n{dashes} Iteration {1:6d}({step:4d})  {dashes}\n\n"
        "      LOOP:  cpu time    0.0100: real time    0.0100\n"
        f"  free energy    TOTEN  = {step_energy(state, step):18.8f} eV\n"
    )


def outcar_end(state: State) -> str:
    """Return what comes after the last electronic step."""
    if state.aborted:
        ended = "hard stop encountered!  aborting job ..."
    elif state.converged:
        ended = "aborting loop because EDIFF is reached"
    else:
        ended = "aborting loop EDIFF was not reached (unconverged)"
    total = float(np.sum(state.final))
    text = f"\n------------------------ {ended} ----------------------------------------\n\n"
    text += " E-fermi :   5.0000     XC(G=0):  -9.0000     alpha+bet : -7.0000\n\n"
    text += f" number of electron     128.0000000 magnetization {0.0:15.7f}{0.0:15.7f}{total:15.7f}\n\n"
    text += _table("total charge", np.full(len(state.final), 7.0))
    for axis, values in zip("xyz", (0 * state.final, 0 * state.final, state.final), strict=True):
        text += _table(f"magnetization ({axis})", values)
    return text + _outcar_forces(state) + _outcar_timing()


def _table(title: str, values: np.ndarray) -> str:
    rows = [*((f"{k + 1:5d}    ", value) for k, value in enumerate(values)), ("tot      ", float(np.sum(values)))]
    lines = [f"{head}{0.0:8.3f}{0.0:8.3f}{value:8.3f}{value:8.3f}" for head, value in rows]
    body = "\n".join([*lines[:-1], "-" * 50, lines[-1]])
    return f" {title}\n \n# of ion       s       p       d       tot\n{'-' * 42}\n{body}\n\n\n\n"


def _outcar_forces(state: State) -> str:
    in_kB = -state.stress / GPa * 10
    xx, yy, zz, yz, xz, xy = in_kB
    kB = "".join(f"{value:12.5f}" for value in (xx, yy, zz, xy, yz, xz))
    cell, reciprocal = np.asarray(state.atoms.cell), np.asarray(state.atoms.cell.reciprocal())
    vectors = "".join(f"{''.join(f'{x:13.9f}' for x in (*a, *b))}\n" for a, b in zip(cell, reciprocal, strict=True))
    positions = state.atoms.positions[: len(state.forces)]
    rows = "".join(
        f"{''.join(f'{x:13.5f}' for x in r)}    {''.join(f'{x:14.6f}' for x in f)}\n"
        for r, f in zip(positions, state.forces, strict=True)
    )
    line = f" {'-' * 83}\n"
    return (
        "  FORCE on cell =-STRESS in cart. coord.  units (eV):\n"
        "  Direction    XX          YY          ZZ          XY          YZ          ZX\n"
        f"  in kB  {kB}\n  external pressure = {(xx + yy + zz) / 3:11.2f} kB  Pullay stress =        0.00 kB\n\n"
        "  VOLUME and BASIS-vectors are now :\n"
        f"      direct lattice vectors                 reciprocal lattice vectors\n{vectors}\n"
        f" POSITION                                       TOTAL-FORCE (eV/Angst)\n{line}{rows}{line}"
        f"    total drift:                       {0.0:14.6f}{0.0:14.6f}{0.0:14.6f}\n\n"
        "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n"
        f"  ---------------------------------------------------\n"
        f"  free  energy   TOTEN  = {state.free_energy:18.8f} eV\n\n"
        f"  energy  without entropy= {state.extrapolated:17.8f}  energy(sigma->0) = {state.extrapolated:17.8f}\n\n"
    )


def _outcar_timing() -> str:
    return (
        "\n General timing and accounting informations for this job:\n"
        " ========================================================\n\n"
        "                  Total CPU time used (sec):        1.000\n"
        "                            User time (sec):        1.000\n"
        "                          System time (sec):        0.000\n"
        "                         Elapsed time (sec):        1.000\n\n"
        "                   Maximum memory used (kb):        1000.\n"
    )


# -- vasprun.xml ---------------------------------------------------------------------------------------


def vasprun(state: State) -> str:
    """Return the whole vasprun.xml."""
    symbols = list(state.atoms.symbols)
    kinds = list(dict.fromkeys(symbols))
    atoms = "".join(f"    <rc><c>{s:2s}</c><c>{kinds.index(s) + 1:4d}</c></rc>\n" for s in symbols)
    types = "".join(
        f"    <rc><c>{symbols.count(s):4d}</c><c>{s:2s}</c><c>55.847</c><c>8.0</c><c>  {title}  </c></rc>\n"
        for s, title in zip(kinds, state.titles, strict=True)
    )
    steps = "".join(f"  <scstep>\n{_energy(step_energy(state, k + 1), state)}  </scstep>\n" for k in range(state.steps))
    xx, yy, zz, yz, xz, xy = -state.stress / GPa * 10
    stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    nelm = state.incar["NELM"]
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n'
        ' <generator>\n  <i name="program" type="string">vasp </i>\n  <i name="version" type="string">6.4.2  </i>\n'
        '  <i name="subversion" type="string">stand-in, no VASP </i>\n </generator>\n'
        f' <incar>\n  <i type="int" name="NELM">{nelm:>6}</i>\n  <i type="logical" name="LNONCOLLINEAR"> T  </i>\n'
        ' </incar>\n <kpoints>\n  <generation param="Gamma">\n'
        f'   <v type="int" name="divisions">{state.grid[0]:8d}{state.grid[1]:8d}{state.grid[2]:8d} </v>\n'
        '   <v name="usershift"> 0.0 0.0 0.0 </v>\n  </generation>\n'
        '  <varray name="kpointlist" >\n   <v> 0.0 0.0 0.0 </v>\n  </varray>\n'
        '  <varray name="weights" >\n   <v> 1.0 </v>\n  </varray>\n </kpoints>\n'
        f' <parameters>\n  <separator name="electronic" >\n   <i type="int" name="NELM">{nelm:>6}</i>\n'
        '   <i type="int" name="ISPIN">     1</i>\n   <i type="logical" name="LNONCOLLINEAR"> T  </i>\n'
        '   <i type="int" name="NSW">     0</i>\n   <i type="int" name="IBRION">    -1</i>\n'
        "  </separator>\n </parameters>\n"
        f" <atominfo>\n  <atoms>{len(symbols):8d} </atoms>\n  <types>{len(kinds):8d} </types>\n"
        '  <array name="atoms" >\n   <dimension dim="1">ion</dimension>\n   <field type="string">element</field>\n'
        f'   <field type="int">atomtype</field>\n   <set>\n{atoms}   </set>\n  </array>\n'
        '  <array name="atomtypes" >\n   <dimension dim="1">type</dimension>\n'
        '   <field type="int">atomspertype</field>\n'
        '   <field type="string">element</field>\n   <field>mass</field>\n   <field>valence</field>\n'
        f'   <field type="string">pseudopotential</field>\n   <set>\n{types}   </set>\n  </array>\n </atominfo>\n'
        f"{_structure(state.atoms, 'initialpos')} <calculation>\n{steps}{_structure(state.atoms, None)}"
        f"{_varray('forces', state.forces)}{_varray('stress', stress)}{_energy(state.free_energy, state)}"
        f" </calculation>\n{_structure(state.atoms, 'finalpos')}</modeling>\n"
    )


def _energy(free: float, state: State) -> str:
    zero = free + state.extrapolated - state.free_energy
    return (
        f'   <energy>\n    <i name="e_fr_energy">{free:16.8f} </i>\n    <i name="e_wo_entrp">{zero:16.8f} </i>\n'
        f'    <i name="e_0_energy">{zero:16.8f} </i>\n   </energy>\n'
    )


def _structure(atoms: Atoms, name: str | None) -> str:
    head = "<structure>" if name is None else f'<structure name="{name}" >'
    crystal = _varray("basis", np.asarray(atoms.cell)) + f'   <i name="volume">{atoms.get_volume():16.8f} </i>\n'
    crystal += _varray("rec_basis", np.asarray(atoms.cell.reciprocal()))
    positions = _varray("positions", atoms.get_scaled_positions())
    return f" {head}\n  <crystal>\n{crystal}  </crystal>\n{positions} </structure>\n"


def _varray(name: str, rows: np.ndarray) -> str:
    lines = "".join(f"    <v>{''.join(f'{x:20.12f}' for x in row)} </v>\n" for row in rows)
    return f'   <varray name="{name}" >\n{lines}   </varray>\n'
