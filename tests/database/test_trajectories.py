"""Frames come back from their bytes; the last one can be continued."""

from __future__ import annotations

import numpy as np
from ase.build import bulk

from mmtp_fw.database import trajectories


def frames(count):
    random = np.random.default_rng(3)
    for step in range(count):
        atoms = bulk("Fe", cubic=True) * 2
        atoms.rattle(0.1, rng=random)
        atoms.set_cell(atoms.cell * (1 + 0.01 * step), scale_atoms=True)
        atoms.set_initial_magnetic_moments(random.normal(size=len(atoms)))
        atoms.set_velocities(random.normal(size=(len(atoms), 3)))
        atoms.info["step"] = 10 * step
        yield atoms


def test_frames_come_back():
    original = list(frames(4))
    back = trajectories.unpack(trajectories.pack(original))
    assert [atoms.info["step"] for atoms in back] == [0, 10, 20, 30]
    for one, other in zip(original, back, strict=True):
        assert np.array_equal(one.positions, other.positions)
        assert np.array_equal(one.cell, other.cell) and np.array_equal(one.pbc, other.pbc)
        assert np.array_equal(one.get_initial_magnetic_moments(), other.get_initial_magnetic_moments())
        assert np.allclose(one.get_velocities(), other.get_velocities(), rtol=1e-6)
    assert np.array_equal(original[-1].get_velocities(), back[-1].get_velocities())


def test_no_frames_are_no_bytes():
    assert trajectories.pack([]) == b""
    assert trajectories.unpack(b"") == []
