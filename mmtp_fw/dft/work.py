"""How much an electronic step has to compute: counted from cell, cut-off, k-points, electrons and bands.

The counts are leading orders with the prefactors of textbook algorithms; what a machine makes of them is one measured
number per engine (`mmtp_fw.dft.registry.EngineCosts`), or finished labels (`mmtp_fw.loop.cost.calibrate`). Only their
ratios are meant to be good: between cut-offs, meshes and cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ase import Atoms
from ase.data import atomic_numbers
from ase.units import Bohr

from mmtp_fw.dft.kpoints import k_grid
from mmtp_fw.errors import MmtpError

# Applications of the Hamiltonian to a band in one electronic step, and projectors of an atom.
_APPLICATIONS = 5
_PROJECTORS = 18
# Real operations of a complex multiplication and addition.
_COMPLEX = 8
_NOBLE = (0, 2, 10, 18, 36, 54, 86)


@dataclass(frozen=True)
class ScfWork:
    """What one electronic step of one cell computes.

    Attributes
    ----------
    atoms : int
    electrons : float
        Those that the engine treats; all of them in an all-electron program.
    bands : int
        Per spin channel, or of spinors.
    k_points : int
        That are computed, by symmetry equal ones left out where the engine does so.
    basis_functions : int
        Plane waves (or augmented ones) of a band at one k-point.
    operations : float
        Floating-point operations of one electronic step, an order of magnitude.
    assumed : tuple of str
        Species whose dataset is not on this machine, so that their electrons are guessed.
    """

    atoms: int
    electrons: float
    bands: int
    k_points: int
    basis_functions: int
    operations: float
    assumed: tuple[str, ...] = ()


def plane_waves(atoms: Atoms, cutoff_Ha: float) -> float:
    """Return the mean number of plane waves below a cut-off (Ha): V k³/6π².

    Examples
    --------
    >>> round(plane_waves(Atoms(cell=[3.0, 3.0, 3.0], pbc=True), 10.0))
    275
    """
    volume = float(atoms.get_volume()) / float(Bohr) ** 3
    return volume * math.pow(2.0 * cutoff_Ha, 1.5) / (6.0 * math.pi**2)


def valence_electrons(atoms: Atoms, valence: Callable[[str], float]) -> tuple[float, tuple[str, ...]]:
    """Return the electrons of a cell, and the species for which `valence` finds no dataset and they are guessed."""
    counts = {symbol: list(atoms.symbols).count(symbol) for symbol in sorted(set(atoms.symbols))}
    total, assumed = 0.0, []
    for symbol, count in counts.items():
        try:
            each = valence(symbol)
        except MmtpError:
            each = float(guessed_valence(symbol))
            assumed.append(symbol)
        total += count * each
    return total, tuple(assumed)


def guessed_valence(symbol: str) -> int:
    """Return the electrons beyond the last noble gas, without d and f shells that are closed below p electrons.

    Examples
    --------
    >>> [guessed_valence(symbol) for symbol in ("N", "Al", "Cr", "Fe", "Pt", "Sn")]
    [5, 3, 6, 8, 10, 4]
    """
    number = atomic_numbers[symbol]
    outer = number - max(core for core in _NOBLE if core < number)
    if number > 54 and outer > 16:
        outer -= 14
    if number > 18 and outer > 12:
        outer -= 10
    return outer


def plane_wave_work(
    atoms: Atoms,
    electrons: float,
    bands: int,
    cutoff_Ha: float,
    kspacing_per_A: float,
    spinors: bool = False,
    assumed: tuple[str, ...] = (),
) -> ScfWork:
    """Count what a step of a plane-wave program computes, without symmetry but time reversal.

    Two spin channels of `bands` bands at half of the k-points of the mesh, or spinors at all of them. A band takes a
    few applications of the Hamiltonian, each two Fourier transforms on a box of twice the sphere's diameter and the
    projectors of all atoms; bands are made orthogonal to one another.

    Parameters
    ----------
    atoms : Atoms
    electrons : float
    bands : int
    cutoff_Ha : float
        Of the wave functions.
    kspacing_per_A : float
        See `mmtp_fw.dft.kpoints.k_grid`.
    spinors : bool
    assumed : tuple of str
        See `ScfWork`.
    """
    mesh = math.prod(k_grid(atoms, kspacing_per_A))
    k_points = mesh if spinors else (mesh + 1) // 2
    waves = plane_waves(atoms, cutoff_Ha)
    box = 48.0 / math.pi * waves
    transforms = 2 * 5.0 * box * math.log2(box)
    projections = 2 * _COMPLEX * waves * _PROJECTORS * len(atoms)
    components = 2 if spinors else 1
    of_a_band = _APPLICATIONS * components * (transforms + projections)
    orthogonal = 2 * _COMPLEX * bands**2 * waves * components
    channels = 1 if spinors else 2
    operations = channels * k_points * (bands * of_a_band + orthogonal)
    return ScfWork(len(atoms), electrons, bands, k_points, round(waves), operations, assumed)


def augmented_wave_work(
    atoms: Atoms,
    bands: int,
    cutoff_Ha: float,
    kspacing_per_A: float,
) -> ScfWork:
    """Count what a step of an LAPW program computes: full diagonalisation of every k-point's matrix, then of spin.

    Parameters
    ----------
    atoms : Atoms
    bands : int
        Of one spin; the second variation mixes twice as many.
    cutoff_Ha : float
        ½ |G+k|² of the interstitial plane waves.
    kspacing_per_A : float
    """
    k_points = (math.prod(k_grid(atoms, kspacing_per_A)) + 1) // 2
    waves = plane_waves(atoms, cutoff_Ha)
    operations = k_points * _COMPLEX * (4.0 * waves**3 + 2.0 * (2 * bands) ** 3 + 4.0 * waves**2 * len(atoms) * 81)
    return ScfWork(len(atoms), float(atoms.numbers.sum()), bands, k_points, round(waves), operations)
