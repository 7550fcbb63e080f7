"""What is computed with a trained potential: averages, phonon density of states, comparisons."""

from __future__ import annotations

from mmtp_fw.properties.averages import Average, average, averages_of_trajectories
from mmtp_fw.properties.comparison import Comparison, compare, spectral_overlap
from mmtp_fw.properties.phonons import PhononDos, vibrational_dos

__all__ = [
    "Average",
    "Comparison",
    "PhononDos",
    "average",
    "averages_of_trajectories",
    "compare",
    "spectral_overlap",
    "vibrational_dos",
]
