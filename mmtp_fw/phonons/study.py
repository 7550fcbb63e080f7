"""Phonons of several arrangements of one crystal, with everything that is needed to repeat them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import mmtp_fw
from mmtp_fw.errors import InputError
from mmtp_fw.phonons.arrangements import Arrangement
from mmtp_fw.phonons.averages import Averaged, averaged
from mmtp_fw.phonons.calculation import Phonons, PhononSettings, phonons
from mmtp_fw.phonons.surface import SurfaceError

if TYPE_CHECKING:
    from mmtp_fw.potential import Potential

ADIABATIC = (
    "Ensemble adiabatic: moments at their minimum at every displacement, a spin system at 0 K. Harmonic phonons at a "
    "fixed cell: no magnetic excitations, no anharmonicity, no thermal expansion."
)
"""What has to stand beside these phonons wherever they are compared with an experiment."""


@dataclass(frozen=True, eq=False)
class Study:
    """Phonons of several arrangements, averaged.

    Attributes
    ----------
    found : dict of str to Phonons
        By the name of the arrangement.
    refused : dict of str to str
        Arrangements that gave no phonons, with the reason.
    averaged : Averaged
    settings : PhononSettings
    potential_hash : str
    """

    found: Mapping[str, Phonons]
    refused: Mapping[str, str]
    averaged: Averaged
    settings: PhononSettings
    potential_hash: str

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the numbers are to be taken with, each once."""
        told: dict[str, None] = {}
        if self.refused:
            count = len(self.refused) + len(self.found)
            told[f"{len(self.refused)} of {count} arrangements gave no phonons: the mean is over the others only"] = (
                None
            )
        for name, one in self.found.items():
            for line in one.warnings:
                common = all(line in other.warnings for other in self.found.values())
                told[line if common else f"{name}: {line}"] = None
        return tuple(told)

    def document(self) -> dict[str, Any]:
        """Return plain data: averages, every arrangement, settings, potential and versions."""
        return {
            "note": ADIABATIC,
            "ensemble": "adiabatic",
            **self.averaged.document(),
            "warnings": list(self.warnings),
            "found": {name: one.document() for name, one in self.found.items()},
            "refused": dict(self.refused),
            "settings": asdict(self.settings),
            "potential_hash": self.potential_hash,
            "versions": {"mmtp_fw": mmtp_fw.__version__, "phonopy": version("phonopy")},
        }


def study(
    potential: Potential,
    arrangements: Iterable[Arrangement],
    settings: PhononSettings,
    fwhm_meV: float,
    temperatures_K: Sequence[float],
) -> Study:
    """Compute the phonons of every arrangement and average them.

    Parameters
    ----------
    potential : Potential
    arrangements : iterable of Arrangement
        With different names.
    settings : PhononSettings
    fwhm_meV : float
        Resolution of the spectrum, see `averaged`.
    temperatures_K : sequence of float

    Raises
    ------
    SurfaceError
        No arrangement gave phonons; the message is that of the first.
    InputError
        A crystal or number that makes no sense.
    """
    if not fwhm_meV > 0 or any(not kelvin >= 0 for kelvin in temperatures_K):
        raise InputError("a resolution must be above 0 meV, and temperatures not below 0 K")
    found: dict[str, Phonons] = {}
    refused: dict[str, SurfaceError] = {}
    for one in arrangements:
        try:
            found[one.name] = phonons(potential, one.atoms, one.start, settings)
        except SurfaceError as error:
            refused[one.name] = error
    if not found:
        if not refused:
            raise InputError("there is no arrangement to compute")
        name, first = next(iter(refused.items()))
        raise SurfaceError(f"{name}: {first.message}", first.hint)
    reasons = {name: error.message for name, error in refused.items()}
    mean = averaged(list(found.values()), fwhm_meV, temperatures_K)
    return Study(found, reasons, mean, settings, potential.content_hash)
