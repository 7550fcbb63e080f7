"""ABINIT as a free engine of the protocol: collinear PAW calculations with ``magconon 2``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmtp_fw.dft.abinit.settings import AbinitSettings

if TYPE_CHECKING:
    from mmtp_fw.dft.abinit.engine import AbinitEngine

__all__ = ["AbinitEngine", "AbinitSettings"]


def __getattr__(name: str) -> Any:
    # The description is read everywhere, the engine and what it imports only where it works.
    if name == "AbinitEngine":
        from mmtp_fw.dft.abinit.engine import AbinitEngine

        return AbinitEngine
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
