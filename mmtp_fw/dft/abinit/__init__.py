"""ABINIT as a free engine of the protocol: collinear PAW calculations with ``magconon 2``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmtp_fw.on_demand import on_demand

if TYPE_CHECKING:
    from mmtp_fw.dft.abinit.engine import AbinitEngine
    from mmtp_fw.dft.abinit.settings import AbinitSettings

__all__ = ["AbinitEngine", "AbinitSettings"]

if not TYPE_CHECKING:  # a checker finds misspelt names
    __getattr__ = on_demand(__name__, {"engine": ["AbinitEngine"], "settings": ["AbinitSettings"]})
