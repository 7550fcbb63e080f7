"""`mmtp potential validate`: what it says is what the potential and the labels give by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.potential import Potential


@pytest.fixture
def files(tmp_path):
    potential = Potential.from_level(4, ["Fe"], r_min=1.9, r_cut=4.0, radial_size=4, magnetic_size=2, seed=3)
    potential.write(tmp_path / "p.mmtp")
    model, rng, labels = ReferenceHamiltonian(), np.random.default_rng(0), []
    for a in (3.6, 3.7, 3.8):
        atoms = bulk("Fe", "fcc", a, cubic=True)
        atoms.positions += rng.normal(scale=0.05, size=(4, 3))
        found = model.evaluate(atoms, rng.uniform(1.5, 2.5, 4))
        atoms.calc = SinglePointCalculator(
            atoms, energy=found.energy, forces=found.forces, stress=found.stress, magmoms=found.moments
        )
        labels.append(atoms)
    write(tmp_path / "labels.xyz", labels, format="extxyz")
    return tmp_path


def test_errors_are_those_by_hand(call, files):
    told = json.loads(call("potential", "validate", files / "p.mmtp", files / "labels.xyz", "--json"))
    potential = Potential.read(files / "p.mmtp")
    labels = read(files / "labels.xyz", ":")
    off = [potential.evaluate(a, moments=a.get_magnetic_moments()).forces - a.get_forces() for a in labels]
    assert told["configurations"] == 3
    assert told["errors"]["forces_eV_per_A"]["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(off))))
    assert told["errors"]["forces_eV_per_A"]["max"] == pytest.approx(np.abs(off).max())
    assert told["errors"]["forces_eV_per_A"]["count"] == 36
    energies = [
        potential.evaluate(a, moments=a.get_magnetic_moments()).energy - a.get_potential_energy() for a in labels
    ]
    assert told["errors"]["energy_per_atom_eV"]["mae"] == pytest.approx(np.mean(np.abs(energies)) / 4)
    assert "magnetic_forces_eV_per_muB" not in told["errors"], "these labels have none"
    assert set(told["errors_by_species"]) == {"Fe"} and len(told["errors_by_volume"]) == 3


def test_tables_and_figure(call, files):
    shown = call("potential", "validate", files / "p.mmtp", files / "labels.xyz", "--figure", files / "parity.svg")
    assert "forces_eV_per_A" in shown and "Å³/atom" in shown
    assert (files / "parity.svg").read_text().count('<g id="axes_') >= 3


def test_what_is_refused(call, files):
    bare = bulk("Fe", "fcc", 3.7, cubic=True)
    bare.set_initial_magnetic_moments([2.0] * 4)
    write(files / "bare.xyz", bare, format="extxyz")
    command = ("potential", "validate", files / "p.mmtp")
    assert "has no energy, forces, stress or magnetic forces" in call(*command, files / "bare.xyz", code=2)
    told = call(*command, files / "labels.xyz", "--figure", files / "p.gif", code=2)
    assert "unknown kind of figure" in told and not (files / "p.gif").exists()


def test_a_fit_replaces_nothing_unasked(call, files):
    command = ("potential", "fit", files / "labels.xyz", files / "p.mmtp", "--level", "2", "--max-iterations", "2")
    before = (files / "p.mmtp").read_bytes()
    assert "exists (name another file, or replace it with --force)" in call(*command, code=2)
    assert (files / "p.mmtp").read_bytes() == before
    call(*command, "--force", "--weights", "magnetic_forces=0")
    assert (files / "p.mmtp").read_bytes() != before
