"""Which combinations of parameters labels leave open, and how to say so.

A direction of θ that no row of the labels shows is either a gauge mode, which no configuration whatever shows, or it
is undetermined: other configurations show it, and nothing is known about them. Both are found without a threshold of
our choice: rows are computed to fifteen digits, so singular values of the labels' rows fall into those that mean
something and those of rounding, many powers of ten below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from scipy.linalg import qr

from mmtp_fw.arrays import BoolArray, FloatArray, IntArray
from mmtp_fw.fitting.samples import Sample
from mmtp_fw.potential import Potential, System

_ROUNDING = 1e-16
_NOTHING = 1e-10  # of the largest singular value: rounding is looked for from here down
_GAP = 30.0  # fewest between what means something and rounding


def rank_of(values: FloatArray) -> int:
    """Return how many singular values (p,), descending, stand above rounding: before the widest gap at the bottom."""
    if len(values) == 0 or values[0] == 0.0:
        return 0
    floored = np.maximum(values / values[0], _ROUNDING)
    low = np.flatnonzero(floored < _NOTHING)
    if len(low) == 0:
        return len(values)
    low = low[low > 0]
    gaps = floored[low - 1] / floored[low]
    widest = int(np.argmax(gaps))
    return int(low[widest]) if gaps[widest] > _GAP else len(values)


def generic_rows(potential: Potential, seed: int = 0) -> FloatArray:
    """Return rows of energies of configurations as different as can be, shape (n, p), n some times p.

    Clusters of random species, with distances between r_min and the cut-off and moments over the whole range: what
    these don't show, nothing shows, for all that can be observed derives from energies. (Site energies show more: how
    a pair's energy is shared between its two atoms.) Rows are in units of a site: over the root of the atoms' number.
    """
    rng = np.random.default_rng([seed, 9])
    found: list[FloatArray] = []
    for _ in range(2 * potential.n_parameters):
        system, moments = _cluster(potential, rng)
        row = potential.energy_parameter_gradient(system, moments=moments)
        found.append(np.asarray(row) / np.sqrt(len(system)))
    return np.array(found)


def _cluster(potential: Potential, rng: np.random.Generator) -> tuple[System, FloatArray]:
    """Return up to twelve atoms around the first, no two nearer than the shortest distance, and their moments."""
    near, far, size = potential.r_min, potential.r_cut, int(rng.integers(1, 13))
    directions = rng.normal(size=(30, 3))
    lengths = rng.uniform(near, far, 30) / np.linalg.norm(directions, axis=1)
    places = np.zeros((1, 3))
    for place in directions * lengths[:, None]:
        if len(places) < size and ((places - place) ** 2).sum(axis=1).min() > near**2:
            places = np.vstack([places, place])
    species = chemical_symbols[1 : len(potential.species) + 1]  # stand for those of the potential, in their order
    some = rng.choice(species, size=rng.integers(1, len(species) + 1), replace=False)  # also clusters of one species
    atoms = Atoms(rng.choice(some, size=len(places)).tolist(), positions=places)
    system = System.from_atoms(atoms, species, potential.r_cut)
    return system, rng.uniform(potential.min_moment, potential.max_moment, len(places))


@dataclass(frozen=True, eq=False)
class Open:
    """A subspace of parameters that labels leave open: why, in words, and its orthonormal basis (p, k), see `Space`."""

    words: str
    basis: FloatArray


class Space:
    """Parameters in natural units, in which gauge modes are known.

    Attributes
    ----------
    unit : ndarray, shape (p,)
        What a unit of each parameter does to the energies of generic configurations: θ is θ·unit here, a row b is
        b/unit.
    generic : ndarray, shape (n, p)
        Rows of `generic_rows`, as they are.
    gauge : ndarray, shape (p, k)
        Orthonormal directions that no configuration shows.
    """

    def __init__(self, potential: Potential) -> None:
        self.generic = generic_rows(potential)
        norms = np.linalg.norm(self.generic, axis=0)
        self.unit = np.where(norms > 0, norms, 1.0)
        triangle = qr(self.generic / self.unit, mode="r", check_finite=False)[0][: len(norms)]
        _, values, vectors = np.linalg.svd(triangle)
        self.gauge = vectors[rank_of(values) :].T

    def without_gauge(self, directions: FloatArray) -> FloatArray:
        """Return an orthonormal basis of directions (p, k), in θ as it is, less what no configuration shows."""
        basis, sizes, _ = np.linalg.svd(directions * self.unit[:, None], full_matrices=False)
        basis = basis[:, sizes > 1e-12 * sizes.max(initial=0.0)]
        basis, sizes, _ = np.linalg.svd(basis - self.gauge @ (self.gauge.T @ basis), full_matrices=False)
        return np.asarray(basis[:, sizes > 1e-3])


def open_directions(
    potential: Potential, samples: Sequence[Sample], null: FloatArray, triangle: FloatArray, space: Space
) -> list[Open]:
    """Divide what labels leave open, gauge modes apart, into subspaces that can be named.

    Parameters
    ----------
    potential : Potential
    samples : sequence of Sample
        The labels.
    null : ndarray, shape (p, k)
        Directions of θ that no row of the labels shows.
    triangle : ndarray, shape (p, p)
        Of all rows of the labels.
    space : Space
    """
    if null.shape[1] == 0:
        return []
    left = space.without_gauge(null)
    sizes = np.linalg.norm(triangle, axis=0)
    found: list[Open] = []
    for words, candidates in _suspects(potential, samples):
        if left.shape[1] == 0:
            break
        # What is exact by its making serves better than what a decomposition finds, rounded.
        effect = np.linalg.norm(triangle @ candidates, axis=0)
        mine = candidates[:, effect <= 1e-12 * np.maximum(sizes @ np.abs(candidates), 1e-300)]
        basis = space.without_gauge(mine) if mine.shape[1] else mine
        if basis.shape[1] == 0:
            continue
        found.append(Open(words, basis))
        rest, lengths, _ = np.linalg.svd(left - basis @ (basis.T @ left), full_matrices=False)
        left = rest[:, lengths > 0.5]
    if left.shape[1]:
        found.append(Open(_unnamed(potential, left), left))
    return found


def _suspects(potential: Potential, samples: Sequence[Sample]) -> list[tuple[str, FloatArray]]:
    """Return what labels usually lack: words, and the directions of θ (p, k) that are then open."""
    seen = sorted({int(kind) for sample in samples for kind in sample.system.types})
    found = _species_missing(potential, seen) + _pairs_missing(potential, samples, seen)
    found += _moments_missing(potential, samples, seen)
    return [*found, _composition(potential, samples, seen)]


def _species_missing(potential: Potential, seen: Sequence[int]) -> list[tuple[str, FloatArray]]:
    found, first = [], potential.parameter_slices["species"].start
    for kind, name in enumerate(potential.species):
        if kind not in seen:
            mine = np.concatenate([[first + kind], _radial_of(potential, kind)])
            found.append((f"no label contains {name}", _units(potential.n_parameters, mine)))
    return found


def _pairs_missing(
    potential: Potential, samples: Sequence[Sample], seen: Sequence[int]
) -> list[tuple[str, FloatArray]]:
    pairs, names, found = _pairs_seen(potential, samples), potential.species, []
    for a, b in np.argwhere(~pairs).tolist():
        if a in seen and b in seen:
            words = f"no label has {names[b]} within {potential.r_cut:g} Å of {names[a]}"
            found.append((words, _units(potential.n_parameters, _radial(potential, a, b))))
    return found


def _moments_missing(
    potential: Potential, samples: Sequence[Sample], seen: Sequence[int]
) -> list[tuple[str, FloatArray]]:
    moments = {int(kind) for s in samples for kind in s.system.types[s.moments != 0.0]}
    return [
        (f"no label has a moment on {potential.species[kind]}",
         _units(potential.n_parameters, _radial_of(potential, kind)))
        for kind in seen
        if potential.magnetic and kind not in moments
    ]  # fmt: skip


def _radial_of(potential: Potential, kind: int) -> IntArray:
    """Return where the radial coefficients of all pairs with a species stand among the parameters."""
    kinds = range(len(potential.species))
    return np.concatenate([_radial(potential, a, b) for a in kinds for b in kinds if kind in (a, b)])


def _radial(potential: Potential, a: int, b: int) -> IntArray:
    """Return where the radial coefficients of a pair of species stand among the parameters."""
    radial, count = potential.parameter_slices["radial"], len(potential.species)
    block = (radial.stop - radial.start) // count**2
    first = radial.start + (a * count + b) * block
    return np.arange(first, first + block)


def _pairs_seen(potential: Potential, samples: Sequence[Sample]) -> BoolArray:
    seen = np.zeros((len(potential.species),) * 2, dtype=bool)
    for sample in samples:
        system = sample.system
        centers = np.repeat(np.arange(len(system)), np.diff(system.first))
        seen[system.types[centers], system.types[system.neighbors]] = True
    return seen


def _composition(potential: Potential, samples: Sequence[Sample], seen: Sequence[int]) -> tuple[str, FloatArray]:
    """Return the species' constants that compositions of cells with an energy leave open."""
    names, p = potential.species, potential.n_parameters
    counts = [
        np.bincount(sample.system.types, minlength=len(names))[list(seen)]
        for sample in samples
        if sample.weights.get("energy", 0.0) > 0
    ]
    matrix = np.array(counts, dtype=np.float64).reshape(-1, len(seen))
    _, values, vectors = np.linalg.svd(np.vstack([matrix, np.zeros((len(seen), len(seen)))]), full_matrices=False)
    free = vectors[values <= 1e-9 * max(1.0, values.max(initial=0.0))]
    directions = np.zeros((p, len(free)))
    start = potential.parameter_slices["species"].start
    for k, vector in enumerate(free):
        directions[[start + kind for kind in seen], k] = vector
    inside = [names[kind] for kind in seen]
    if len(matrix) == 0:
        return f"no label has an energy: the energies of {', '.join(inside)} have no zero", directions
    number = int(np.linalg.matrix_rank(matrix))
    what = "one composition" if number == 1 else f"{number} independent compositions"
    return f"the energy of {_against(inside)} is not fixed by {what}", directions


def _against(names: Sequence[str]) -> str:
    return f"{names[0]} against {' and '.join(names[1:])}" if len(names) > 1 else names[0]


def _units(p: int, indices: IntArray) -> FloatArray:
    found = np.zeros((p, len(indices)))
    found[indices, np.arange(len(indices))] = 1.0
    return found


def _unnamed(potential: Potential, basis: FloatArray) -> str:
    """Say which parameters a subspace consists of mostly."""
    share = np.sum(basis**2, axis=1)
    names, slices = potential.species, potential.parameter_slices
    parts = {"the coefficients ξ": float(share[slices["moments"]].sum())}
    parts["the species' constants"] = float(share[slices["species"]].sum())
    blocks = share[slices["radial"]].reshape(len(names), len(names), -1).sum(axis=2)
    for a, one in enumerate(names):
        for b, other in enumerate(names):
            parts[f"radial functions {one}-{other}"] = float(blocks[a, b])
    most = max(parts, key=lambda name: parts[name])
    many = basis.shape[1]
    what = "1 combination of parameters" if many == 1 else f"{many} combinations of parameters"
    return f"{what}, mostly of {most}, that no label shows"
