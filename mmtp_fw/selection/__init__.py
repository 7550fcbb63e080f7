"""Selection: the active set by MaxVol, extrapolation grades, choice among candidates."""

from __future__ import annotations

from mmtp_fw.selection.active_set import ActiveSet, GradeState
from mmtp_fw.selection.maxvol import SquareSet, maxvol
from mmtp_fw.selection.rows import rows_of

__all__ = ["ActiveSet", "GradeState", "SquareSet", "maxvol", "rows_of"]
