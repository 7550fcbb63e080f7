"""VASP as the engine for production: non-collinear calculations with ``I_CONSTRAINED_M = 2``."""

from __future__ import annotations

from mmtp_fw.dft.vasp.engine import VaspEngine
from mmtp_fw.dft.vasp.settings import VaspSettings

__all__ = ["VaspEngine", "VaspSettings"]
