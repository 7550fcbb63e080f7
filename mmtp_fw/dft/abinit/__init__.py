"""ABINIT as a free engine of the protocol: collinear PAW calculations with ``magconon 2``."""

from __future__ import annotations

from mmtp_fw.dft.abinit.engine import AbinitEngine
from mmtp_fw.dft.abinit.settings import AbinitSettings

__all__ = ["AbinitEngine", "AbinitSettings"]
