"""VASP as the engine for production: non-collinear calculations with ``I_CONSTRAINED_M = 2``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmtp_fw.on_demand import on_demand

if TYPE_CHECKING:
    from mmtp_fw.dft.vasp.engine import VaspEngine
    from mmtp_fw.dft.vasp.settings import VaspSettings

__all__ = ["VaspEngine", "VaspSettings"]

if not TYPE_CHECKING:  # a checker finds misspelt names
    __getattr__ = on_demand(__name__, {"engine": ["VaspEngine"], "settings": ["VaspSettings"]})
