"""Configurations come back bit for bit; the content hash knows the same one again, and no other."""

from __future__ import annotations

import bson
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.database.atoms_codec import content_hash, from_document, to_document


def random_atoms(seed, n=6):
    rng = np.random.default_rng(seed)
    atoms = Atoms(
        rng.choice([26, 46], n), cell=np.eye(3) * 5 + rng.normal(0, 0.3, (3, 3)), pbc=True,
        scaled_positions=rng.random((n, 3)),
    )  # fmt: skip
    atoms.set_initial_magnetic_moments(rng.normal(0, 2, n))
    return atoms


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_exact_round_trip_through_bson(seed):
    atoms = random_atoms(seed)
    rng = np.random.default_rng(seed + 1)
    atoms.calc = SinglePointCalculator(
        atoms, energy=float(rng.normal()), forces=rng.normal(size=(6, 3)), stress=rng.normal(size=6),
        magmoms=rng.normal(size=6),
    )  # fmt: skip
    atoms.arrays["magnetic_forces"] = rng.normal(size=6)
    atoms.info = {"grade": np.float64(1.5), "step": np.int64(3), "nested": {"a": (1, np.float64(2))}}
    back = from_document(bson.decode(bson.encode(to_document(atoms))))
    assert np.array_equal(back.positions, atoms.positions)
    assert np.array_equal(np.array(back.cell), np.array(atoms.cell))
    assert np.array_equal(back.numbers, atoms.numbers)
    assert np.array_equal(back.get_initial_magnetic_moments(), atoms.get_initial_magnetic_moments())
    for name, value in atoms.calc.results.items():
        assert np.array_equal(back.calc.results[name], value)
    assert np.array_equal(back.arrays["magnetic_forces"], atoms.arrays["magnetic_forces"])
    assert back.info == {"grade": 1.5, "step": 3, "nested": {"a": [1, 2.0]}}


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_hash_knows_permuted_wrapped_and_labelled_atoms_again(seed):
    atoms = random_atoms(seed)
    rng = np.random.default_rng(seed + 2)
    same = atoms[rng.permutation(len(atoms))]
    same.positions += rng.integers(-2, 3, (len(atoms), 3)) @ np.array(atoms.cell)
    assert content_hash(same) == content_hash(atoms)
    labelled = atoms.copy()
    labelled.calc = SinglePointCalculator(labelled, energy=-1.0)
    labelled.info["origin"] = "elsewhere"
    assert content_hash(labelled) == content_hash(atoms)


@pytest.mark.parametrize("change", ["position", "moment", "sign", "species", "cell", "pbc", "swap"])
def test_hash_tells_configurations_apart(change):
    atoms = random_atoms(7)
    other = atoms.copy()
    moments = other.get_initial_magnetic_moments()
    if change == "position":
        other.positions[2, 1] += 1e-5
    elif change == "moment":
        moments[3] += 1e-4
    elif change == "sign":
        moments = -moments
    elif change == "species":
        other.numbers[0] = 72 - other.numbers[0]
    elif change == "cell":
        other.set_cell(np.array(other.cell) * (1 + 1e-6), scale_atoms=True)
    elif change == "pbc":
        other.pbc = [True, True, False]
    else:
        moments[[0, 1]] = moments[[1, 0]]
    other.set_initial_magnetic_moments(moments)
    assert content_hash(other) != content_hash(atoms)


def test_hash_of_atoms_on_the_cell_boundary():
    atoms = bulk("Fe", cubic=True)
    moved = atoms.copy()
    moved.positions -= 1e-15
    assert content_hash(moved) == content_hash(atoms)


def test_many_random_configurations_have_many_hashes():
    assert len({content_hash(random_atoms(seed, 3)) for seed in range(2000)}) == 2000
