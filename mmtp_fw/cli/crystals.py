"""Crystals that a command is about: of a file, or drawn on a lattice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmtp_fw.cli.files import names_of, repeated
from mmtp_fw.cli.given import by_species, three_counts

if TYPE_CHECKING:
    from ase import Atoms


def crystals_of(
    structure: Path | None,
    lattice: str,
    parameter: float,
    composition: str,
    repeat: str,
    seeds: range,
    species: str | None,
) -> dict[int, Atoms]:
    """Return the crystal's cell for every seed, from a file or drawn on a lattice.

    Parameters
    ----------
    structure : Path or None
    lattice, parameter, composition
        Instead of a file: the options of these names.
    repeat : str
        The option of this name.
    seeds : range
    species : str or None
        The option of this name.

    Raises
    ------
    InputError
        Neither file nor lattice, or both; what belongs to the other; a file with several configurations.
    """
    from mmtp_fw.errors import InputError
    from mmtp_fw.fitting import read_configurations
    from mmtp_fw.phonons import crystals

    if (structure is None) == (not lattice):
        raise InputError("which crystal: a structure file or --lattice, one of the two")
    times = three_counts("--repeat", repeat)
    if structure is None:
        if not composition:
            raise InputError(f"--lattice {lattice} needs --composition", "as in --composition Fe=0.68,Pd=0.32")
        return crystals(lattice, parameter, times, by_species("--composition", composition, "Fe=0.68,Pd=0.32"), seeds)
    if parameter or composition:
        raise InputError("--parameter and --composition belong to --lattice, not to a structure file")
    found = read_configurations(structure, names_of(species))
    if len(found) != 1:
        raise InputError(f"{structure}: holds {len(found)} configurations", "give a file with one")
    return dict.fromkeys(seeds, repeated(found[0], times))
