"""Random potentials and configurations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from mmtp_fw.potential import Potential, engine

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def fepd():
    """The potential of the documentation's example, trained on the reference Hamiltonian."""
    return Potential.read(DATA.parents[2] / "docs" / "examples" / "fe-pd.mmtp")


def random_atoms(species, n, seed, cell=None, pbc=True, spacing=2.0):
    """Return n atoms at least `spacing` apart, with random moments in [−2, 2] μB."""
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(3.0, 4.0, 3) * np.ceil(n ** (1 / 3))) if cell is None else np.array(cell)
    atoms = Atoms(cell=cell, pbc=pbc)
    while len(atoms) < n:
        trial = atoms + Atoms("X", positions=[rng.uniform(size=3) @ cell])
        others = list(range(len(atoms)))
        if not others or trial.get_distances(len(atoms), others, mic=bool(np.any(pbc))).min() > spacing:
            atoms = trial
    atoms.set_chemical_symbols([species[k] for k in rng.integers(len(species), size=n)])
    atoms.set_initial_magnetic_moments(rng.uniform(-2, 2, n))
    return atoms


def read_cfg():
    """Return the 54 atoms of mag.cfg."""
    lines = [line.split() for line in (DATA / "mag.cfg").read_text().splitlines()]
    start = next(k for k, line in enumerate(lines) if line[:1] == ["AtomData:"]) + 1
    rows = np.array([[float(word) for word in line] for line in lines[start : start + 54]])
    atoms = Atoms("Fe54", positions=rows[:, 2:5], cell=[8.7] * 3, pbc=True)
    atoms.set_initial_magnetic_moments(rows[:, 8])
    return atoms


@pytest.fixture(params=["lanes", "plain"])
def kernels(request, monkeypatch):
    """Run a test with the fast kernels and with the plain ones."""
    monkeypatch.setattr(engine, "_fast", request.param == "lanes")
    return request.param
