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
from mmtp_fw.fitting.holes import Hole, MomentHole, PairHole, moment_holes, within_reach
from mmtp_fw.potential import Potential, System, Systems, TrainedRange, moments_of

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
    pair_holes : list of PairHole
        The same, with barrier and candidate.
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
    pair_holes: list[PairHole] = field(default_factory=list)

    @property
    def all_holes(self) -> list[Hole]:
        """Holes of both kinds."""
        return [*self.pair_holes, *self.moment_holes]

    @property
    def candidates(self) -> list[Atoms]:
        """Configurations whose labels would close the holes."""
        return [hole.candidate for hole in self.all_holes]

    def within_reach(self, temperature_K: float) -> list[Hole]:
        """Return the holes that a trajectory at some temperature will find: barriers up to 20 kT."""
        return within_reach(self.all_holes, temperature_K)


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
    pairs = []
    for name, (length, k, i, j, vector) in closest.items():
        found = _hole(potential, configurations[k], listed(configurations[k]), i, j, vector, compressions)
        if found is not None:
            factor, barrier, candidate = found
            pairs.append(PairHole(name, factor * length, length, barrier, candidate))
    shortest = {name: nearest[0] for name, nearest in closest.items()}
    trained = potential.trained or TrainedRange.of(potential, configurations, listed)
    pressed = moment_holes(potential, configurations, trained, listed)
    messages = [*(hole.message for hole in pairs), *(hole.message for hole in pressed)]
    return Stability(not messages, messages, {one.species: one.distance for one in pairs}, shortest, pressed, pairs)


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
    potential: Potential,
    atoms: Atoms,
    system: System,
    i: int,
    j: int,
    vector: FloatArray,
    compressions: Sequence[float],
) -> tuple[float, float, Atoms] | None:
    """Return where pressing a pair together becomes easy: None if nowhere.

    The compression at which the force along the pair is attractive, the energy there above that at rest (eV), and the
    pressed configuration.
    """
    moments, unit, lists = moments_of(atoms), vector / np.linalg.norm(vector), potential.lists()
    pressed = atoms.copy()
    pressed.calc = None
    pressed.set_initial_magnetic_moments(moments)
    at_rest = potential.evaluate_system(system, moments).energy
    for factor in compressions:
        if factor >= 0.97:
            continue
        pressed.positions = atoms.positions
        pressed.positions[i] += 0.5 * (1.0 - factor) * vector
        pressed.positions[j] -= 0.5 * (1.0 - factor) * vector
        found = potential.evaluate(pressed, moments, lists)
        if 0.5 * (found.forces[j] - found.forces[i]) @ unit < 0:
            return float(factor), float(found.energy - at_rest), pressed
    return None
