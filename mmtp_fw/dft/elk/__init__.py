"""Elk as an independent, all-electron engine: moments in the muffin-tins, held by fields (``fsmtype 2``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmtp_fw.on_demand import on_demand

if TYPE_CHECKING:
    from mmtp_fw.dft.elk.engine import ElkEngine
    from mmtp_fw.dft.elk.settings import ElkSettings

__all__ = ["ElkEngine", "ElkSettings"]

if not TYPE_CHECKING:  # a checker finds misspelt names
    __getattr__ = on_demand(__name__, {"engine": ["ElkEngine"], "settings": ["ElkSettings"]})
