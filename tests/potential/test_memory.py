"""Kernels use no memory that was given back, which threads side by side take from each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

from mmtp_fw.potential import Potential, engine

ALL = """
import json, sys
sys.path.insert(0, {folder!r})
from test_memory import everything
print(json.dumps(everything()))
"""


def iron() -> tuple[Potential, Atoms]:
    potential = Potential.from_level(6, ["Fe"], r_min=1.5, r_cut=4.0, max_moment=3.0, seed=1)
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=1)
    atoms.set_initial_magnetic_moments(np.linspace(-2, 2, len(atoms)))
    return potential, atoms


def everything() -> list[float]:
    """Return a number of every kernel that takes scratch: energies, rows, directional gradients."""
    potential, atoms = iron()
    system, moments = potential.system(atoms), atoms.get_initial_magnetic_moments()
    found = potential.evaluate_system(system, moments)
    rows = engine.energy_gradient(potential.form, system, moments, per_site=True)
    rng = np.random.default_rng(2)
    steps = rng.normal(size=(len(atoms), 3)), rng.normal(size=(3, 3)), rng.normal(size=len(atoms))
    directional = engine.directional_gradient(potential.form, system, moments, 1.0, *steps)
    arrays = (found.forces, found.magnetic_forces, *rows, *directional[1:])
    return [float(found.energy), *(float(np.abs(array).sum()) for array in arrays)]


def test_no_kernel_reads_what_was_given_back():
    """glibc can fill what is given back, so that its use shows in one thread, and always."""
    filled = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0"}
    command = [sys.executable, "-c", ALL.format(folder=str(Path(__file__).parent))]
    found = subprocess.run(command, env=filled, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == everything()
