"""A small, exactly known training set: the reference Hamiltonian on generated structures."""

from __future__ import annotations

import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.potential import Potential
from mmtp_fw.structures import generate


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
