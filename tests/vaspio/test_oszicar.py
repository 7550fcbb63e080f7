"""OSZICAR, on what a real VASP printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.io.vasp.outputs import Oszicar as PymatgenOszicar

from mmtp_fw.vaspio.oszicar import ionic_steps, parse_oszicar, sharpened

FILE = Path(__file__).with_name("data") / "OSZICAR-IrMn3"
REAL = FILE.read_text()


def test_a_real_file():
    read = parse_oszicar(REAL, 4)
    assert (read.steps, read.free_energy_eV) == (29, -36.715064)
    assert (read.penalty_eV, read.lambda_eV_per_muB2) == (2.0681e-7, 1.0)
    np.testing.assert_array_equal(read.smoothed[1], [-0.742, -1.485, -0.743])
    np.testing.assert_array_equal(read.unsmoothed[2], [-1.108, 1.108, 2.216])
    np.testing.assert_array_equal(read.residual[0], [-0.37197e-4, -0.11692e-3, -0.19125e-3])
    assert np.all(np.isnan(read.residual[3])), "VASP leaves an ion without constraint out"


def test_pymatgen_sees_the_same_steps():
    steps = PymatgenOszicar(FILE).electronic_steps[-1]
    assert steps[-1]["N"] == parse_oszicar(REAL, 4).steps


@given(st.integers(0, len(REAL)))
def test_a_file_that_ends_anywhere(end):
    read = parse_oszicar(REAL[:end], 4)
    assert read.smoothed is None or read.smoothed.shape == (4, 3)
    if "-.36715064E+02 E0= -.36715794E+02" in REAL[:end]:
        assert read.free_energy_eV == -36.715064
    if "DAV:  29" not in REAL[:end]:
        assert read.free_energy_eV is None


def test_tables_of_another_number_of_ions_are_not_used():
    assert parse_oszicar(REAL, 5).smoothed is None
    assert parse_oszicar("", 4).free_energy_eV is None


def test_columns_without_blanks_and_stars():
    row = "  1 -1.490-10.745-10.745   -2.321*******    NaN"
    text = f" E_p =  0.1E+00  lambda =  0.100E+01\n ion        MW_int                 M_int\n{row}\nDAV:   1 -0.1E+02\n"
    read = parse_oszicar(text, 1)
    np.testing.assert_array_equal(read.smoothed[0], [-1.49, -10.745, -10.745])
    np.testing.assert_array_equal(np.isnan(read.unsmoothed[0]), [False, True, True])


@pytest.mark.parametrize("sign", [1, -1])
def test_residuals_sharpen_moments(sign):
    exact, constraint = np.array([1.48432, -0.21087]), np.array([1.5, -0.2])
    printed = np.round(exact, 3)
    residual = sign * 25.0 * (exact - constraint)
    np.testing.assert_allclose(sharpened(printed, constraint, residual, 25.0), exact, atol=1e-12)


def test_residuals_that_disagree_are_not_believed():
    printed, constraint = np.array([1.484, -0.211]), np.array([1.5, -0.2])
    residual = 25.0 * (printed - constraint)
    for wrong in (2 * residual, residual * [1, -1], residual * np.nan, None):
        np.testing.assert_array_equal(sharpened(printed, constraint, wrong, 25.0), printed)


@pytest.mark.parametrize("row", [0, 1, 3])
@pytest.mark.parametrize("damage", ["nul", "twice", "other", "gone"])
def test_a_damaged_last_table_does_not_give_the_step_before(row, damage):
    lines = REAL.splitlines()
    head = max(k for k, line in enumerate(lines) if "MW_int" in line)
    k = head + 1 + row
    if damage == "nul":
        lines[k] = "\0" * len(lines[k])
    elif damage == "twice":
        lines[k] = lines[k - 1] if row else lines[k + 1]
    elif damage == "other":
        lines[k] = lines[k].replace(".", "x", 1)
    else:
        del lines[k]
    read = parse_oszicar("\n".join(lines), 4)
    assert read.smoothed is None and read.unsmoothed is None
    assert read.free_energy_eV == -36.715064


def test_ionic_steps_are_apart():
    second = REAL.replace("-.36715064E+02", "-.37715064E+02")
    first, last = ionic_steps(REAL + second, 4)
    assert (first.free_energy_eV, last.free_energy_eV) == (-36.715064, -37.715064)
    assert parse_oszicar(REAL + second, 4).free_energy_eV == -37.715064
