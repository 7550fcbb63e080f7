"""Target moments: ferromagnetic, scaled, antiferromagnetic and disordered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from ase import Atoms

from mmtp_fw.errors import InputError

MagneticOrder = Literal["ferromagnetic", "scaled", "antiferromagnetic", "disordered"]

# Scatter below this (μB) would tell a potential nothing about species that carry small moments.
_SMALLEST_SCALE_MUB = 0.4


def target_moments(
    atoms: Atoms,
    order: MagneticOrder,
    typical_moments_muB: Mapping[str, float],
    moment_scale: float,
    flipped_fraction: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return target moments for one configuration.

    Parameters
    ----------
    atoms : Atoms
    order : {"ferromagnetic", "scaled", "antiferromagnetic", "disordered"}
        "ferromagnetic": all up, sizes scattered a little (a quarter of `moment_scale`); "scaled": all up,
        all sizes times one random factor between 0.3 and 1.15; "antiferromagnetic": planes along a cubic
        axis alternate in sign; "disordered": sizes scattered by `moment_scale`, and up to
        `flipped_fraction` of the atoms reversed.
    typical_moments_muB : mapping of str to float
    moment_scale : float
        Standard deviation of sizes, relative to the typical ones; cut at twice that.
    flipped_fraction : float
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n,)
        Signed moments, μB.

    Raises
    ------
    InputError
        A species without typical moment, or an unknown order.
    """
    try:
        typical = np.array([typical_moments_muB[symbol] for symbol in atoms.symbols], dtype=float)
    except KeyError as error:
        raise InputError(f"no typical moment for species {error}") from None
    scale = moment_scale * np.maximum(np.abs(typical), _SMALLEST_SCALE_MUB)
    scatter = scale * np.clip(rng.normal(size=len(atoms)), -2.0, 2.0)
    if order == "ferromagnetic":
        return typical + 0.25 * scatter
    if order == "scaled":
        return typical * rng.uniform(0.3, 1.15) + 0.25 * scatter
    if order == "antiferromagnetic":
        axis = int(rng.integers(3))
        height = np.round(2 * _fractional_layers(atoms, axis)).astype(int)
        return (typical + 0.25 * scatter) * np.where(height % 2 == 0, 1.0, -1.0)
    if order == "disordered":
        moments = typical + scatter
        flips = rng.permutation(len(atoms))[: rng.integers(0, int(flipped_fraction * len(atoms)) + 1)]
        moments[flips] *= -1.0
        return moments
    raise InputError(f"unknown magnetic order '{order}'")


def _fractional_layers(atoms: Atoms, axis: int) -> np.ndarray:
    """Return positions along a cell axis in units of the conventional cell, whose edges are all equal."""
    counts = atoms.info.get("supercell", (1, 1, 1))
    return (atoms.get_scaled_positions()[:, axis] * counts[axis]) % counts[axis]
