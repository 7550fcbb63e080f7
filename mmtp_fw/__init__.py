"""mmtp_fw: active learning of magnetic Moment Tensor Potentials, run by FireWorks."""

from __future__ import annotations

import logging

# Nothing is written unless a program asks for it: see `mmtp_fw.log`.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"
