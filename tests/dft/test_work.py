"""Counts of electronic work: by hand, and rising with everything that makes a calculation dearer."""

from __future__ import annotations

import math

import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.dft.registry import describe
from mmtp_fw.dft.work import guessed_valence, plane_wave_work, plane_waves, valence_electrons
from mmtp_fw.errors import EngineError

IRON = bulk("Fe", "bcc", a=2.85, cubic=True)
PROGRAMS = ("abinit", "vasp", "elk")
CUTOFF = {"abinit": "ecut_Ha", "vasp": "encut_eV", "elk": "rgkmax"}
USUAL = {"abinit": 12.0, "vasp": 300.0, "elk": 6.0}


def work(engine: str, atoms: Atoms = IRON, factor: float = 1.0, spacing: float = 0.5):
    count = describe(engine).costs.work
    assert count is not None
    return count({CUTOFF[engine]: factor * USUAL[engine], "kspacing_per_A": spacing}, atoms)


def test_every_number_by_hand():
    # A cube of 4 bohr: V k³/6π² with k² = 2 · 8 Ha, and a mesh of 2π/2.117 Å/1.0 = 2.97, so 3 × 3 × 3.
    atoms = Atoms("Fe", cell=[4 * 0.529177210903] * 3, pbc=True)
    waves = 64 * 64 / (6 * math.pi**2)
    assert plane_waves(atoms, 8.0) == pytest.approx(waves)
    box = 8 * 64 * 64 / math.pi**3
    of_a_band = 5 * (2 * 5 * box * math.log2(box) + 2 * 8 * waves * 18)
    found = plane_wave_work(atoms, 8.0, 9, 8.0, 1.0)
    assert (found.k_points, found.bands, found.atoms, found.basis_functions) == (14, 9, 1, round(waves))
    assert found.operations == pytest.approx(2 * 14 * (9 * of_a_band + 2 * 8 * 81 * waves))
    spinors = plane_wave_work(atoms, 8.0, 18, 8.0, 1.0, spinors=True)
    assert spinors.k_points == 27
    assert spinors.operations == pytest.approx(27 * 2 * (18 * of_a_band + 2 * 8 * 18**2 * waves))


@pytest.mark.parametrize("engine", PROGRAMS)
@given(st.floats(1.05, 2.0), st.integers(2, 5), st.integers(0, 2))
@settings(max_examples=10, deadline=None)
def test_work_rises_with_cutoff_mesh_and_atoms(engine, factor, times, axis):
    usual = work(engine).operations
    assert work(engine, factor=factor).operations > 1.05 * usual
    assert work(engine, spacing=0.5 / times).operations > times * usual
    repeats = [1, 1, 1]
    repeats[axis] = times
    assert work(engine, IRON * repeats).operations > 1.2 * usual


def test_a_denser_cell_of_more_electrons_takes_more_bands():
    chromium = bulk("Cr", "bcc", a=2.85, cubic=True)
    assert work("abinit").electrons > work("abinit", chromium).electrons - 6
    assert work("abinit").bands == math.ceil(0.625 * work("abinit").electrons) + 4


def test_electrons_without_a_dataset_are_guessed_and_said():
    def valence(species: str) -> float:
        if species == "N":
            raise EngineError("no dataset")
        return 14.0

    electrons, assumed = valence_electrons(bulk("CrN", "rocksalt", a=4.15, cubic=True), valence)
    assert (electrons, assumed) == (4 * 14 + 4 * 5, ("N",))


@pytest.mark.parametrize("number", range(1, 87))
def test_every_element_has_electrons(number):
    from ase.data import chemical_symbols

    assert 1 <= guessed_valence(chemical_symbols[number]) <= 16
