"""Phonons of one crystal in one magnetic arrangement, from a potential."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import PotentialWarning
from mmtp_fw.phonons.harmonic import Harmonic
from mmtp_fw.phonons.modes import Modes
from mmtp_fw.phonons.surface import AdiabaticSurface, SurfaceError

if TYPE_CHECKING:
    from mmtp_fw.potential import Potential

AT_REST_EV_PER_A = 1e-3
"""Largest force at which positions count as relaxed."""
MOST_STEPS = 500
"""Of the relaxation of positions."""


@dataclass(frozen=True)
class PhononSettings:
    """How phonons are computed.

    Attributes
    ----------
    supercell : three ints
        Repetitions of the unit cell in which atoms are displaced.
    step_A : float
        Length of the displacements.
    relax : bool
        Bring the positions to rest first, in the cell as it is.
    mesh_A : float
        Wave vectors are as dense as those of a crystal of this length.
    extrapolate : bool
        Go on outside the range that the potential was trained in, and tell it.
    """

    supercell: tuple[int, int, int] = (1, 1, 1)
    step_A: float = 0.01
    relax: bool = True
    mesh_A: float = 40.0
    extrapolate: bool = False


@dataclass(frozen=True, eq=False)
class Phonons:
    """Phonons of a crystal of n atoms, and what they depend on.

    Attributes
    ----------
    atoms : Atoms
        Where displacements start from, with its moments.
    energy_eV_per_atom : float
        At rest, of the potential.
    modes : Modes
    mesh : tuple of int
    force_constants : ndarray, shape (N, N, 3, 3)
        Of the supercell's N atoms, eV/Å².
    asymmetry_eV_per_A2, residual_eV_per_A : float
        What symmetrising changed at most, and the largest force at rest.
    displacements, evaluations : int
    verdicts : dict of str to int
        How many relaxations of the moments ended in which verdict.
    largest_change_muB : float
        Of a moment under a displacement.
    turned : dict of str to int
        By species, moments whose sign changed before displacements began.
    warnings : tuple of str
    """

    atoms: Atoms
    energy_eV_per_atom: float
    modes: Modes
    mesh: tuple[int, int, int]
    force_constants: FloatArray = field(repr=False)
    asymmetry_eV_per_A2: float
    residual_eV_per_A: float
    displacements: int
    evaluations: int
    verdicts: Mapping[str, int]
    largest_change_muB: float
    turned: Mapping[str, int]
    warnings: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return plain data: the crystal, the checks and the verdict, without force constants."""
        return {
            "cell_A": np.asarray(self.atoms.cell).tolist(),
            "symbols": self.atoms.get_chemical_symbols(),
            "masses_u": self.atoms.get_masses().tolist(),
            "positions_A": self.atoms.positions.tolist(),
            "moments_muB": self.atoms.get_initial_magnetic_moments().tolist(),
            "energy_eV_per_atom": self.energy_eV_per_atom,
            "mesh": list(self.mesh),
            "verdict": self.modes.verdict,
            "stable": self.modes.stable,
            "lowest_THz": self.modes.lowest_THz,
            "imaginary_fraction": self.modes.imaginary_fraction,
            "zero_fraction": self.modes.zero_fraction,
            "asymmetry_eV_per_A2": self.asymmetry_eV_per_A2,
            "residual_eV_per_A": self.residual_eV_per_A,
            "displacements": self.displacements,
            "evaluations": self.evaluations,
            "moment_relaxations": dict(self.verdicts),
            "largest_moment_change_muB": self.largest_change_muB,
            "moments_turned": dict(self.turned),
            "warnings": list(self.warnings),
        }


def phonons(
    potential: Potential, atoms: Atoms, start: FloatArray | None = None, settings: PhononSettings | None = None
) -> Phonons:
    """Compute the phonons of a crystal with the moments at their minimum at every displacement.

    Parameters
    ----------
    potential : Potential
    atoms : Atoms
        Unit cell of n atoms. For a disordered alloy or magnet it is the whole cell that stands for the crystal.
    start : ndarray, shape (n,), optional
        Moments (μB) whose basin is meant; by default the lowest of the patterns of `Potential.relax_moments`.
    settings : PhononSettings, optional

    Raises
    ------
    SurfaceError
        Moments without a minimum to stay in, or outside the trained range; positions that do not come to rest.
    InputError
        A crystal, supercell, step or start that makes no sense.
    """
    chosen = settings or PhononSettings()
    unit, turned = _at_rest(potential, atoms, start, chosen)
    moments = unit.get_initial_magnetic_moments() if potential.magnetic else None
    # Up and down are alike only to a potential that has time reversal.
    symmetry = potential.symmetrized or not potential.magnetic
    crystal = Harmonic(unit, moments, chosen.supercell, chosen.step_A, symmetry)
    surface = AdiabaticSurface(potential, crystal.supercell, _repeated(crystal), chosen.extrapolate)
    crystal.solve(surface.forces)
    mesh = crystal.mesh_of(chosen.mesh_A)
    return Phonons(
        atoms=unit,
        energy_eV_per_atom=surface.energy / len(crystal.supercell),
        modes=crystal.modes(mesh),
        mesh=mesh,
        force_constants=crystal.force_constants,
        asymmetry_eV_per_A2=crystal.asymmetry,
        residual_eV_per_A=surface.residual,
        displacements=len(crystal.displaced),
        evaluations=surface.evaluations,
        verdicts=surface.verdicts,
        largest_change_muB=surface.largest_change,
        turned=turned,
        warnings=(*surface.warnings, *_told(potential, crystal, surface, turned)),
    )


def _repeated(crystal: Harmonic) -> FloatArray | None:
    return None if crystal.moments is None else crystal.supercell.get_initial_magnetic_moments()


def _told(potential: Potential, crystal: Harmonic, surface: AdiabaticSurface, turned: Mapping[str, int]) -> list[str]:
    heights = 1.0 / np.linalg.norm(np.linalg.inv(np.asarray(crystal.supercell.cell)), axis=0)
    found = []
    if heights.min() < 2.0 * potential.r_cut:
        found.append(
            f"the supercell is {heights.min():.1f} Å thin, less than twice the cut-off of {potential.r_cut:g} Å: atoms "
            "feel their own images, and only wave vectors that fit into the supercell are exact"
        )
    if surface.residual > 10.0 * AT_REST_EV_PER_A:
        found.append(
            f"forces of up to {surface.residual:.3f} eV/Å at rest: these are no phonons about a minimum of the energy"
        )
    if turned:
        counts = ", ".join(f"{count} of {name}" for name, count in turned.items())
        found.append(f"moments changed sign before the displacements, so that this is another arrangement: {counts}")
    return found


def _at_rest(
    potential: Potential, atoms: Atoms, start: FloatArray | None, settings: PhononSettings
) -> tuple[Atoms, dict[str, int]]:
    """Return the unit cell with relaxed moments, and positions if that is asked for; and which moments turned."""
    surface = AdiabaticSurface(potential, atoms, start, settings.extrapolate)
    first = surface.moments if start is None else np.asarray(start, dtype=np.float64)
    rest: Atoms = atoms.copy()
    rest.calc = None
    if settings.relax and surface.residual > AT_REST_EV_PER_A:
        rest.positions = _relaxed_positions(potential, atoms, surface.moments)
        surface = AdiabaticSurface(potential, rest, _followed(potential, rest, surface.moments), settings.extrapolate)
    rest.set_initial_magnetic_moments(surface.moments)
    symbols, turned = np.array(rest.get_chemical_symbols()), surface.moments * first < 0
    counts = {name: int(turned[symbols == name].sum()) for name in dict.fromkeys(symbols.tolist())}
    return rest, {name: count for name, count in counts.items() if count}


def _followed(potential: Potential, rest: Atoms, moments: FloatArray) -> FloatArray | None:
    return moments if potential.magnetic else None


def _relaxed_positions(potential: Potential, atoms: Atoms, moments: FloatArray) -> FloatArray:
    """Return positions (Å), shape (n, 3), without forces, with the moments followed from step to step."""
    from ase.optimize import LBFGS

    from mmtp_fw.potential.calculator import MmtpCalculator

    moving = atoms.copy()
    moving.set_initial_magnetic_moments(moments)
    moving.calc = MmtpCalculator(potential, relax_moments=potential.magnetic, tolerance=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PotentialWarning)  # the surface judges where this ends
        done = LBFGS(moving, logfile=os.devnull, maxstep=0.1).run(fmax=AT_REST_EV_PER_A, steps=MOST_STEPS)
    if not done:
        left = float(np.abs(moving.get_forces()).max())
        raise SurfaceError(
            f"positions did not come to rest in {MOST_STEPS} steps: a force of {left:.3f} eV/Å is left",
            "another structure or arrangement; --as-is takes the positions as they are",
        )
    return np.asarray(moving.positions, dtype=np.float64)
