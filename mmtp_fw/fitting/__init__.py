"""Fitting: the loss, its exact gradient, and its minimisation; training sets, errors, checks."""

from __future__ import annotations

from mmtp_fw.fitting.cfg import DerivativeSign
from mmtp_fw.fitting.datasets import read_configurations, write_configurations
from mmtp_fw.fitting.ensemble import Ensemble, Member, fit_ensemble, fit_member
from mmtp_fw.fitting.fit import find_suspects, fit, random_start
from mmtp_fw.fitting.holes import Hole, MomentHole, PairHole, within_reach
from mmtp_fw.fitting.loss import loss_and_gradient
from mmtp_fw.fitting.settings import FitResult, FitSettings, Progress
from mmtp_fw.fitting.stability import Stability, check_stability
from mmtp_fw.fitting.statistics import errors_by_quantity, errors_by_species, errors_by_volume
from mmtp_fw.fitting.validate import Finding, Report, check_training_set
from mmtp_fw.fitting.weights import Weights

__all__ = [
    "DerivativeSign",
    "Ensemble",
    "Finding",
    "FitResult",
    "FitSettings",
    "Hole",
    "Member",
    "MomentHole",
    "PairHole",
    "Progress",
    "Report",
    "Stability",
    "Weights",
    "check_stability",
    "check_training_set",
    "errors_by_quantity",
    "errors_by_species",
    "errors_by_volume",
    "find_suspects",
    "fit",
    "fit_ensemble",
    "fit_member",
    "loss_and_gradient",
    "random_start",
    "read_configurations",
    "within_reach",
    "write_configurations",
]
