"""What commands without a database read: potentials, with names for numbered species."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmtp_fw.potential import Potential

SpeciesOption = Annotated[
    str | None, typer.Option(help="Names of numbered species, as Fe,Pd; by default those of the file.")
]


def names_of(species: str | None) -> list[str] | None:
    """Return the names that the option lists."""
    return [name.strip() for name in species.split(",")] if species else None


def read_potential(path: Path, species: str | None) -> Potential:
    """Read a potential, its numbered species named as the option says."""
    from mmtp_fw.potential import Potential

    return Potential.read(path, species=names_of(species))
