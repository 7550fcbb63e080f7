"""A small, exactly known training set: the reference Hamiltonian on generated structures."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.fitting import FitSettings
from mmtp_fw.potential import Potential
from mmtp_fw.structures import generate

QUICK = FitSettings(max_iterations=6, threads=1)


def labelled(count: int, seed: int, supercell: tuple[int, int, int] = (1, 1, 2)) -> list[Atoms]:
    model = ReferenceHamiltonian()
    made = generate(
        {"Fe": 0.68, "Pd": 0.32}, [3.7, 3.78], {"Fe": 2.6, "Pd": 0.3}, count, supercell=supercell, seed=seed
    )
    for atoms in made:
        result = model.evaluate(atoms, atoms.get_initial_magnetic_moments())
        atoms.set_array("magnetic_forces", result.magnetic_forces)
        atoms.calc = SinglePointCalculator(
            atoms, energy=result.energy, forces=result.forces, stress=result.stress, magmoms=result.moments
        )
    return made


@pytest.fixture
def training() -> list[Atoms]:
    return labelled(12, seed=0)


@pytest.fixture
def validation() -> list[Atoms]:
    return labelled(6, seed=99)


@pytest.fixture
def potential() -> Potential:
    return Potential.from_level(6, ["Fe", "Pd"], r_min=1.9, r_cut=4.5, radial_size=5, magnetic_size=2, seed=3)


@pytest.fixture(scope="module")
def cells() -> list[Atoms]:
    """Twelve labelled cells that no test changes."""
    return labelled(12, seed=0)


@pytest.fixture
def small(potential) -> Potential:
    return potential


def copies(cells: list[Atoms], count: int | None = None) -> list[Atoms]:
    """Return copies with their labels, to be spoilt."""
    made = []
    for atoms in cells[:count]:
        copy = atoms.copy()
        copy.calc = SinglePointCalculator(copy, **{k: np.copy(v) for k, v in atoms.calc.results.items()})
        copy.calc.results["energy"] = float(atoms.calc.results["energy"])
        made.append(copy)
    return made
