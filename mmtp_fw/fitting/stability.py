"""Whether a potential is safe where no label ever was: at short distances, and at moments beyond the labels'.

A polynomial knows nothing of distances below the training set's shortest. A potential with a *hole* there,
an energy that falls as two atoms come together, lets a hot trajectory fall into it. Guards:

* the radial basis reaches down to r_min; take it a little (5–10 %) below the shortest distance of the
  training set, so that no label lies outside, and the basis isn't stretched over a range without data;
* `check_stability` presses pairs of atoms of training configurations together and reports a force that turns
  attractive, and moments outward (see `mmtp_fw.fitting.holes`) and reports an energy that falls;
* in MD the grade rises steeply below the trained distances, and the run stops at γ_break: the snapshot
  before is a candidate, whose label closes the hole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.fitting.holes import MomentHole, moment_holes
from mmtp_fw.potential import Potential, System, Systems, TrainedRange, moments_of
from mmtp_fw.potential.flips import BOLTZMANN

REACH = 20.0
"""Barriers up to so many kT are got over in the 10⁵ to 10⁸ steps of simulations."""
_Pair = tuple[float, int, int, int, FloatArray]  # Å, configuration, two atoms, the vector between them (3,)
_COMPRESSIONS = np.linspace(1.0, 0.8, 9)


@dataclass(frozen=True)
class Stability:
    """What was found.

    Attributes
    ----------
    stable : bool
    messages : list of str
        One for each pair of species, and each species, with a hole.
    holes : dict
        "A-B" -> largest distance (Å) at which pressing the pair together lowers the energy.
    shortest : dict
        "A-B" -> shortest distance (Å) in the configurations.
    moment_holes : list of MomentHole
        One of each species that has one.
    """

    stable: bool
    messages: list[str] = field(default_factory=list)
    holes: dict[str, float] = field(default_factory=dict)
    shortest: dict[str, float] = field(default_factory=dict)
    moment_holes: list[MomentHole] = field(default_factory=list)

    @property
    def candidates(self) -> list[Atoms]:
        """Configurations whose labels would close the holes at large moments."""
        return [hole.candidate for hole in self.moment_holes]

    def within_reach(self, temperature_K: float) -> list[MomentHole]:
        """Return the holes at moments that a trajectory at some temperature will find: barriers up to 20 kT."""
        return [hole for hole in self.moment_holes if hole.barrier <= REACH * BOLTZMANN * temperature_K]


def check_stability(
    potential: Potential,
    configurations: Sequence[Atoms],
    compressions: Sequence[float] = tuple(_COMPRESSIONS),
    systems: Systems | None = None,
) -> Stability:
    """Press the closest pair of each two species together, and moments outward, and look whether the energy rises.

    Parameters
    ----------
    potential : Potential
    configurations : sequence of Atoms
        Where surroundings and moments come from; the one with the shortest distance is taken for each pair.
    compressions : sequence of float
        Distances, in units of the shortest one, descending from 1.
    systems : Systems, optional
        Where others look at the same configurations: every neighbour list is made once.

    Returns
    -------
    Stability
    """
    listed = potential.system if systems is None else systems.serving(potential).of
    closest = _closest_pairs(potential, configurations, listed)
    holes = {}
    for name, (length, k, i, j, vector) in closest.items():
        hole = _hole(potential, configurations[k], i, j, vector, compressions)
        if hole is not None:
            holes[name] = hole * length
    shortest = {name: found[0] for name, found in closest.items()}
    messages = [
        f"the potential turns attractive between {name} below {distance:.2f} Å (shortest trained distance "
        f"{shortest[name]:.2f} Å): add labels at shorter distances"
        for name, distance in holes.items()
    ]
    trained = potential.trained or TrainedRange.of(potential, configurations, listed)
    pressed = moment_holes(potential, configurations, trained, listed)
    messages += [hole.message for hole in pressed]
    return Stability(not (holes or pressed), messages, holes, shortest, pressed)


def _closest_pairs(
    potential: Potential, configurations: Sequence[Atoms], listed: Callable[[Atoms], System]
) -> dict[str, _Pair]:
    """Return for each two species the shortest distance, where it is, and between which atoms."""
    closest: dict[str, _Pair] = {}
    for k, atoms in enumerate(configurations):
        system = listed(atoms)
        lengths = np.linalg.norm(system.vectors, axis=1)
        centers = np.repeat(np.arange(len(system)), np.diff(system.first))
        kinds = np.sort(np.stack([system.types[centers], system.types[system.neighbors]]), axis=0)
        for pair in np.unique(kinds, axis=1).T:
            mask = np.flatnonzero((kinds[0] == pair[0]) & (kinds[1] == pair[1]) & (centers != system.neighbors))
            if len(mask) == 0:
                continue
            at = mask[np.argmin(lengths[mask])]
            name = f"{potential.species[pair[0]]}-{potential.species[pair[1]]}"
            if name not in closest or lengths[at] < closest[name][0]:
                where = (int(centers[at]), int(system.neighbors[at]))
                closest[name] = (float(lengths[at]), k, *where, system.vectors[at])
    return closest


def _hole(
    potential: Potential, atoms: Atoms, i: int, j: int, vector: FloatArray, compressions: Sequence[float]
) -> float | None:
    """Return the first compression at which the pair's force along itself is attractive; None if none is."""
    moments, unit, lists = moments_of(atoms), vector / np.linalg.norm(vector), potential.lists()
    pressed = atoms.copy()
    for factor in compressions:
        if factor >= 0.97:
            continue
        pressed.positions = atoms.positions
        pressed.positions[i] += 0.5 * (1.0 - factor) * vector
        pressed.positions[j] -= 0.5 * (1.0 - factor) * vector
        forces = potential.evaluate(pressed, moments, lists).forces
        if 0.5 * (forces[j] - forces[i]) @ unit < 0:
            return float(factor)
    return None
