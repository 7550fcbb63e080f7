"""mmtp_fw: active learning of magnetic Moment Tensor Potentials, run by FireWorks."""

from __future__ import annotations

__version__ = "0.1.0"
