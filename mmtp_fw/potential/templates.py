"""Untrained potentials of complete levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmtp_fw.errors import InputError
from mmtp_fw.potential.fileio import PotentialFile
from mmtp_fw.potential.tables import generate


def random_file(
    level: int,
    species: Sequence[str],
    r_min: float,
    r_cut: float,
    radial_size: int,
    max_moment: float,
    magnetic_size: int,
    seed: int,
) -> PotentialFile:
    """Return what a file of an untrained potential holds; see `Potential.from_level`.

    Raises
    ------
    InputError
        For values that make no potential.
    """
    if not (r_cut > r_min >= 0):
        raise InputError(f"r_min {r_min} and r_cut {r_cut} are no range", "0 <= r_min < r_cut (Å)")
    if radial_size < 1 or magnetic_size < 0 or not max_moment > 0 or len(species) == 0:
        raise InputError(
            "radial_size must be at least 1, magnetic_size at least 0, max_moment positive, "
            "and one species at least named"
        )
    tables = generate(level)
    rng = np.random.default_rng(seed)
    C, K, m = len(species), tables.radial_count, max(1, magnetic_size)
    # Sizes that give forces of order eV/Å whatever the level: f_μ of order 1 per shell of neighbours.
    c = rng.normal(size=(C, C, K, radial_size, m, m)) / ((r_cut - r_min) ** 2 * np.sqrt(radial_size) * m)
    xi = 0.1 * rng.normal(size=len(tables.scalars)) / np.sqrt(len(tables.scalars))
    return PotentialFile(1.0, C, "", r_min, r_cut, -max_moment, max_moment, magnetic_size, c, tables, np.zeros(C), xi)
