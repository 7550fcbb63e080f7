"""Configurations to start from: lattices, distortions, chemical and magnetic disorder.

>>> from mmtp_fw.structures import generate
"""

from __future__ import annotations

from mmtp_fw.structures.generate import ORDERS, distorted_cells, generate
from mmtp_fw.structures.lattices import LATTICES, Lattice, counts_of, crystal, lattice, number_of_atoms
from mmtp_fw.structures.magnetic_orders import MAGNETIC_ORDERS, MagneticOrder, magnetic_order, target_moments
from mmtp_fw.structures.phases import Phase

__all__ = [
    "LATTICES",
    "MAGNETIC_ORDERS",
    "ORDERS",
    "Lattice",
    "MagneticOrder",
    "Phase",
    "counts_of",
    "crystal",
    "distorted_cells",
    "generate",
    "lattice",
    "magnetic_order",
    "number_of_atoms",
    "target_moments",
]
