"""What is computed with a trained potential: averages, phonon density of states, comparisons."""

from __future__ import annotations

from mmtp_fw.properties.averages import Average, average, averages_of_trajectories
from mmtp_fw.properties.comparison import Comparison, compare
from mmtp_fw.properties.phonons import PhononDos, vibrational_dos
from mmtp_fw.properties.thermal import SampledTrajectory, phonon_dos, thermal_averages
from mmtp_fw.properties.uncertainty import ensemble_spread
from mmtp_fw.spectra import spectral_overlap

__all__ = [
    "Average",
    "Comparison",
    "PhononDos",
    "SampledTrajectory",
    "average",
    "averages_of_trajectories",
    "compare",
    "ensemble_spread",
    "phonon_dos",
    "spectral_overlap",
    "thermal_averages",
    "vibrational_dos",
]
