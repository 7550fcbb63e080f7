"""Ensembles of signed collinear moments at temperature: Markov chains, and averages with errors."""

from __future__ import annotations

from mmtp_fw.thermal.binder import BinderCurve, Curie, binder_cumulant, curie_temperature
from mmtp_fw.thermal.chains import Chain, ChainSettings, Counts
from mmtp_fw.thermal.ensembles import ISING, Ensemble, Measure
from mmtp_fw.thermal.limits import moment_limits
from mmtp_fw.thermal.sampling import ThermalAverages, sample
from mmtp_fw.thermal.study import MagnetizationStudy, magnetization_study

__all__ = [
    "ISING",
    "BinderCurve",
    "Chain",
    "ChainSettings",
    "Counts",
    "Curie",
    "Ensemble",
    "MagnetizationStudy",
    "Measure",
    "ThermalAverages",
    "binder_cumulant",
    "curie_temperature",
    "magnetization_study",
    "moment_limits",
    "sample",
]
