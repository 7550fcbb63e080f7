"""Averages, spectra and comparisons against answers that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential
from mmtp_fw.properties import (
    average,
    averages_of_trajectories,
    compare,
    ensemble_spread,
    spectral_overlap,
    vibrational_dos,
)


def test_error_of_a_correlated_series_is_that_of_its_mean():
    # AR(1) with coefficient a has the integrated autocorrelation time (1 + a)/(1 − a).
    random, a, n = np.random.default_rng(0), 0.8, 4000
    noise = random.normal(size=(60, n))
    series = np.empty((60, n))
    series[:, 0] = noise[:, 0] / np.sqrt(1 - a * a)
    for k in range(1, n):
        series[:, k] = a * series[:, k - 1] + noise[:, k]
    found = [average(row) for row in series]
    assert np.mean([f.correlation for f in found]) == pytest.approx((1 + a) / (1 - a), rel=0.15)
    assert np.mean([f.error for f in found]) == pytest.approx(series.mean(axis=1).std(ddof=1), rel=0.3)


def test_constant_series_has_no_error():
    assert average([2.0] * 10).error == 0.0


@pytest.mark.parametrize("series", [[], [1.0, float("nan")]])
def test_series_without_a_mean_is_refused(series):
    with pytest.raises(InputError):
        average(series)


def test_trajectories_are_averaged_after_equilibration():
    runs = [{"step": [0, 10, 20, 30], "p": [9.0, 9.0, 1.0, 1.0]}, {"step": [20, 30], "p": [3.0, 3.0]}]
    assert averages_of_trajectories(runs, ["p"], 10)["p"].mean == pytest.approx(2.0)


def test_dos_peaks_at_the_frequencies_of_the_motion():
    t = np.arange(2000) * 4.0e-3  # ps
    velocities = np.zeros((2000, 4, 3))
    velocities[:, 0, 0] = np.cos(2 * np.pi * 5.0 * t)
    velocities[:, 1, 0] = -velocities[:, 0, 0]
    velocities[:, 2, 1] = np.sin(2 * np.pi * 8.0 * t)
    velocities[:, 3, 1] = -velocities[:, 2, 1]
    dos = vibrational_dos(velocities, np.array([26, 26, 46, 46]), 4.0)
    assert dos.frequency_THz[np.argmax(dos.species["Fe"])] == pytest.approx(5.0, abs=0.1)
    assert dos.frequency_THz[np.argmax(dos.species["Pd"])] == pytest.approx(8.0, abs=0.1)
    assert np.trapezoid(dos.total, dos.frequency_THz) == pytest.approx(1.0, rel=1e-6)


def test_comparison_of_known_numbers():
    found = compare([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])
    assert (found.mae, found.maximum) == pytest.approx((1 / 3, 1.0))
    assert found.r2 == pytest.approx(0.5)


def test_overlap_is_one_for_equal_and_zero_for_disjoint_spectra():
    grid = np.linspace(0, 10, 200)
    one, other = np.exp(-((grid - 3) ** 2)), np.where(grid > 8, 1.0, 0.0)
    assert spectral_overlap(grid, one, 5 * one) == pytest.approx(1.0)
    assert spectral_overlap(grid, one, other) < 1e-4


def test_spread_of_an_ensemble():
    atoms = bulk("Fe", cubic=True)
    atoms.rattle(0.05, seed=2)
    atoms.set_initial_magnetic_moments([1.0, 1.0])
    member = Potential.from_level(4, ["Fe"], r_min=1.5, r_cut=4.0, max_moment=3.0, magnetic_size=3, seed=5)
    same = ensemble_spread([member, member], [atoms])
    assert same == dict.fromkeys(same, 0.0) | {"frames": 1.0, "members": 1.0}
    other = Potential.loads(member.dumps())
    other.parameters = 1.01 * member.parameters
    spread = ensemble_spread([member, other], [atoms])
    energies, forces = [], []
    for one in (member, other):
        result = one.evaluate(atoms, moments=one.relax_moments(atoms, start=np.ones(2)).moments)
        energies.append(result.energy / len(atoms))
        forces.append(result.forces)
    assert spread["energy_eV_per_atom"] == pytest.approx(abs(energies[0] - energies[1]) / np.sqrt(2))
    differences = (forces[0] - forces[1]) / np.sqrt(2)
    assert spread["forces_eV_per_A"] == pytest.approx(np.sqrt(np.mean(differences**2)))


def test_what_did_not_converge_is_not_averaged():
    place = Path(__file__).parents[1] / "potential" / "data"
    members = [
        Potential.read(place / "hole.mmtp"),
        Potential.read(place.parents[2] / "docs" / "examples" / "fe-pd.mmtp"),
    ]
    frame = read(place / "hole.xyz")
    good = ensemble_spread(members, [frame])
    assert good["frames"] == 1 and good["frames_left_out"] == 0
    assert good["pressure_GPa"] < 2.0 and good["energy_eV_per_atom"] < 0.01
    lost = frame.copy()  # into the hole of one
    lost.set_initial_magnetic_moments(np.where(frame.numbers == 46, -2.0, frame.get_initial_magnetic_moments()))
    both = ensemble_spread(members, [frame, lost])
    assert both == good | {"frames_left_out": 1.0}
    assert ensemble_spread(members, [lost]) == {"frames": 0.0, "frames_left_out": 1.0}
    # A member that falls into it is refused for all frames, and counted: the others are averaged without it.
    hole, best = members
    sound = best.copy()
    sound.parameters = 1.01 * best.parameters
    spread = ensemble_spread([best, hole, sound], [frame, lost])
    assert spread == ensemble_spread([best, sound], [frame, lost]) | {"members_unstable": 1.0}
    assert (spread["frames"], spread["members"]) == (2.0, 1.0) and spread["energy_eV_per_atom"] > 0
    assert ensemble_spread([best, hole], [frame, lost]) == {
        "frames": 2.0, "frames_left_out": 0.0, "members": 0.0, "members_unstable": 1.0,
    }  # fmt: skip


def test_one_potential_has_no_spread():
    with pytest.raises(InputError, match="two potentials"):
        ensemble_spread([], [])


@pytest.mark.parametrize(("n", "tau"), [(240, 9.0), (240, 19.0), (2000, 19.0), (2000, 1.0)])
def test_errors_of_correlated_series_are_those_of_many_seeds(n, tau):
    """An autoregressive series of known correlation time: the spread of its means over seeds, and the stated errors."""
    memory, rng, count = (tau - 1) / (tau + 1), np.random.default_rng(7), 600
    noise = rng.normal(size=(count, n + 300))
    series = np.empty_like(noise)
    series[:, 0] = noise[:, 0]
    for k in range(1, n + 300):
        series[:, k] = memory * series[:, k - 1] + noise[:, k]
    found = [average(one) for one in series[:, 300:]]
    true = np.std([one.mean for one in found])
    stated = np.sqrt(np.mean([one.error**2 for one in found]))
    assert 0.85 < true / stated < 1.15  # of 600 seeds the spread itself is known to 3 %
