"""Ensembles of signed collinear moments at temperature: Markov chains, and averages with errors."""

from __future__ import annotations

from mmtp_fw.thermal.chains import Chain, ChainSettings, Counts
from mmtp_fw.thermal.ensembles import ISING, Ensemble, Measure
from mmtp_fw.thermal.limits import moment_limits
from mmtp_fw.thermal.sampling import ThermalAverages, sample

__all__ = [
    "ISING",
    "Chain",
    "ChainSettings",
    "Counts",
    "Ensemble",
    "Measure",
    "ThermalAverages",
    "moment_limits",
    "sample",
]
