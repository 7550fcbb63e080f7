"""Configurations to start from: lattices, distortions, chemical and magnetic disorder.

>>> from mmtp_fw.structures import generate
"""

from __future__ import annotations

from mmtp_fw.structures.generate import ORDERS, generate
from mmtp_fw.structures.lattices import Lattice, counts_of, crystal
from mmtp_fw.structures.magnetic_orders import MagneticOrder, target_moments

__all__ = ["ORDERS", "Lattice", "MagneticOrder", "counts_of", "crystal", "generate", "target_moments"]
