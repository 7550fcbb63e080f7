"""VASP as the engine for production: non-collinear calculations with ``I_CONSTRAINED_M = 2``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmtp_fw.dft.vasp.settings import VaspSettings

if TYPE_CHECKING:
    from mmtp_fw.dft.vasp.engine import VaspEngine

__all__ = ["VaspEngine", "VaspSettings"]


def __getattr__(name: str) -> Any:
    # The description is read everywhere, the engine and what it imports only where it works.
    if name == "VaspEngine":
        from mmtp_fw.dft.vasp.engine import VaspEngine

        return VaspEngine
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
