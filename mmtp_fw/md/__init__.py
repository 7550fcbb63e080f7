"""Molecular dynamics in LAMMPS with relaxed moments, grades and typed ends."""

from __future__ import annotations

from mmtp_fw.md.models import CalculatorModel, PotentialModel
from mmtp_fw.md.run import run_md
from mmtp_fw.md.settings import MdResult, MdSettings, MdState
from mmtp_fw.md.trajectory import trajectory

__all__ = [
    "CalculatorModel",
    "MdResult",
    "MdSettings",
    "MdState",
    "PotentialModel",
    "run_md",
    "trajectory",
]
