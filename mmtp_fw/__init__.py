"""mmtp_fw: active learning of magnetic Moment Tensor Potentials, run by FireWorks."""

from __future__ import annotations

import importlib
import logging
from typing import Any

# Nothing is written unless a program asks for it: see `mmtp_fw.log`.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Return `Campaign`, a campaign of a database as tables; it is imported when it is asked for."""
    if name == "Campaign":
        return importlib.import_module("mmtp_fw.frames").Campaign
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
