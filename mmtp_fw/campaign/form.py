"""The potential that a campaign's settings describe, before any fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmtp_fw.campaign.settings import PotentialSettings

if TYPE_CHECKING:
    from mmtp_fw.potential import Potential


def untrained(form: PotentialSettings, species: Sequence[str], seed: int = 0) -> Potential:
    """Return a potential of this form with random parameters; see `mmtp_fw.potential.Potential.from_level`."""
    from mmtp_fw.potential import Potential  # numba

    return Potential.from_level(
        form.level,
        species,
        r_min=form.r_min_A,
        r_cut=form.r_cut_A,
        radial_size=form.radial_size,
        max_moment=form.max_moment_muB,
        magnetic_size=form.magnetic_size,
        seed=seed,
        symmetrized=form.symmetrized,
    )
