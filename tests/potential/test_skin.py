"""Kept neighbour lists are those that a fresh search finds, whatever happens to atoms and cell."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential
from mmtp_fw.potential.skin import KEPT, ListCache
from mmtp_fw.potential.system import System


def same(atoms: Atoms, cache: ListCache) -> None:
    """Compare the list, to the last bit, with one of a search of its own."""
    kept = System.from_atoms(atoms, ["Fe", "Pd"], cache.r_cut, cache)
    fresh = System.from_atoms(atoms, ["Fe", "Pd"], cache.r_cut)
    for name in ("first", "neighbors", "vectors"):
        assert getattr(kept, name).tobytes() == getattr(fresh, name).tobytes(), name
    assert kept.closest == fresh.closest


def right(atoms: Atoms, cache: ListCache) -> None:
    """Compare the list with one of a search of its own, and, in any order, with ASE's."""
    same(atoms, cache)
    kept = System.from_atoms(atoms, ["Fe", "Pd"], cache.r_cut, cache)
    i, j, vectors = neighbor_list("ijD", atoms, cache.r_cut)
    mine = np.column_stack([np.repeat(np.arange(len(atoms)), np.diff(kept.first)), kept.neighbors, kept.vectors])
    ours, theirs = (table[np.lexsort(np.round(table, 6).T)] for table in (mine, np.column_stack([i, j, vectors])))
    assert ours.shape == theirs.shape and np.allclose(ours, theirs, atol=1e-9)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("walk"), st.floats(0.0, 0.5)),
        st.tuples(st.just("strain"), st.floats(-0.04, 0.04)),
        st.tuples(st.just("shear"), st.floats(-0.1, 0.1)),
        st.tuples(st.just("wrap"), st.just(0.0)),
        st.tuples(st.just("jump"), st.floats(0.0, 3.0)),
        st.tuples(st.just("permute"), st.just(0.0)),
        st.tuples(st.just("open"), st.just(0.0)),
    ),
    min_size=3,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps=steps, seed=st.integers(0, 999), size=st.sampled_from([(1, 1, 1), (2, 1, 1), (2, 2, 2)]))
def test_any_history_gives_the_pairs_of_a_fresh_search(steps, seed, size):
    random = np.random.default_rng(seed)
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * size
    cache = ListCache(3.5, skin=0.5)
    right(atoms, cache)
    for what, amount in steps:
        if what == "walk":
            atoms.positions += amount * random.uniform(-1, 1, atoms.positions.shape) / np.sqrt(3)
        elif what == "strain":
            atoms.set_cell(np.array(atoms.cell) * (1 + amount), scale_atoms=True)
        elif what == "shear":
            deformation = np.eye(3) + amount * random.uniform(-1, 1, (3, 3))
            atoms.set_cell(np.array(atoms.cell) @ deformation, scale_atoms=True)
        elif what == "wrap":
            atoms.wrap()
        elif what == "jump":
            atoms.positions[0] += amount
        elif what == "permute":
            atoms = atoms[random.permutation(len(atoms))]
        else:
            atoms.pbc = random.choice([True, False], 3)
        atoms.set_chemical_symbols(random.choice(["Fe", "Pd"], len(atoms)).tolist())
        try:
            right(atoms, cache)
        except InputError:  # two atoms met, in both lists alike
            with pytest.raises(InputError):
                System.from_atoms(atoms, ["Fe", "Pd"], 3.5)


def test_a_trajectory_needs_few_searches():
    random = np.random.default_rng(0)
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (3, 3, 3)
    cache = ListCache(5.0)
    velocities = random.normal(scale=0.01, size=atoms.positions.shape)
    for _ in range(100):
        atoms.positions += velocities
        same(atoms, cache)
    assert 2 <= cache.builds <= 25
    alone = ListCache(5.0)
    for seed in range(5):
        other = bulk("Fe", "bcc", 2.6 + 0.1 * seed, cubic=True) * (2, 2, 2)
        other.rattle(0.5, seed=seed)
        same(other, alone)
    assert alone.builds == 5, "configurations that have nothing to do with each other"


def test_configurations_that_take_turns_are_searched_once_each():
    random = np.random.default_rng(0)
    images = [bulk("Fe", "bcc", 2.6 + 0.1 * k, cubic=True) * (2, 2, 2) for k in range(4)]
    for k, atoms in enumerate(images):
        atoms.rattle(0.5, seed=k)
    cache = ListCache(5.0)
    for _ in range(10):
        for atoms in images:
            atoms.positions += 0.005 * random.uniform(-1, 1, atoms.positions.shape)
            same(atoms, cache)
    assert cache.builds == 4


def test_many_configurations_in_turn_leave_few_lists_behind():
    cache = ListCache(5.0)
    sizes = []
    for _ in range(3):
        for k in range(12):
            atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (2, 2, 2)
            atoms.rattle(0.5, seed=k)
            same(atoms, cache)
        sizes.append(sum(len(kept.neighbors) for kept in cache._kept))
    assert sizes[0] == sizes[1] == sizes[2]
    assert cache.builds == 36
    assert len(cache._kept) == KEPT
    assert len(pickle.dumps(cache)) < 300


def test_of_large_configurations_only_the_newest_list_stays():
    cache = ListCache(5.0)
    for a in (2.5, 3.0):
        same(bulk("Fe", "bcc", a, cubic=True) * (18, 18, 18), cache)
        assert len(cache._kept) == 1


def test_pairs_at_the_cut_off_are_the_same_in_every_list():
    cache = ListCache(3.0)
    atoms = bulk("Fe", "sc", 3.0) * (2, 2, 2)
    for shift in (0.0, 0.1, 0.3, 1 / 3, 1e-6, 10.0):
        atoms.positions += shift
        kept, fresh = (System.from_atoms(atoms, ["Fe"], 3.0, lists) for lists in (cache, None))
        assert kept.vectors.tobytes() == fresh.vectors.tobytes()
        assert kept.neighbors.tobytes() == fresh.neighbors.tobytes()


def test_neighbours_stand_in_the_order_of_atoms_and_images():
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (2, 1, 1)
    atoms.rattle(0.1, seed=0)
    system = System.from_atoms(atoms, ["Fe"], 6.0)
    for i in range(len(atoms)):
        part = slice(system.first[i], system.first[i + 1])
        j = system.neighbors[part]
        images = (system.vectors[part] - atoms.positions[j] + atoms.positions[i]) @ np.linalg.inv(atoms.cell.array)
        rows = [(k, *image) for k, image in zip(j.tolist(), np.round(images).astype(int).tolist(), strict=True)]
        assert rows == sorted(rows)


def test_clusters_molecules_and_nothing():
    cache = ListCache(4.0)
    cluster = molecule("H2O")
    cluster.set_chemical_symbols(["Fe", "Pd", "Fe"])
    for _ in range(4):
        cluster.positions += 0.02
        cluster.positions[0] += 0.01
        right(cluster, cache)
    assert len(System.from_atoms(Atoms(), ["Fe"], 4.0, cache)) == 0
    single = Atoms("Fe", cell=[20, 20, 20], pbc=True)
    for _ in range(3):
        assert len(System.from_atoms(single, ["Fe"], 4.0, cache).neighbors) == 0


def test_coincident_atoms_are_refused_by_a_kept_list_as_well():
    cache = ListCache(4.0, skin=2.0)
    atoms = bulk("Fe", "bcc", 2.87, cubic=True)
    for _ in range(3):
        System.from_atoms(atoms, ["Fe"], 4.0, cache)
    atoms.positions[1] = [0.9, 0.9, 0.9]
    System.from_atoms(atoms, ["Fe"], 4.0, cache)
    atoms.positions[1] = atoms.positions[0]
    with pytest.raises(InputError, match="coincide"):
        System.from_atoms(atoms, ["Fe"], 4.0, cache)


def test_threads_may_share_kept_lists():
    potential = Potential.from_level(4, ["Fe"], r_min=1.5, r_cut=4.0, max_moment=3.0, seed=1)
    lists = pickle.loads(pickle.dumps(potential.lists()))
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (2, 2, 2)
    atoms.set_initial_magnetic_moments(np.full(len(atoms), 2.0))
    found = {}

    def moved(seed):
        other = atoms.copy()
        other.rattle(0.05 + 0.2 * (seed % 2), seed=seed)
        return other

    expected = {seed: potential.evaluate(moved(seed)).energy for seed in range(24)}

    def work(offset):
        for seed in range(offset, 24, 3):
            found[seed] = potential.evaluate(moved(seed), lists=lists).energy

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_lists_of_another_cut_off_are_refused():
    potential = Potential.from_level(4, ["Fe"], r_min=1.5, r_cut=4.0, max_moment=3.0, seed=1)
    with pytest.raises(InputError, match="cut-off of 5 Å, not of 4 Å"):
        potential.system(bulk("Fe", cubic=True), ListCache(5.0))
