"""Labels at wanted moments: the protocol once, engines behind one small interface.

>>> from mmtp_fw.dft import get_engine, run_protocol
"""

from __future__ import annotations

from mmtp_fw.dft.engine import ConstraintKind, Engine, ScfRequest, ScfResult, get_engine, settings_hash
from mmtp_fw.dft.protocol import run_protocol
from mmtp_fw.dft.settings import ProtocolSettings
from mmtp_fw.dft.stages import (
    Check,
    CheckVerdict,
    Extrapolation,
    Grade,
    Label,
    Outcome,
    OutcomeStatus,
    Rule,
    Stage,
    StageName,
)

__all__ = [
    "Check",
    "CheckVerdict",
    "ConstraintKind",
    "Engine",
    "Extrapolation",
    "Grade",
    "Label",
    "Outcome",
    "OutcomeStatus",
    "ProtocolSettings",
    "Rule",
    "ScfRequest",
    "ScfResult",
    "Stage",
    "StageName",
    "get_engine",
    "run_protocol",
    "settings_hash",
]
