"""A potential with real magnetism: the demonstration's, trained on the reference Hamiltonian of Fe-Pd."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.potential import Potential
from mmtp_fw.selection import ActiveSet

FILE = Path(__file__).parents[2] / "docs" / "examples" / "fe-pd.mmtp"


@pytest.fixture(scope="session")
def fepd():
    """A potential of level 8 for fcc Fe-Pd between 3.60 and 3.80 Å, valid at some hundreds of kelvin."""
    return Potential.read(FILE)


@pytest.fixture(scope="session")
def active(fepd):
    """An active set of a few undistorted and slightly distorted cells."""
    cells = []
    for seed, a in enumerate((3.7, 3.75, 3.8)):
        atoms = bulk("Fe", "fcc", a, cubic=True) * (2, 2, 1)
        atoms.set_chemical_symbols(np.random.default_rng(seed).choice(["Fe", "Fe", "Pd"], len(atoms)).tolist())
        atoms.rattle(0.02, seed=seed)
        atoms.set_initial_magnetic_moments([2.6 if s == "Fe" else 0.3 for s in atoms.symbols])
        cells.append(atoms)
    return ActiveSet.from_configurations(fepd, cells)


@pytest.fixture
def invar():
    """32 atoms of Fe22Pd10 near equilibrium, with ferromagnetic moments."""
    atoms = bulk("Fe", "fcc", 3.75, cubic=True) * (2, 2, 2)
    symbols = np.array(["Fe"] * 22 + ["Pd"] * 10)
    atoms.set_chemical_symbols(np.random.default_rng(2).permutation(symbols).tolist())
    atoms.rattle(0.03, seed=5)
    atoms.set_initial_magnetic_moments([2.6 if s == "Fe" else 0.3 for s in atoms.symbols])
    return atoms
