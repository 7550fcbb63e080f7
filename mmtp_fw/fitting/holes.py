"""Holes of a potential where no label was: at larger moments, and at shorter distances.

The magnetic basis is one range for all species, the labels of each fill a part of it, and beyond that part a polynomial
may fall as deep as it likes: −1,500 eV was seen. `moment_holes` presses the moments of training configurations outward
from what their species was trained for to the end of the range (one moment, two neighbours, all of a species alike,
all with random signs) and looks whether the energy falls below what it is inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.potential import Potential, System, TrainedRange, moments_of
from mmtp_fw.potential.flips import BOLTZMANN

REACH = 20.0
"""Barriers up to so many kT are got over in the 10⁵ to 10⁸ steps of simulations."""

_CONFIGURATIONS = 6
_STEP = 0.1  # μB
_DEEPER = 1e-3  # eV per pressed moment below which a fall is a fall


@dataclass(frozen=True, eq=False)
class MomentHole:
    """A way out of the trained range along which the energy falls below what it is inside.

    Attributes
    ----------
    species : str
    pressed : str
        "one moment", "two neighbours", "all moments", "all moments, signs at random".
    moment : float
        Where the energy is lowest (μB).
    depth : float
        How far it has fallen there below the lowest inside, eV for all moments pressed.
    barrier : float
        The highest energy on the way there above the lowest inside (eV): divided by kT it tells who gets over.
    candidate : Atoms
        The training configuration with the moments where the fall begins: a label there closes the hole.
    """

    species: str
    pressed: str
    moment: float
    depth: float
    barrier: float
    candidate: Atoms

    @property
    def message(self) -> str:
        """One line."""
        return (
            f"the potential has a hole at moments of {self.species} beyond the trained ones: with {self.pressed} at "
            f"{self.moment:.1f} μB its energy is {self.depth:.3g} eV lower, over a barrier of {self.barrier:.2g} eV: "
            f"add labels with larger moments of {self.species}"
        )


@dataclass(frozen=True, eq=False)
class PairHole:
    """Two atoms that attract each other where they come nearer than any labelled ones.

    Attributes
    ----------
    species : str
        "Fe-Pd".
    distance : float
        Largest distance (Å) at which pressing the pair together lowers the energy.
    shortest : float
        Shortest distance (Å) in the configurations.
    barrier : float
        Energy of the pressed configuration above the one that it comes from (eV).
    candidate : Atoms
        The training configuration with the pair at that distance: a label there closes the hole.
    """

    species: str
    distance: float
    shortest: float
    barrier: float
    candidate: Atoms

    @property
    def message(self) -> str:
        """One line."""
        return (
            f"the potential turns attractive between {self.species} below {self.distance:.2f} Å (shortest trained "
            f"distance {self.shortest:.2f} Å): add labels at shorter distances"
        )


Hole = MomentHole | PairHole


def within_reach(holes: Iterable[Hole], temperature_K: float) -> list[Hole]:
    """Return the holes that a trajectory at some temperature will find: barriers up to 20 kT."""
    return [hole for hole in holes if hole.barrier <= REACH * BOLTZMANN * temperature_K]


def moment_holes(
    potential: Potential,
    configurations: Sequence[Atoms],
    trained: TrainedRange,
    listed: Callable[[Atoms], System] | None = None,
) -> list[MomentHole]:
    """Return the easiest hole of each species to get into, if it has one.

    Parameters
    ----------
    potential : Potential
    configurations : sequence of Atoms
        Labels; a few of them, evenly over the list, are pressed.
    trained : TrainedRange
        Of all labels.
    listed : callable, optional
        Gives a configuration with its neighbour list; by default a new one.
    """
    listed = potential.system if listed is None else listed
    if not potential.magnetic:
        return []
    found: dict[int, MomentHole] = {}
    for atoms in configurations[:: max(1, -(-len(configurations) // _CONFIGURATIONS))]:
        system, moments = listed(atoms), moments_of(atoms)
        for kind in np.unique(system.types).tolist():
            for pressed, which, signs in _ways(system, moments, kind):
                hole = _along(potential, atoms, system, (moments, which, signs), trained.limits[kind], pressed)
                if hole is not None and (kind not in found or hole.barrier < found[kind].barrier):
                    found[kind] = hole
    return [found[kind] for kind in sorted(found)]


def _ways(system: System, moments: FloatArray, kind: int) -> Iterator[tuple[str, IntArray, FloatArray]]:
    """Yield words, the atoms of a species to press, and their signs."""
    mine = np.flatnonzero(system.types == kind)
    first = mine[int(np.argmax(np.abs(moments[mine])))]
    sign = 1.0 if moments[first] >= 0 else -1.0
    for direction in (sign, -sign):
        yield "one moment", np.array([first]), np.array([direction])
    near = slice(system.first[first], system.first[first + 1])
    others = system.neighbors[near]
    alike = np.flatnonzero((system.types[others] == kind) & (others != first))
    if len(alike):
        lengths = np.einsum("ij,ij->i", system.vectors[near], system.vectors[near])
        pair = np.array([first, others[alike[int(np.argmin(lengths[alike]))]]])
        yield "two neighbours", pair, np.array([sign, sign])
        yield "two neighbours", pair, np.array([sign, -sign])
    if len(mine) > 2:
        yield "all moments", mine, np.full(len(mine), sign)
        yield "all moments, signs at random", mine, np.random.default_rng(len(mine)).choice([-1.0, 1.0], len(mine))


def _along(
    potential: Potential,
    atoms: Atoms,
    system: System,
    way: tuple[FloatArray, IntArray, FloatArray],
    limits: FloatArray,
    pressed: str,
) -> MomentHole | None:
    """Return the hole on the way of some moments, with their signs, from zero to the end of the range."""
    moments, which, signs = way
    low, high = potential.min_moment, potential.max_moment
    scale = np.arange(0.0, max(abs(low), abs(high)) + 0.5 * _STEP, _STEP)
    energies = np.empty(len(scale))
    for k, size in enumerate(scale):
        trial = moments.copy()
        trial[which] = np.clip(size * signs, low, high)
        energies[k] = potential.evaluate_system(system, trial).energy
    ends = np.where(signs > 0, limits[1], -limits[0])
    inside = scale <= float(ends.min())
    if inside.all() or not inside.any():
        return None
    at = int(np.argmin(energies[inside]))
    fallen = np.flatnonzero(~inside & (energies < energies[at] - _DEEPER * len(which)))
    if len(fallen) == 0:
        return None
    lowest = int(np.argmin(np.where(inside, np.inf, energies)))
    trial = moments.copy()
    trial[which] = np.clip(scale[fallen[0]] * signs, low, high)
    candidate = atoms.copy()
    candidate.calc = None
    candidate.set_initial_magnetic_moments(trial)
    return MomentHole(
        potential.species[int(system.types[which[0]])],
        pressed,
        float(scale[lowest] * signs[0]),
        float(energies[at] - energies[lowest]),
        float(energies[at : fallen[0] + 1].max() - energies[at]),
        candidate,
    )
