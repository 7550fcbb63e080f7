"""Settings of the VASP engine: what defines a label, and how the program is started."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from mmtp_fw.dft.program_settings import ProgramSettings
from mmtp_fw.errors import EngineError

COMMAND_VARIABLE = "MMTP_VASP_COMMAND"
"""Environment variable with this machine's command; it goes before the setting."""

RESERVED_INCAR = frozenset(
    {
        "ENCUT", "PREC", "ALGO", "EDIFF", "NELM", "NELMIN", "ISMEAR", "SIGMA", "ISPIN", "LNONCOLLINEAR", "ISYM",
        "MAGMOM", "I_CONSTRAINED_M", "LAMBDA", "M_CONSTR", "RWIGS", "LORBIT", "LASPH", "LMAXMIX", "GGA_COMPAT",
        "AMIX", "BMIX", "AMIX_MAG", "BMIX_MAG", "ISTART", "ICHARG", "LWAVE", "LCHARG", "NSW", "IBRION", "LREAL",
        "KSPACING", "KGAMMA", "SAXIS", "LSORBIT",
    }
)  # fmt: skip
"""INCAR tags that the engine writes itself; `extra_incar` may not name them."""

_HOW_TO_SHARE_WORK = frozenset({"NCORE", "NPAR", "KPAR", "NSIM", "LPLANE", "LSCALAPACK", "LSCALU", "NBLK"})

IncarValue = bool | int | float | str | list[float]


class VaspSettings(ProgramSettings):
    """What defines a VASP calculation, and how it is started; docs/vasp.md explains every key.

    Examples
    --------
    >>> VaspSettings(potcar_symbols={"Fe": "Fe_pv"}).potcar_symbol("Fe")
    'Fe_pv'
    >>> VaspSettings().potcar_symbol("Pd")
    'Pd'
    """

    not_of_a_label: ClassVar[frozenset[str]] = ProgramSettings.not_of_a_label | {"frozen_after_s", "poll_s"}

    potcar_functional: str = Field(default="PBE_54", description="Family of POTCARs, by pymatgen's name")
    potcar_symbols: dict[str, str] = Field(
        default={}, description="POTCAR symbol of a species (Fe: Fe_pv); the species' own when not given"
    )
    potcar_sha256: dict[str, str] = Field(
        default={}, description="SHA-256 of a species' uncompressed POTCAR; refused where it differs"
    )
    encut_eV: float = Field(default=500.0, gt=0, description="ENCUT, plane-wave cut-off")
    kspacing_per_A: float = Field(default=0.2, gt=0, description="Largest spacing of k-points, 2π included")
    prec: Literal["Normal", "Accurate"] = Field(default="Accurate", description="PREC")
    ismear: int = Field(default=1, ge=-5, description="ISMEAR: 1 is Methfessel-Paxton, for metals")
    sigma_eV: float = Field(default=0.1, gt=0, description="SIGMA, width of the smearing")
    ediff_eV: float = Field(default=1e-6, gt=0, description="EDIFF, convergence of the energy")
    nelm: int = Field(default=150, ge=1, description="NELM, most electronic steps")
    nelmin: int = Field(default=6, ge=2, description="NELMIN, fewest electronic steps")
    algo: Literal["Normal", "Fast", "VeryFast", "All", "Damped"] = Field(default="Normal", description="ALGO")
    amix: float = Field(default=0.2, gt=0, description="AMIX, mixing of the density")
    bmix: float = Field(default=1e-4, gt=0, description="BMIX; small means linear mixing")
    amix_mag: float = Field(default=0.8, gt=0, description="AMIX_MAG, mixing of the magnetization")
    bmix_mag: float = Field(default=1e-4, gt=0, description="BMIX_MAG")
    lmaxmix: int = Field(default=4, ge=2, description="LMAXMIX: 4 for d, 6 for f electrons")
    rwigs_A: dict[str, float] = Field(
        default={}, description="Sphere radius of a species that the radii stage starts from; POTCAR's by default"
    )
    measuring_lambda_eV_per_muB2: float = Field(
        default=1e-6, ge=0, le=1e-4,
        description="Penalty of calculations without constraint, so weak that it does nothing: VASP prints "
        "sphere moments only with one; 0 leaves it out, PAW moments then stand in for them",
    )  # fmt: skip
    extra_incar: dict[str, IncarValue] = Field(
        default={}, description="Further INCAR tags (NCORE, KPAR, LDAU…); none that the engine writes itself"
    )
    mixing_retries: int = Field(
        default=1, ge=0, le=2, description="Tries with slower mixing before 'not converged' is the answer"
    )
    command: str = Field(default="vasp_ncl", description="The non-collinear program with its launcher: 'srun vasp_ncl'")
    poll_s: float = Field(default=5.0, gt=0, description="Seconds between two looks at the running program")
    frozen_after_s: float = Field(
        default=10800.0, gt=0, description="VASP is ended and started again when it has written nothing so long"
    )

    @field_validator("potcar_functional")
    @classmethod
    def _known_functional(cls, value: str) -> str:
        from pymatgen.io.vasp.inputs import PotcarSingle

        if value not in PotcarSingle.functional_dir:
            raise ValueError(f"'{value}' is not one of {', '.join(PotcarSingle.functional_dir)}")
        return value

    @field_validator("extra_incar")
    @classmethod
    def _free_tags(cls, value: dict[str, IncarValue]) -> dict[str, IncarValue]:
        tags = {tag.strip().upper(): entry for tag, entry in value.items()}
        taken = sorted(RESERVED_INCAR & set(tags))
        if taken:
            raise ValueError(f"{', '.join(taken)} is written by the engine; use the setting for it")
        return tags

    @field_validator("potcar_sha256")
    @classmethod
    def _digests(cls, value: dict[str, str]) -> dict[str, str]:
        for species, digest in value.items():
            if len(digest) != 64 or set(digest.lower()) - set("0123456789abcdef"):
                raise ValueError(f"{species}: a SHA-256 has 64 hexadecimal digits")
        return {species: digest.lower() for species, digest in value.items()}

    @field_validator("rwigs_A")
    @classmethod
    def _radii(cls, value: dict[str, float]) -> dict[str, float]:
        for species, radius in value.items():
            if not 0.2 <= radius <= 4.0:
                raise ValueError(f"{species}: {radius} Å is no radius of an atom")
        return value

    def potcar_symbol(self, species: str) -> str:
        """Return the POTCAR symbol of a species."""
        return self.potcar_symbols.get(species, species)

    def document(self) -> dict[str, Any]:
        """Return what defines a label: everything but how, where and how long the program runs."""
        document = super().document()
        tags = document["extra_incar"]
        document["extra_incar"] = {tag: tags[tag] for tag in tags if tag not in _HOW_TO_SHARE_WORK}
        return document


def program(settings: VaspSettings) -> list[str]:
    """Return the command that starts VASP on this machine, as a list of words.

    Parameters
    ----------
    settings : VaspSettings
        `command` counts where the environment has no MMTP_VASP_COMMAND.

    Raises
    ------
    EngineError
        Empty, or its first word is no program here. Another worker may have it: no verdict on a label.
    """
    text = os.environ.get(COMMAND_VARIABLE, "") or settings.command
    remedy = f"set {COMMAND_VARIABLE} on this worker, or dft.settings.command (docs/vasp.md)"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise EngineError(f"VASP's command can't be read: {text!r}: {error}", remedy) from error
    if not words:
        raise EngineError("VASP's command is empty", remedy)
    found = shutil.which(words[0])
    if found is None:
        raise EngineError(f"VASP's command '{words[0]}' is not an executable on this machine", remedy)
    return [str(Path(found).absolute()), *words[1:]]
