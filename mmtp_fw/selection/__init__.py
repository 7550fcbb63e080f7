"""Selection: the active set by MaxVol, extrapolation grades, choice among candidates; uncertainty of predictions."""

from __future__ import annotations

from mmtp_fw.calibration import Calibration, calibration, calibrations
from mmtp_fw.selection.active_set import ActiveSet, GradeState
from mmtp_fw.selection.maxvol import SquareSet, maxvol
from mmtp_fw.selection.prediction import Knowledge, PredictionUncertainty
from mmtp_fw.selection.rows import rows_of
from mmtp_fw.selection.stated import stated
from mmtp_fw.selection.uncertainty import Uncertainty

__all__ = [
    "ActiveSet",
    "Calibration",
    "GradeState",
    "Knowledge",
    "PredictionUncertainty",
    "SquareSet",
    "Uncertainty",
    "calibration",
    "calibrations",
    "maxvol",
    "rows_of",
    "stated",
]
