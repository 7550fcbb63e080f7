"""Kept neighbour lists are those that a fresh search finds, whatever happens to atoms and cell."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential
from mmtp_fw.potential.skin import ListCache
from mmtp_fw.potential.system import System


def same(atoms: Atoms, cache: ListCache) -> None:
    """Compare the pairs of every atom, in any order, with those of a search of their own."""
    kept = System.from_atoms(atoms, ["Fe", "Pd"], cache.r_cut, cache)
    fresh = System.from_atoms(atoms, ["Fe", "Pd"], cache.r_cut)
    assert np.array_equal(kept.first, fresh.first)
    assert kept.closest == pytest.approx(fresh.closest, rel=1e-12)
    for i in range(len(atoms)):
        rows = []
        for system in (kept, fresh):
            part = slice(system.first[i], system.first[i + 1])
            table = np.column_stack([system.neighbors[part], system.vectors[part]])
            rows.append(table[np.lexsort(np.round(table, 6).T)])
        assert np.allclose(rows[0], rows[1], atol=1e-10)


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
    same(atoms, cache)
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
            same(atoms, cache)
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


def test_clusters_molecules_and_nothing():
    cache = ListCache(4.0)
    cluster = molecule("H2O")
    cluster.set_chemical_symbols(["Fe", "Pd", "Fe"])
    for _ in range(4):
        cluster.positions += 0.02
        cluster.positions[0] += 0.01
        same(cluster, cache)
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
    assert found == pytest.approx(expected, rel=1e-11)


def test_lists_of_another_cut_off_are_refused():
    potential = Potential.from_level(4, ["Fe"], r_min=1.5, r_cut=4.0, max_moment=3.0, seed=1)
    with pytest.raises(InputError, match="cut-off of 5 Å, not of 4 Å"):
        potential.system(bulk("Fe", cubic=True), ListCache(5.0))
