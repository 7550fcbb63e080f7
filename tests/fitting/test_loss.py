from __future__ import annotations

import numpy as np
import pytest
from ase.stress import voigt_6_to_full_3x3_stress
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.errors import InputError
from mmtp_fw.fitting import Weights, loss_and_gradient
from mmtp_fw.fitting.linear import linear_count, solve_linear
from mmtp_fw.fitting.loss import Loss
from mmtp_fw.fitting.metric import damped_inverse, gauss_newton_matrix
from mmtp_fw.fitting.samples import make_samples
from mmtp_fw.potential import Potential


def by_definition(potential, configurations, w):
    total = 0.0
    for atoms in configurations:
        found, label, n = potential.evaluate(atoms), atoms.calc.results, len(atoms)
        stress = voigt_6_to_full_3x3_stress(found.stress - label["stress"]) * atoms.get_volume()
        total += atoms.info.get("weight", 1.0) * (
            w.energy * (found.energy - label["energy"]) ** 2 / n**w.energy_scaling
            + w.forces * ((found.forces - label["forces"]) ** 2).sum() / n**w.forces_scaling
            + w.stress * (stress**2).sum() / n**w.stress_scaling
            + w.magnetic_forces
            * ((found.magnetic_forces - atoms.arrays["magnetic_forces"]) ** 2).sum()
            / n**w.magnetic_forces_scaling
        )
    return total


@pytest.mark.parametrize(
    "weights",
    [
        Weights(),
        Weights(energy=0, forces=1, stress=0, magnetic_forces=0),
        Weights(1, 2, 3, 4, 2, 1, 0, 1),
        Weights(0, 0, 0, 1),
        Weights(0, 0, 1, 0),
    ],
)
def test_loss_is_its_definition_and_gradient_its_derivative(potential, training, weights):
    configurations = training[:3]
    configurations[0].info["weight"] = 0.3
    loss, gradient = loss_and_gradient(potential, configurations, weights)
    assert loss == pytest.approx(by_definition(potential, configurations, weights), rel=1e-10)
    rng = np.random.default_rng(1)
    theta = potential.parameters
    for _ in range(3):
        direction = rng.normal(size=len(theta))
        step, values = 1e-4, []
        for k in (-2, -1, 1, 2):
            moved = potential.copy()
            moved.parameters = theta + k * step * direction
            values.append(by_definition(moved, configurations, weights))
        slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        assert gradient @ direction == pytest.approx(slope, rel=1e-6)


def test_quantities_that_a_label_lacks_have_no_term(potential, training):
    atoms = training[0]
    del atoms.calc.results["stress"], atoms.arrays["magnetic_forces"]
    loss, _ = loss_and_gradient(potential, [atoms], Weights(0, 0, 5, 5))
    assert loss == 0.0


def test_threads_change_nothing_but_rounding(potential, training):
    samples = make_samples(potential, training)
    one = Loss(potential, samples, 1)
    three = Loss(potential, samples, 3)
    a, b = (loss.value_and_gradient(potential.parameters) for loss in (one, three))
    np.testing.assert_allclose(one.per_configuration(potential.parameters).sum(), a[0], rtol=1e-12)
    assert a[0] == pytest.approx(b[0], rel=1e-12)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-9, atol=1e-9 * np.abs(a[1]).max())


def test_the_linear_solution_is_stationary(potential, training):
    loss = Loss(potential, make_samples(potential, training))
    start = potential.parameters
    solved = solve_linear(loss, start)
    before = loss.value_and_gradient(start)
    after = loss.value_and_gradient(solved)
    count = linear_count(potential)
    assert after[0] < before[0]
    assert np.abs(after[1][:count]).max() < 1e-5 * np.abs(before[1][:count]).max()
    np.testing.assert_array_equal(solved[count:], start[count:])


def test_probes_estimate_the_gauss_newton_matrix(potential, training):
    configurations = training[:2]
    loss = Loss(potential, make_samples(potential, configurations))
    theta = potential.parameters
    estimate = gauss_newton_matrix(loss, theta, np.random.default_rng(0), 400.0 / len(theta) * 2)
    again = gauss_newton_matrix(loss, theta, np.random.default_rng(0), 400.0 / len(theta) * 2)
    # At zero residuals the Hessian of the loss is the Gauss-Newton matrix.
    for atoms in configurations:
        found = potential.evaluate(atoms)
        atoms.calc.results.update(energy=found.energy, forces=found.forces, stress=found.stress)
        atoms.arrays["magnetic_forces"] = found.magnetic_forces
    direction = np.random.default_rng(2).normal(size=len(theta))
    moved = potential.copy()
    step = 1e-4
    slopes = []
    for sign in (1, -1):
        moved.parameters = theta + sign * step * direction
        slopes.append(loss_and_gradient(moved, configurations)[1] @ direction)
    exact = (slopes[0] - slopes[1]) / (2 * step)
    np.testing.assert_array_equal(estimate, again)
    assert direction @ estimate @ direction == pytest.approx(exact, rel=0.3)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6), st.integers(0, 2))
def test_damped_inverse_is_positive_definite_even_with_null_directions(size, seed, nulls):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(3 * size, size)) * 10.0 ** rng.uniform(-4, 4, size)
    if nulls:
        rows[:, -1] = 0.0
    inverse = damped_inverse(rows.T @ rows, 1e-3)
    assert np.all(np.isfinite(inverse))
    scale = 1 / np.sqrt(np.diag(inverse))
    assert np.linalg.eigvalsh(inverse * scale * scale[:, None]).min() > 0


def test_weights_are_refused_when_they_make_no_sense():
    for bad in (
        {"energy": -1.0},
        {"forces": float("nan")},
        {"energy": 0, "forces": 0, "stress": 0, "magnetic_forces": 0},
    ):
        with pytest.raises(InputError):
            Weights(**bad)
    assert Weights(**Weights(forces=0.5).document()) == Weights(forces=0.5)


def test_labels_that_miss_their_targets_can_weigh_less(potential, training):
    atoms = training[0]
    atoms.info["label_mae_muB"] = 0.1
    full = loss_and_gradient(potential, [atoms])[0]
    less = loss_and_gradient(potential, [atoms], Weights(moment_deviation_muB=0.1))[0]
    assert less == pytest.approx(full / 2)


def test_a_non_magnetic_potential_ignores_magnetic_forces(training):
    plain = Potential.from_level(4, ["Fe", "Pd"], r_cut=4.5, radial_size=4, magnetic_size=0)
    assert loss_and_gradient(plain, training[:2], Weights(0, 0, 0, 1))[0] == 0.0
