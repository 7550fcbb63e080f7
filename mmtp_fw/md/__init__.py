"""Molecular dynamics in LAMMPS with relaxed moments, grades and typed ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmtp_fw.md.settings import MdResult, MdSettings, MdState
from mmtp_fw.on_demand import on_demand

if TYPE_CHECKING:
    from mmtp_fw.md.dynamics import trajectory
    from mmtp_fw.md.models import CalculatorModel, PotentialModel
    from mmtp_fw.md.run import run_md

__all__ = [
    "CalculatorModel",
    "MdResult",
    "MdSettings",
    "MdState",
    "PotentialModel",
    "run_md",
    "trajectory",
]

if not TYPE_CHECKING:  # a checker finds misspelt names
    __getattr__ = on_demand(
        __name__,
        {
            "models": ["CalculatorModel", "PotentialModel"],
            "run": ["run_md"],
            "dynamics": ["trajectory"],
        },
    )
