"""Settings of the Elk engine, and its species files."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from mmtp_fw.dft import machine
from mmtp_fw.dft.program_settings import ProgramSettings
from mmtp_fw.errors import EngineError

INSTALL = "apt-get install elk-lapw"

# Where Debian's elk-lapw puts them; MMTP_ELK_SPECIES (os.pathsep between) goes before.
_DIRECTORIES = ("/usr/share/elk-lapw/species",)
# Of a species file's radius: room for atoms to come near each other, where muffin-tins must not overlap.
_SHARE_OF_RADIUS = 0.8


class ElkSettings(ProgramSettings):
    """What defines an Elk calculation, and how it is started.

    Examples
    --------
    >>> ElkSettings(rgkmax=8).swidth_Ha
    0.005
    """

    rgkmax: float = Field(default=7.0, gt=0, description="Smallest muffin-tin radius times the cut-off of |G+k|")
    nempty: float = Field(
        default=8.0, gt=0, description="Empty states per atom and spin, in which magnetism is expanded"
    )
    kspacing_per_A: float = Field(default=0.25, gt=0, description="Largest spacing of k-points, 2π included")
    kshift: tuple[float, float, float] = Field(default=(0.5, 0.5, 0.5), description="Shift of the grid")
    symmetry: bool = Field(
        default=False, description="Use the symmetry of the cell with its targets: fast in perfect crystals"
    )
    swidth_Ha: float = Field(
        default=0.005, gt=0, description="Fermi-Dirac smearing, the one of which Elk knows the entropy"
    )
    muffin_tin_bohr: dict[str, float] = Field(
        default={},
        description="Radius of a species' muffin-tin, the same in every structure; 0.8 of its species file's when not "
        "given",
    )
    maxscl: int = Field(default=200, ge=2, description="Most electronic steps")
    epspot_Ha: float = Field(default=1e-6, gt=0, description="Convergence of the potential (root mean square)")
    epsengy_Ha: float = Field(default=1e-5, gt=0, description="Convergence of the energy")
    taufsm: float = Field(
        default=0.01, gt=0, description="Step of the constraint's fields, Ha/μB: with larger ones moments flip"
    )
    tolerance_muB: float = Field(
        default=1e-3, gt=0, description="A constrained moment further off its target is not converged"
    )
    command: str = Field(default="elk-lapw", description="The program")

    not_of_a_label: ClassVar[frozenset[str]] = ProgramSettings.not_of_a_label


class ElkSpecies:
    """A species file.

    Parameters
    ----------
    species : str
    path : Path

    Attributes
    ----------
    radius_bohr : float
        Its muffin-tin radius.
    digest : str
        blake2b of the text.
    """

    def __init__(self, species: str, path: Path) -> None:
        self.species = species
        self.path = path
        self.text = path.read_text()
        self.digest = hashlib.blake2b(self.text.encode(), digest_size=16).hexdigest()
        found = _RADII.search(self.text)
        if found is None or f"'{species}'" not in self.text.splitlines()[0]:
            raise EngineError(f"{path} is no species file of {species}", "a matter of this machine")
        self.radius_bohr = float(found.group(2))

    def install(self, directory: Path, radius_bohr: float) -> str:
        """Write the file with another muffin-tin radius into a calculation's directory; return its name."""
        name = f"{self.species}.in"
        text = _RADII.sub(lambda found: f"{found.group(1)}{radius_bohr:.6f}{found.group(3)}", self.text, count=1)
        (directory / name).write_text(text)
        return name


# rminsp, rmt, rmaxsp, nrmt
_RADII = re.compile(r"^(\s*[\d.ED+-]+\s+)([\d.ED+-]+)(\s+[\d.ED+-]+\s+\d+\s*:\s*rminsp)", re.MULTILINE)


def muffin_tin_bohr(species: ElkSpecies, settings: ElkSettings) -> float:
    """Return the muffin-tin radius of a species in every structure of a campaign."""
    return settings.muffin_tin_bohr.get(species.species, round(_SHARE_OF_RADIUS * species.radius_bohr, 4))


def species_folders() -> list[Path]:
    """Return the folders in which species files are looked for, in this order."""
    return machine.dataset_folders("MMTP_ELK_SPECIES", _DIRECTORIES)


def find_species(species: str, settings: ElkSettings) -> ElkSpecies:
    """Return the species file of an element.

    Raises
    ------
    EngineError
        None on this machine.
    """
    for folder in species_folders():
        if (folder / f"{species}.in").is_file():
            return ElkSpecies(species, folder / f"{species}.in")
    raise EngineError(f"no Elk species file {species}.in", f"{INSTALL}, or name its folder in MMTP_ELK_SPECIES")
