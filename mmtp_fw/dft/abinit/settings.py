"""Settings of the ABINIT engine, and its PAW datasets."""

from __future__ import annotations

import gzip
import hashlib
import math
import re
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from mmtp_fw.dft import machine
from mmtp_fw.dft.program_settings import ProgramSettings
from mmtp_fw.errors import EngineError

# Where Debian's abinit-data and gpaw-data put them; MMTP_ABINIT_PSEUDOS (os.pathsep between) goes before.
_DIRECTORIES = ("/usr/share/abinit/psp/Pseudodojo_paw_pbe_standard", "/usr/share/gpaw-setups")


class AbinitSettings(ProgramSettings):
    """What defines an ABINIT calculation, and how it is started.

    Examples
    --------
    >>> AbinitSettings(ecut_Ha=20).pawecutdg_Ha
    50.0
    """

    not_of_a_label: ClassVar[frozenset[str]] = ProgramSettings.not_of_a_label | {"mpi_command", "mpi_processes"}

    ecut_Ha: float = Field(default=25.0, gt=0, description="Plane-wave cut-off")
    pawecutdg_Ha: float = Field(default=50.0, gt=0, description="Cut-off of the fine grid")
    ecutsm_Ha: float = Field(
        default=0.5,
        ge=0,
        description="Smoothing of the cut-off: with it the stress is the derivative of energies at one cut-off",
    )
    kspacing_per_A: float = Field(default=0.18, gt=0, description="Largest spacing of k-points, 2π included")
    kshift: tuple[float, float, float] = Field(default=(0.5, 0.5, 0.5), description="Shift of the grid")
    tsmear_Ha: float = Field(default=0.01, gt=0, description="Smearing (occopt 4)")
    nstep: int = Field(default=120, ge=1, description="Most electronic steps")
    tolvrs: float = Field(default=1e-8, gt=0, description="Convergence of the potential's squared residual (vres2)")
    npulayit: int = Field(default=15, ge=1, description="Earlier electronic steps that the mixing remembers")
    diemix: float | None = Field(default=None, gt=0, le=1, description="Mixing; ABINIT's own when not given")
    diemixmag: float | None = Field(
        default=None, gt=0, le=1, description="Mixing of the magnetization; ABINIT's own when not given"
    )
    ratsph_bohr: dict[str, float] = Field(
        default={}, description="Radius of a species' sphere; that of its dataset's augmentation when not given"
    )
    ratsm_bohr: float = Field(
        default=0.05, ge=0, description="Smearing of the spheres' surface, in every calculation of a campaign"
    )
    pseudos: dict[str, str] = Field(
        default={}, description="File name of a species' dataset; Fe.xml or Fe.PBE.gz when not given"
    )
    command: str = Field(default="abinit", description="The program")
    mpi_command: str = Field(default="mpirun.openmpi", description="Starts more than one process")
    mpi_processes: int = Field(default=1, ge=1, description="Processes of one calculation")


class PawDataset:
    """A PAW dataset file.

    Parameters
    ----------
    species : str
    path : Path
        XML, as it is or compressed by gzip (GPAW's setups).

    Attributes
    ----------
    valence : float
        Number of valence electrons.
    radius_bohr : float
        Of its augmentation sphere, rounded up to 1e-4.
    digest : str
        blake2b of the uncompressed text.
    """

    def __init__(self, species: str, path: Path) -> None:
        self.species = species
        self.path = path
        raw = path.read_bytes()
        self.text = gzip.decompress(raw) if path.suffix == ".gz" else raw
        self.digest = hashlib.blake2b(self.text, digest_size=16).hexdigest()
        found = re.search(rb'<atom[^>]*symbol="\s*(\w+)\s*"[^>]*valence="\s*([\d.]+)', self.text)
        if found is None or found.group(1).decode() != species:
            raise EngineError(f"{path} is not a PAW dataset of {species} in XML", "a matter of this machine")
        self.valence = float(found.group(2))
        self.radius_bohr = _augmentation_radius(self.text, path)

    def install(self, directory: Path) -> str:
        """Write the dataset into a calculation's directory; return the file's name."""
        name = f"{self.species}.xml"
        (directory / name).write_bytes(self.text)
        return name


def _augmentation_radius(text: bytes, path: Path) -> float:
    """Return the radius of the augmentation sphere in bohr: what the file says, or the largest of its partial waves.

    ABINIT takes no smaller sphere for the moment of a constraint. Rounded up, for it is written with few digits.
    """
    named = re.search(rb'<paw_radius\s+rc="\s*([\d.Ee+-]+)', text)
    waves = re.findall(rb'<state\b[^>]*?\brc="\s*([\d.Ee+-]+)', text)
    if named is None and not waves:
        raise EngineError(f"{path} does not tell the radius of its augmentation sphere", "a matter of this machine")
    radius = float(named.group(1)) if named is not None else max(map(float, waves))
    return math.ceil(radius * 1e4 - 1e-6) / 1e4


def dataset_folders() -> list[Path]:
    """Return the folders in which PAW datasets are looked for, in this order."""
    return machine.dataset_folders("MMTP_ABINIT_PSEUDOS", _DIRECTORIES)


def find_dataset(species: str, settings: AbinitSettings) -> PawDataset:
    """Return the PAW dataset of a species.

    Raises
    ------
    EngineError
        No file for it on this machine.
    """
    named = settings.pseudos.get(species)
    names = [named] if named else [f"{species}.xml", f"{species}.PBE.gz", f"{species}.PBE"]
    for folder in dataset_folders():
        for name in names:
            if (folder / name).is_file():
                return PawDataset(species, folder / name)
    raise EngineError(
        f"no PAW dataset for {species} ({' or '.join(names)})",
        "install abinit-data and gpaw-data, or name its folder in MMTP_ABINIT_PSEUDOS",
    )
