"""Crystals and magnetic arrangements to average over: drawn by seed, each the same for the same seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.structures import crystal, target_moments

SIGNED = 1
"""Separates the draw of signs from that of species, so that orders share their alloy."""


@dataclass(frozen=True, eq=False)
class Arrangement:
    """One crystal with the moments whose basin is meant.

    Attributes
    ----------
    name : str
    atoms : Atoms
        n atoms.
    start : ndarray, shape (n,), or None
        Moments, μB; None for the lowest of the potential's own patterns.
    """

    name: str
    atoms: Atoms
    start: FloatArray | None


def crystals(
    lattice: str,
    lattice_parameter_A: float,
    repeat: Sequence[int],
    composition: Mapping[str, float],
    seeds: Sequence[int],
) -> dict[int, Atoms]:
    """Return a lattice with its sites filled at random, by seed; see `mmtp_fw.structures.crystal`.

    Raises
    ------
    InputError
        An unknown lattice, or a size or composition that makes no sense.
    """
    return {
        seed: crystal(lattice, lattice_parameter_A, repeat, composition, np.random.default_rng(seed)) for seed in seeds
    }


def drawn(atoms: Atoms, order: str, typical_muB: Mapping[str, float], seed: int) -> FloatArray:
    """Return moments of a magnetic order to start from, shape (n,), μB, of typical sizes.

    Parameters
    ----------
    atoms : Atoms
        n atoms of a perfect lattice.
    order : str
        One of `mmtp_fw.structures.MAGNETIC_ORDERS`; ``disordered`` gives every atom either sign by chance.
    typical_muB : mapping of str to float
    seed : int

    Raises
    ------
    InputError
        A species without typical moment, an unknown order, or one that the cell can't have.
    """
    if not any(typical_muB.get(symbol) for symbol in atoms.symbols):
        raise InputError(f"order {order} needs typical moments of the species", "as in --moments Fe=2.6,Pd=0.3")
    return target_moments(atoms, order, typical_muB, 0.0, None, np.random.default_rng([seed, SIGNED]))
