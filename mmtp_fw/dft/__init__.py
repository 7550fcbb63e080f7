"""Labels at wanted moments: the protocol once, engines behind one small interface.

>>> from mmtp_fw.dft import get_engine, run_protocol
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmtp_fw.on_demand import on_demand

if TYPE_CHECKING:
    from mmtp_fw.dft.engine import ConstraintKind, Engine, ScfRequest, ScfResult, settings_hash
    from mmtp_fw.dft.protocol import run_protocol
    from mmtp_fw.dft.registry import EngineDescription, describe, engine_names, get_engine
    from mmtp_fw.dft.settings import ProtocolSettings
    from mmtp_fw.dft.stages import Check, CheckVerdict, Extrapolation, Label, Outcome, Rule, Stage
    from mmtp_fw.labelling import Grade, OutcomeStatus, StageName

__all__ = [
    "Check",
    "CheckVerdict",
    "ConstraintKind",
    "Engine",
    "EngineDescription",
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
    "describe",
    "engine_names",
    "get_engine",
    "run_protocol",
    "settings_hash",
]

if not TYPE_CHECKING:  # a checker finds misspelt names
    __getattr__ = on_demand(
        __name__,
        {
            "engine": ["ConstraintKind", "Engine", "ScfRequest", "ScfResult", "settings_hash"],
            "protocol": ["run_protocol"],
            "registry": ["EngineDescription", "describe", "engine_names", "get_engine"],
            "settings": ["ProtocolSettings"],
            "stages": [
                "Check",
                "CheckVerdict",
                "Extrapolation",
                "Grade",
                "Label",
                "Outcome",
                "OutcomeStatus",
                "Rule",
                "Stage",
                "StageName",
            ],
        },
    )
