"""The pretraining set: reproducible, of the right composition, physical, and varied."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.errors import InputError
from mmtp_fw.structures import ORDERS, counts_of, crystal, generate, target_moments

FE_PD = {"Fe": 0.68, "Pd": 0.32}
FOR_LATTICES = set(ORDERS) - {"given"}
TYPICAL = {"Fe": 2.6, "Pd": 0.3}


def same(one: Atoms, two: Atoms) -> bool:
    return (
        one.positions.tobytes() == two.positions.tobytes()
        and np.asarray(one.cell).tobytes() == np.asarray(two.cell).tobytes()
        and list(one.symbols) == list(two.symbols)
        and one.get_initial_magnetic_moments().tobytes() == two.get_initial_magnetic_moments().tobytes()
    )


@given(st.integers(0, 2**31), st.integers(1, 12))
@settings(max_examples=10, deadline=None)
def test_reproducible_and_a_longer_list_begins_with_the_shorter(seed, count):
    short = generate(FE_PD, [3.7, 3.8], TYPICAL, structures=count, seed=seed)
    long = generate(FE_PD, [3.7, 3.8], TYPICAL, structures=count + 3, seed=seed)
    assert all(same(one, two) for one, two in zip(short, long, strict=False))
    assert not same(short[0], generate(FE_PD, [3.7], TYPICAL, structures=1, seed=seed + 1)[0])


@pytest.mark.parametrize(("sites", "expected"), [(16, (11, 5)), (32, (22, 10)), (108, (73, 35))])
def test_composition_is_rounded_to_whole_atoms(sites, expected):
    assert tuple(counts_of(FE_PD, sites).values()) == expected


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=4), st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_counts_add_up_and_are_near(parts, sites):
    composition = {f"X{i}": part / sum(parts) for i, part in enumerate(parts)}
    counts = counts_of(composition, sites)
    assert sum(counts.values()) == sites
    assert all(abs(counts[name] - fraction * sites) <= 1 for name, fraction in composition.items())


@pytest.mark.parametrize(
    ("lattice", "reference"), [("fcc", "fcc"), ("bcc", "bcc"), ("sc", "sc"), ("B2", "bcc"), ("L1_2", "fcc")]
)
def test_lattices_have_their_neighbours(lattice, reference):
    rng = np.random.default_rng(0)
    atoms = crystal(lattice, 3.0, (2, 2, 2), {"Fe": 0.75, "Pd": 0.25}, rng)
    expected = bulk("Fe", reference, a=3.0, cubic=True) * (2, 2, 2)
    assert len(atoms) == len(expected)
    first = np.sort(atoms.get_all_distances(mic=True), axis=None)
    np.testing.assert_allclose(first, np.sort(expected.get_all_distances(mic=True), axis=None), atol=1e-12)


def test_ordered_lattices_keep_the_minority_on_the_corners():
    rng = np.random.default_rng(0)
    ordered = crystal("L1_2", 3.75, (2, 2, 2), {"Fe": 0.75, "Pd": 0.25}, rng)
    palladium = ordered[ordered.symbols == "Pd"]
    assert palladium.get_all_distances(mic=True)[0, 1:].min() == pytest.approx(3.75)
    caesium = crystal("B2", 3.0, (2, 2, 2), {"Fe": 0.5, "Al": 0.5}, rng)
    aluminium = caesium[caesium.symbols == "Al"]
    assert aluminium.get_all_distances(mic=True)[0, 1:].min() == pytest.approx(3.0)


def test_atoms_keep_their_distance_and_everything_varies():
    made = generate(FE_PD, [3.6, 3.7, 3.8], TYPICAL, structures=36, displacement_A=0.15, seed=3)
    nearest = [np.min(a.get_all_distances(mic=True) + 10 * np.eye(16)) for a in made]
    assert min(nearest) > 0.75 * 3.6 / np.sqrt(2)
    assert {a.info["generator"]["magnetic_order"] for a in made} == FOR_LATTICES
    assert {a.info["generator"]["lattice_parameter_A"] for a in made} == {3.6, 3.7, 3.8}
    pairs = {(a.info["generator"]["magnetic_order"], a.info["generator"]["lattice_parameter_A"]) for a in made}
    assert len(pairs) == 3 * len(FOR_LATTICES), "every order at every lattice parameter"
    assert len({tuple(a.symbols) for a in made}) > 30
    json.dumps([a.info for a in made])


def test_magnetic_orders():
    atoms = crystal("fcc", 3.75, (2, 2, 2), FE_PD, np.random.default_rng(0))
    iron = atoms.symbols == "Fe"

    def moments(order: str, seed: int = 0) -> np.ndarray:
        return target_moments(atoms, order, TYPICAL, 0.25, 0.25, np.random.default_rng(seed))

    assert np.all(moments("ferromagnetic")[iron] > 2.0)
    assert moments("scaled")[iron].mean() < 2.6 * 1.2
    layered = moments("antiferromagnetic")
    assert np.sum(layered[iron] > 0) + np.sum(layered[iron] < 0) == 22
    heights = np.round(atoms.get_scaled_positions() * 4).astype(int) % 4
    signs = np.sign(layered[iron])
    assert any(all(len(set(signs[heights[iron, axis] == h])) == 1 for h in range(4)) for axis in range(3)), (
        "one sign in every plane along some axis"
    )
    flips = [np.sum(moments("disordered", seed)[iron] < 0) for seed in range(30)]
    assert 1 <= max(flips) <= 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"composition": {"Fe": 0.6, "Pd": 0.3}},
        {"structure": "B8"},
        {"supercell": (2, 0, 2)},
        {"lattice_parameters_A": []},
        {"lattice_parameters_A": [-3.7]},
        {"typical_moments_muB": {"Fe": 2.6}},
        {"magnetic_orders": ["spiral"]},
        {"magnetic_orders": ()},
        {"displacement_A": 1.5},
    ],
)
def test_nonsense_is_refused(wrong):
    arguments = {"composition": FE_PD, "lattice_parameters_A": [3.75], "typical_moments_muB": TYPICAL}
    with pytest.raises(InputError):
        generate(**(arguments | wrong), structures=2)
