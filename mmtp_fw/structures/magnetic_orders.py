"""Magnetic orders, each one row of a table, and the target moments that they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.errors import InputError

# Scatter below this (μB) would tell a potential nothing about species that carry small moments.
_SMALLEST_SCALE_MUB = 0.4
# Atoms nearer than this (Å) along an axis are in one plane.
_ONE_PLANE_A = 0.5


@dataclass(frozen=True)
class Draw:
    """What an order makes moments from.

    Attributes
    ----------
    atoms : Atoms
        n atoms of a perfect lattice.
    typical : ndarray, shape (n,)
        Typical moments, μB.
    scatter : ndarray, shape (n,)
        Random deviations of the sizes, μB.
    flipped_fraction : float or None
        See `target_moments`.
    rng : numpy.random.Generator
    """

    atoms: Atoms
    typical: FloatArray
    scatter: FloatArray
    flipped_fraction: float | None
    rng: np.random.Generator


@dataclass(frozen=True)
class MagneticOrder:
    """A magnetic order.

    Attributes
    ----------
    about : str
        What the moments are like.
    moments : callable
        Takes a `Draw` and returns signed moments (μB), shape (n,).
    possible : callable
        Whether a cell can have it.
    """

    about: str
    moments: Callable[[Draw], FloatArray]
    possible: Callable[[Atoms], bool] = lambda cell: True


def _ferromagnetic(draw: Draw) -> FloatArray:
    return draw.typical + 0.25 * draw.scatter


def _scaled(draw: Draw) -> FloatArray:
    return draw.typical * draw.rng.uniform(0.3, 1.15) + 0.25 * draw.scatter


def _antiferromagnetic(draw: Draw) -> FloatArray:
    even = _alternating(draw.atoms)
    if not even:
        raise InputError(
            "planes can't alternate in sign: the cell has an odd number of them along every edge",
            "choose a supercell with an even number along one edge, or another magnetic order",
        )
    numbers = even[int(draw.rng.integers(len(even)))]
    signs: FloatArray = np.where(numbers % 2 == 0, 1.0, -1.0)
    return _ferromagnetic(draw) * signs


def _given(draw: Draw) -> FloatArray:
    own = draw.atoms.get_initial_magnetic_moments()
    if not np.any(own):
        raise InputError(
            "the cell has no magnetic moments of its own",
            "give them in the structure file (extended XYZ: column initial_magmoms), or choose another magnetic order",
        )
    moments: FloatArray = own + 0.25 * draw.scatter
    return moments


def _disordered(draw: Draw) -> FloatArray:
    n = len(draw.typical)
    moments: FloatArray = draw.typical + draw.scatter
    if draw.flipped_fraction is None:
        moments *= draw.rng.choice([-1.0, 1.0], n)
        return moments
    flips = draw.rng.permutation(n)[: draw.rng.integers(0, int(draw.flipped_fraction * n) + 1)]
    moments[flips] *= -1.0
    return moments


MAGNETIC_ORDERS: dict[str, MagneticOrder] = {
    "ferromagnetic": MagneticOrder("all up, sizes scattered a little", _ferromagnetic),
    "scaled": MagneticOrder("all up, all sizes times one random factor between 0.3 and 1.15", _scaled),
    "antiferromagnetic": MagneticOrder(
        "planes along an edge of the cell alternate in sign", _antiferromagnetic, lambda cell: bool(_alternating(cell))
    ),
    "given": MagneticOrder(
        "the moments of the structure file", _given, lambda cell: bool(np.any(cell.get_initial_magnetic_moments()))
    ),
    "disordered": MagneticOrder("sizes scattered, signs of some or of all atoms drawn", _disordered),
}
"""Every magnetic order by its name; another one is another row."""

ALSO_CALLED = {"random": "disordered"}
"""Other words for orders, which campaigns may use."""


def magnetic_order(name: str) -> MagneticOrder:
    """Return a magnetic order by its name; "random" is another word for "disordered".

    Raises
    ------
    InputError
        There is none of that name.
    """
    known = ALSO_CALLED.get(name, name)
    if known not in MAGNETIC_ORDERS:
        raise InputError(f"unknown magnetic order '{name}'", f"one of {', '.join(MAGNETIC_ORDERS)}")
    return MAGNETIC_ORDERS[known]


def target_moments(
    atoms: Atoms,
    order: str,
    typical_moments_muB: Mapping[str, float],
    moment_scale: float,
    flipped_fraction: float | None,
    rng: np.random.Generator,
) -> FloatArray:
    """Return target moments for one configuration.

    Parameters
    ----------
    atoms : Atoms
        A perfect lattice.
    order : str
        One of `MAGNETIC_ORDERS`. "ferromagnetic" scatters sizes by a quarter of `moment_scale`, and so do "scaled"
        and "antiferromagnetic"; "disordered" by the whole of it.
    typical_moments_muB : mapping of str to float
    moment_scale : float
        Standard deviation of sizes, relative to the typical ones; cut at twice that.
    flipped_fraction : float or None
        Largest fraction of the atoms whose sign "disordered" reverses; None: every atom has either sign by chance.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n,)
        Signed moments, μB.

    Raises
    ------
    InputError
        A species without typical moment, an unknown order, or one that the cell can't have.
    """
    chosen = magnetic_order(order)
    try:
        typical = np.array([typical_moments_muB[symbol] for symbol in atoms.symbols], dtype=float)
    except KeyError as error:
        raise InputError(f"no typical moment for species {error}") from None
    scale = moment_scale * np.maximum(np.abs(typical), _SMALLEST_SCALE_MUB)
    scatter = scale * np.clip(rng.normal(size=len(atoms)), -2.0, 2.0)
    return chosen.moments(Draw(atoms, typical, scatter, flipped_fraction, rng))


def _alternating(atoms: Atoms) -> list[IntArray]:
    """Return the numbers of the atoms' planes, shape (n,), along every edge along which they can alternate in sign."""
    planes = [_planes(atoms, axis) for axis in range(3)]
    # Of an odd number of planes two neighbours, perhaps of two images of the cell, would have one sign.
    return [numbers for numbers in planes if numbers.max() % 2 == 1]


def _planes(atoms: Atoms, axis: int) -> IntArray:
    """Return the number of every atom's plane along an edge of the cell, from 0, shape (n,)."""
    cell = np.asarray(atoms.cell)
    across = np.cross(cell[(axis + 1) % 3], cell[(axis + 2) % 3])
    height = abs(np.linalg.det(cell)) / np.linalg.norm(across)
    shift = 0.5 * _ONE_PLANE_A / height  # so that no plane is cut by the face of the cell
    fractions = (atoms.get_scaled_positions()[:, axis] + shift) % 1.0
    order = np.argsort(fractions, kind="stable")
    gaps = np.diff(fractions[order]) * height > _ONE_PLANE_A
    numbers = np.zeros(len(atoms), dtype=np.int64)
    numbers[order[1:]] = np.cumsum(gaps)
    return numbers
