"""Phonons by finite displacements on the adiabatic surface: moments at their minimum at every displacement."""

from __future__ import annotations

from mmtp_fw.phonons.arrangements import Arrangement, crystals, drawn
from mmtp_fw.phonons.averages import Averaged, averaged
from mmtp_fw.phonons.calculation import Phonons, PhononSettings, phonons
from mmtp_fw.phonons.harmonic import Harmonic, symmetrised
from mmtp_fw.phonons.modes import Modes
from mmtp_fw.phonons.spectrum import MEV_PER_THZ, Spectrum, SpectrumMoments, spectrum
from mmtp_fw.phonons.surface import AdiabaticSurface, SurfaceError
from mmtp_fw.phonons.thermodynamics import Thermodynamics, thermodynamics

__all__ = [
    "MEV_PER_THZ",
    "AdiabaticSurface",
    "Arrangement",
    "Averaged",
    "Harmonic",
    "Modes",
    "PhononSettings",
    "Phonons",
    "Spectrum",
    "SpectrumMoments",
    "SurfaceError",
    "Thermodynamics",
    "averaged",
    "crystals",
    "drawn",
    "phonons",
    "spectrum",
    "symmetrised",
    "thermodynamics",
]
