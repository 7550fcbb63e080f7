"""Threads over atoms: the same numbers, to the last bit for one count, after a fork as well."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.errors import InputError
from mmtp_fw.fitting import loss_and_gradient
from mmtp_fw.potential import Potential
from mmtp_fw.potential.threads import each, ranges, thread_count, threads


@pytest.fixture(scope="module")
def large():
    """A potential and a cell that is large enough for threads."""
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (6, 6, 6)
    atoms.rattle(0.05, seed=4)
    random = np.random.default_rng(1)
    atoms.set_chemical_symbols(random.choice(["Fe", "Pd"], len(atoms)))
    atoms.set_initial_magnetic_moments(random.uniform(-2, 2, len(atoms)))
    return Potential.from_level(6, ["Fe", "Pd"], r_min=1.9, r_cut=4.0, max_moment=3.0, seed=2), atoms


def numbers(potential, atoms, count):
    with threads(count):
        r = potential.evaluate(atoms)
    return np.concatenate([[r.energy], r.energies, r.forces.ravel(), r.stress, r.magnetic_forces])


def test_any_number_of_threads_gives_the_same(large):
    one = numbers(*large, 1)
    for count in (2, 3, 5):
        several = numbers(*large, count)
        assert np.allclose(several, one, rtol=1e-12, atol=1e-11)
        assert np.array_equal(several, numbers(*large, count)), "the same bits for the same count"


def test_threads_after_a_fork(large):
    before = numbers(*large, 2)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writer, "wb") as out:
            pickle.dump(numbers(*large, 2), out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as found:
        after = pickle.load(found)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(before, after)


def test_loss_is_the_same_for_any_number_of_threads(large):
    potential, atoms = large
    labelled = atoms.copy()
    labelled.calc = potential.calculator()
    labelled.get_potential_energy()
    start = potential.copy()
    start.parameters = 1.1 * potential.parameters
    with threads(1):
        value, gradient = loss_and_gradient(start, [labelled] * 3)
    with threads(3):
        same, other = loss_and_gradient(start, [labelled] * 3)
    assert same == pytest.approx(value, rel=1e-12)
    assert np.allclose(gradient, other, rtol=1e-10, atol=1e-9 * np.abs(gradient).max())


@pytest.mark.parametrize(("value", "expected"), [("3", "3"), ("1", "1"), ("", str(len(os.sched_getaffinity(0))))])
def test_the_count_follows_the_environment(value, expected):
    code = "from mmtp_fw.potential.threads import thread_count; print(thread_count())"
    environment = {**os.environ, "NUMBA_NUM_THREADS": value}
    if not value:
        del environment["NUMBA_NUM_THREADS"]
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == expected


def test_bad_counts_are_refused(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "two")
    with pytest.raises(InputError, match="NUMBA_NUM_THREADS is 'two'"):
        thread_count()
    with pytest.raises(InputError, match="0 threads"), threads(0):
        pass


@pytest.mark.parametrize(("n", "parts", "multiple"), [(0, 3, 8), (7, 3, 8), (64, 3, 8), (1001, 4, 8), (5, 9, 1)])
def test_ranges_cover_everything_once(n, parts, multiple):
    found = ranges(n, parts, multiple)
    assert [i for a, b in found for i in range(a, b)] == list(range(n))
    assert len(found) <= parts and all(a % multiple == 0 for a, _ in found)


def test_an_error_in_a_thread_comes_out():
    def work(part):
        if part == 2:
            raise ValueError("part 2")
        return part

    assert each(work, [0, 1, 3]) == [0, 1, 3]
    with pytest.raises(ValueError, match="part 2"):
        each(work, [0, 1, 2])
