from __future__ import annotations

import json

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.errors import InputError
from mmtp_fw.fitting import (
    FitSettings,
    check_stability,
    errors_by_quantity,
    errors_by_species,
    errors_by_volume,
    find_suspects,
    fit,
    loss_and_gradient,
)
from mmtp_fw.fitting.minimise import Point, bfgs
from mmtp_fw.potential import Potential
from tests.fitting.conftest import labelled

QUICK = FitSettings(max_iterations=40, threads=1, shakes=0)


def relabel(potential, configurations):
    """Replace the labels by what a potential of the same form says: a fit can reach zero."""
    for atoms in configurations:
        found = potential.evaluate(atoms)
        atoms.set_array("magnetic_forces", found.magnetic_forces)
        atoms.calc = SinglePointCalculator(
            atoms, energy=found.energy, forces=found.forces, stress=found.stress, magmoms=found.moments
        )
    return configurations


def test_bfgs_finds_the_minimum_of_rosenbrock():
    def rosenbrock(x):
        a, b = 1 - x[:-1], x[1:] - x[:-1] ** 2
        gradient = np.zeros_like(x)
        gradient[:-1] = -2 * a - 400 * b * x[:-1]
        gradient[1:] += 200 * b
        return float((a**2 + 100 * b**2).sum()), gradient

    x = np.array([-1.2, 1.0, -0.5, 0.8])
    values = [point.value for point, _ in bfgs(rosenbrock, Point(x, *rosenbrock(x)), np.eye(4), 300)]
    assert values[-1] < 1e-16
    assert np.all(np.diff(values) <= 0)


def test_fit_recovers_a_potential_of_its_own_form(training, validation):
    truth = Potential.from_level(2, ["Fe", "Pd"], r_min=1.9, r_cut=4.0, radial_size=3, magnetic_size=2, seed=8)
    relabel(truth, training + validation)
    start = Potential.from_level(2, ["Fe", "Pd"], r_min=1.9, r_cut=4.0, radial_size=3, magnetic_size=2, seed=1)
    result = fit(start, training, validation=validation, settings=FitSettings(max_iterations=300, threads=1))
    assert result.loss < 1e-6
    assert result.validation_errors["energy_per_atom_eV"]["rmse"] < 1e-3
    assert result.errors["forces_eV_per_A"]["r2"] > 0.9999


def test_fit_lowers_the_loss_and_reports(potential, training, validation):
    told = []
    result = fit(potential, training, validation=validation, settings=QUICK, progress=told.append)
    before = loss_and_gradient(potential, training)[0]
    assert result.loss < 1e-3 * before
    assert result.loss == pytest.approx(loss_and_gradient(result.potential, training)[0], rel=1e-9)
    assert sum(result.loss_by_configuration) == pytest.approx(result.loss, rel=1e-9)
    assert result.history[-1][1] in [p.loss for p in told]
    assert result.history[-1][1] == pytest.approx(result.loss, rel=1e-4), "the prior apart"
    assert result.potential.symmetrized
    json.dumps(result.document())
    assert np.all(np.diff([loss for _, loss in result.history]) <= 0)
    flipped = result.potential.evaluate(training[0], -training[0].calc.results["magmoms"]).energy
    assert flipped == pytest.approx(result.potential.evaluate(training[0]).energy, rel=1e-12)


def test_warm_start_goes_on_and_says_so(potential, training, validation):
    first = fit(potential, training, settings=QUICK)
    again = fit(first.potential, training + validation, settings=QUICK)
    assert "given parameters" in again.decision
    assert again.history[0][1] < 1e3 * max(first.loss, 1e-3)


def test_a_spoilt_parent_falls_back_to_a_cold_start(potential, training):
    first = fit(potential, training, settings=QUICK)
    # Labels of another physics: what the parent knew can't be kept.
    for atoms in training:
        atoms.calc.results["energy"] *= 1.5
        atoms.calc.results["forces"] = atoms.calc.results["forces"][::-1].copy()
    settings = FitSettings(max_iterations=10, threads=1, fallback_factor=1e-9)
    result = fit(first.potential, training, settings=settings)
    assert "random start" in result.decision


def test_interrupted_fit_goes_on_from_its_checkpoint(potential, training, tmp_path):
    path = tmp_path / "fit.checkpoint"
    settings = FitSettings(max_iterations=30, threads=1, checkpoint=path, checkpoint_interval=5)

    def stop(progress):
        if progress.iteration == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(potential, training, settings=settings, progress=stop)
    assert path.exists()
    losses = []
    result = fit(potential, training, settings=settings, progress=lambda p: losses.append(p.loss))
    assert "continued from iteration 13" in result.decision
    assert losses[0] < loss_and_gradient(potential, training)[0]
    with pytest.raises(InputError, match="another potential, training set or weights"):
        fit(potential, training[:-1], settings=settings)
    path.write_bytes(b"garbage")
    with pytest.raises(InputError, match="not a checkpoint"):
        fit(potential, training, settings=settings)


def test_a_bad_label_is_found_and_left_out_on_request(potential, training):
    training = training + labelled(28, seed=5)  # as many as contradict it
    training[4].calc.results["energy"] += 30.0
    settings = FitSettings(max_iterations=20, threads=1, leave_out_suspects=True, suspect_factor=10)
    result = fit(potential, training, settings=settings)
    assert result.left_out == [4]
    assert any("configuration 4" in warning for warning in result.warnings)
    assert result.errors["energy_per_atom_eV"]["max"] < 1.0
    assert find_suspects(np.ones(20), 30.0) == []


def test_plain_bfgs_is_there_too(potential, training):
    result = fit(potential, training, settings=FitSettings(max_iterations=30, threads=1, method="bfgs"))
    assert result.loss < loss_and_gradient(potential, training)[0]


def test_random_starts_repeat(potential, training):
    settings = FitSettings(max_iterations=8, threads=1, start="random", starts=2)
    one, two = (fit(potential, training[:4], settings=settings) for _ in range(2))
    np.testing.assert_array_equal(one.potential.parameters, two.potential.parameters)
    assert "2 random starts" in one.decision


def test_errors_agree_with_the_numbers_themselves(potential, training):
    found = errors_by_quantity(potential, training)
    forces = np.concatenate([(potential.evaluate(a).forces - a.calc.results["forces"]).ravel() for a in training])
    assert found["forces_eV_per_A"]["rmse"] == pytest.approx(np.sqrt((forces**2).mean()))
    assert found["forces_eV_per_A"]["max"] == pytest.approx(np.abs(forces).max())
    assert set(found) == {
        "energy_per_atom_eV",
        "forces_eV_per_A",
        "stress_GPa",
        "magnetic_forces_eV_per_muB",
    }
    assert errors_by_quantity(potential, []) == {}
    species = errors_by_species(potential, training)
    counts = [species[s]["forces_eV_per_A"]["count"] for s in ("Fe", "Pd")]
    assert sum(counts) == len(forces)
    volumes = errors_by_volume(potential, training, 3)
    assert sum(e["energy_per_atom_eV"]["count"] for e in volumes.values()) == len(training)


def test_a_hole_at_short_distance_is_seen(potential, training):
    wells = potential.copy()
    wells.parameters = np.zeros(wells.n_parameters)
    assert check_stability(wells, training).stable
    attractive = wells.parameters
    attractive[0] = -1.0
    radial = np.zeros(wells.n_parameters - wells.parameter_slices["radial"].start).reshape(
        2, 2, wells.radial_count, wells.radial_size, 2, 2
    )
    radial[:, :, 0, 0, 0, 0] = 1.0
    attractive[wells.parameter_slices["radial"]] = radial.ravel()
    wells.parameters = attractive
    found = check_stability(wells, training)
    assert not found.stable
    assert "attractive between Fe-Fe" in " ".join(found.messages)
    attractive[0] = 1.0
    wells.parameters = attractive
    assert check_stability(wells, training).stable


def test_settings_are_checked():
    for bad in ({"method": "adam"}, {"starts": 0}, {"damping": 0.0}, {"start": "warm"}):
        with pytest.raises(InputError):
            FitSettings(**bad)
